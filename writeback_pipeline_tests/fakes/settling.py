"""What answers lead to, and where people go, in the ledger in memory: the same promises as the store's statements."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime

from writeback_pipeline.domain.ledger import MAX_HOPS, AttemptOutcome, OriginChange, Settlement
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Answer
from writeback_pipeline.domain.writebacks import Status, Writeback, check_transition
from writeback_pipeline.store.journal import FLAG_OPERATIONS
from writeback_pipeline.store.origins import with_changes
from writeback_pipeline.store.redirects import stations_before, way_from, why_lost
from writeback_pipeline.store.session import storable
from writeback_pipeline.store.settling import MAY_STAY, in_doubt_until
from writeback_pipeline_tests.fakes.tables import Tables

_FOLLOW = (Status.PENDING, Status.SENDING, Status.WAITING, Status.UNKNOWN, Status.FAILED)


def record(
    tables: Tables,
    outcomes: Sequence[AttemptOutcome],
    settlements: Sequence[Settlement],
    origins: Sequence[OriginChange],
    now: datetime,
    *,
    release: bool,
    seen: Collection[tuple[str, int]],
    in_between: bool = False,
) -> int:
    """Record answers and what follows from them; how many settlements were fenced off."""
    by_attempt = {
        each.attempt_id: (sent.intent.person_id, sent.intent.epoch)
        for each in outcomes
        if (sent := tables.attempts.get(each.attempt_id)) is not None
    }
    concerned = {*by_attempt.values(), *((s.person_id, s.epoch) for s in settlements), *seen}
    current = {lease for lease in concerned if tables.is_current(*lease)}
    ours = [s for s in settlements if (s.person_id, s.epoch) in current]
    ours = [s for s in ours if tables.owner_of[s.writeback_id] == s.person_id]
    for settlement in ours:
        status = tables.rows[settlement.writeback_id].status
        if not (status is settlement.status and status in MAY_STAY):
            check_transition(status, settlement.status)
    answered = [outcome for outcome in outcomes if by_attempt.get(outcome.attempt_id) in current]
    for outcome in answered:
        _answer(tables, outcome)
    for settlement in ours:
        _settle(tables, settlement)
    people = {person for person, _ in current}
    _record_origins(tables, [change for change in origins if change.person_id in people])
    theirs = {by_attempt[each.attempt_id][0] for each in answered} | {p for p, e in seen if (p, e) in current}
    for person in () if in_between else theirs:
        _judge_doubt(tables, person, now)
    if release:
        owed_still = {settlement.person_id for settlement in settlements if settlement.status in MAY_STAY}
        for id_ in people:
            tables.people[id_].give_back()
            tables.people[id_].unreturned = max(tables.people[id_].unreturned - 1, 0) if id_ in owed_still else 0
    return len(settlements) - len(ours)


def _answer(tables: Tables, outcome: AttemptOutcome) -> None:
    sending = tables.attempts[outcome.attempt_id]
    if sending.outcome is None:
        sending.outcome = outcome._replace(code=storable(outcome.code), message=storable(outcome.message))
        del tables.open_attempts[sending.id]


def _settle(tables: Tables, new: Settlement) -> None:
    row = tables.rows[new.writeback_id]
    moved = new.person is not None and new.person.salesforce_id != row.salesforce_id
    settled = row._replace(
        status=new.status,
        redirected_from=(row.redirected_from or row.salesforce_id) if moved else row.redirected_from,
        object_type=new.person.object_type if new.person else row.object_type,
        salesforce_id=new.person.salesforce_id if new.person else row.salesforce_id,
        flag_result=new.flag_result or row.flag_result,
        note_id=new.note_id or row.note_id,
        task_id=new.task_id or row.task_id,
        run_id=new.run_id or row.run_id,
        error_code=storable(new.error_code),
        error_message=storable(new.error_message),
        advice=new.advice,
        next_attempt_at=new.next_attempt_at,
        written_at=new.written_at,
        attempts=row.attempts + new.attempted,
    )
    tables.put(settled)
    if new.revision is not None:
        tables.revisions[row.id] = new.revision
    if row.status is Status.UNKNOWN is not new.status:
        for sending in tables.attempts_of[row.id]:
            if sending.outcome is not None and sending.outcome.answer is Answer.UNKNOWN:
                sending.read_back = True


def _record_origins(tables: Tables, changes: Iterable[OriginChange]) -> None:
    changes = list(changes)
    people = {change.person_id for change in changes}
    known = [entry for person in people for entry in tables.origins[person]]
    after = with_changes(known, changes)
    for person in people:
        tables.origins[person] = []
    for entry in after:
        tables.origins[entry.person_id].append(entry._replace(id=0))


def _judge_doubt(tables: Tables, id_: str, now: datetime) -> None:
    person = tables.people[id_]
    attempts = [
        (each.outcome.answer.value if each.outcome else None, each.intent.send_deadline)
        for each in tables.attempts.values()
        if each.intent.person_id == id_ and each.intent.epoch == person.epoch
        if each.intent.operation in FLAG_OPERATIONS
    ]
    person.verify_after = in_doubt_until(person.verify_after_at_claim, attempts, now)


def unjoined(tables: Tables, moves: Mapping[str, PersonRef]) -> dict[str, PersonRef]:
    """The moves that lead away from anybody whose rows have not followed yet."""
    left = {id_ for id_ in moves if id_ in tables.people and tables.people[id_].moved_to is None}
    return {person: to for person, to in moves.items() if left & {person, *stations_before(person, moves)}}


def redirect(tables: Tables, moves: Mapping[str, PersonRef]) -> dict[str, str]:
    """Record where people went and let everything of theirs follow; whom it cannot follow, and why."""
    hops = _hops_from(tables, [to.salesforce_id for to in moves.values()]) | dict(moves)
    ways = {person: way_from(person, hops) for person in moves}
    lost = {person: reason for person, way in ways.items() if (reason := why_lost(person, way))}
    ends = {person: way[-1] for person, way in ways.items() if person not in lost}
    tables.add_people(ends.values())
    for id_ in ends.keys() & tables.people.keys():
        person = tables.people[id_]
        person.moved_to = moves[id_]
        person.give_back()
        person.epoch += 1
    doubts = {
        (id_, end.salesforce_id): tables.people[id_].verify_after for id_, end in ends.items() if id_ in tables.people
    }
    for (id_, end_id), doubt in doubts.items():
        end = tables.people[end_id]
        if doubt is not None:
            end.verify_after = max(end.verify_after or doubt, doubt)
            end.verify_after_at_claim = max(end.verify_after_at_claim or doubt, doubt)
        _follow(tables, id_, ends[id_])
    return lost


def where_they_went(tables: Tables, people: Iterable[str]) -> dict[str, PersonRef]:
    """For those of the people who moved, the end of their chain."""
    people = set(people)
    hops = _hops_from(tables, people)
    return {person: way_from(person, hops)[-1] for person in people if person in hops}


def _hops_from(tables: Tables, people: Iterable[str]) -> dict[str, PersonRef]:
    hops: dict[str, PersonRef] = {}
    asked = set(people)
    for _ in range(MAX_HOPS + 1):
        found = {id_: person.moved_to for id_ in asked if (person := tables.people.get(id_)) and person.moved_to}
        hops |= found
        asked = {to.salesforce_id for to in hops.values()} - hops.keys() - asked
        if not asked:
            break
    return hops


def _follow(tables: Tables, person: str, to: PersonRef) -> None:
    for id_ in tables.rows_of.pop(person, []):
        row = tables.rows[id_]
        if row.status in _FOLLOW:
            tables.put(_at(row, to))
        tables.owner_of[id_] = to.salesforce_id
        tables.rows_of[to.salesforce_id].append(id_)
    for entry in tables.origins.pop(person, []):
        tables.origins[to.salesforce_id].append(entry._replace(person_id=to.salesforce_id))


def _at(row: Writeback, to: PersonRef) -> Writeback:
    return row._replace(
        salesforce_id=to.salesforce_id,
        object_type=to.object_type,
        redirected_from=row.redirected_from or row.salesforce_id,
    )
