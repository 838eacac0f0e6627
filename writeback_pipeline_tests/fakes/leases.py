"""Leases, recovery, the journal and reopening of the ledger in memory: the same promises as the store's statements."""

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import compress

from writeback_pipeline.domain.ledger import (
    ALONE_AFTER,
    LEASE,
    QUIET,
    SUSPECT_AFTER,
    SUSPECTS_TOGETHER,
    AttemptOutcome,
    Claim,
    Doubt,
    Intent,
)
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import (
    OPT_OUT_KINDS,
    TRANSITIONS,
    FlagResult,
    Kind,
    Status,
    Writeback,
    check_transition,
)
from writeback_pipeline.store import doubts
from writeback_pipeline.store.journal import FLAG_OPERATIONS, covered_by
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline.store.reopening import REOPENED
from writeback_pipeline_tests.fakes import jobs
from writeback_pipeline_tests.fakes.tables import Person, Sending, Tables, event_of

OWED = (Status.PENDING, Status.WAITING, Status.UNKNOWN)
TAKEN = (Status.PENDING, Status.WAITING)


def recover(tables: Tables, now: datetime) -> None:
    """Turn what is still sending under an ended lease into unknown, and fence its worker off."""
    if not (tables.open_attempts or tables.sending or tables.suspects):
        return
    left = jobs.settle_left(tables, now)
    abandoned = {id_ for id_, person in tables.people.items() if person.is_free(now)}
    in_jobs = tables.unanswered_in_jobs()
    for sending in [each for each in tables.open_attempts.values() if each.intent.person_id in abandoned]:
        if sending.intent.operation is not Operation.UPSERT_TASK and sending not in in_jobs:
            sending.outcome = AttemptOutcome(sending.id, Answer.UNKNOWN, now)
            del tables.open_attempts[sending.id]
            left.add(sending.intent.person_id)
    theirs = tables.sending - {each.intent.writeback_id for each in in_jobs}
    for row in [tables.rows[id_] for id_ in theirs if tables.owner_of[id_] in abandoned]:
        if row.kind in OPT_OUT_KINDS:
            tables.put(row._replace(status=Status.UNKNOWN, next_attempt_at=now, advice="It is read back."))
            left.add(tables.owner_of[row.id])
            for sending in [each for each in tables.open_attempts.values() if each.intent.writeback_id == row.id]:
                sending.outcome = AttemptOutcome(sending.id, Answer.UNKNOWN, now)
                del tables.open_attempts[sending.id]
    left |= _left_to_a_person(tables, now)
    for person in left:
        tables.people[person].epoch += 1
        tables.people[person].give_back()


def _left_to_a_person(tables: Tables, now: datetime) -> set[str]:
    """People whose worker ended though they were alone with it: what is owed to them fails, or what was done last."""
    tables.suspects = {id_ for id_ in tables.suspects if tables.people[id_].unreturned}
    alone = {id_ for id_ in tables.suspects if tables.people[id_].unreturned > ALONE_AFTER}
    ended = {id_ for id_ in alone if tables.people[id_].lease_until and tables.people[id_].is_free(now)}
    left = ended - tables.people_in_jobs()
    for id_ in left:
        rows = [tables.rows[row] for row in tables.rows_of[id_]]
        written = [row for row in rows if row.kind is Kind.UNSUBSCRIBE and row.status is Status.WRITTEN]
        owed = [row for row in rows if row.kind in OPT_OUT_KINDS and row.status in OWED]
        for row in owed or written[-1:]:
            failed = row._replace(status=Status.FAILED, next_attempt_at=None, error_code=WORKER_LOST)
            tables.put(
                failed._replace(error_message=f"The worker ended for {id_}.", advice="Find what ends the worker.")
            )
    return left


def due(tables: Tables, now: datetime, limit: int | None = None) -> list[str]:
    """People to whom something is owed now and who are free, those with the oldest event first."""
    since: dict[str, datetime] = {}
    for id_ in tables.open:
        row, owner = tables.rows[id_], tables.owner_of.get(id_)
        if owner is not None and row.kind in OPT_OUT_KINDS and owed_now(row, now):
            since[owner] = min(since.get(owner, row.occurred_at), row.occurred_at)
    for owner, person in tables.people.items():
        if to_verify(person, now):
            assert person.verify_after is not None
            since[owner] = min(since.get(owner, person.verify_after), person.verify_after)
    since = {id_: at for id_, at in since.items() if tables.people[id_].is_free(now)}
    if since and tables.jobs:
        in_jobs = tables.people_in_jobs()
        since = {id_: at for id_, at in since.items() if id_ not in in_jobs}
    return sorted(since, key=lambda id_: (since[id_], id_))[:limit]


def owed_now(row: Writeback, now: datetime) -> bool:
    return row.status in OWED and (row.next_attempt_at is None or row.next_attempt_at <= now)


def to_verify(person: Person, now: datetime) -> bool:
    due = person.verify_after is not None and person.verify_after <= now
    return due and person.moved_to is None and person.unreturned <= ALONE_AFTER


def claim(tables: Tables, owner: str, now: datetime, limit: int, lease: timedelta) -> list[Claim]:
    """Lease up to `limit` people to whom something is owed."""
    return _lease(tables, owner, now, limit, lease, range(SUSPECT_AFTER))


def claim_suspects(tables: Tables, owner: str, now: datetime, limit: int, lease: timedelta) -> list[Claim]:
    """Lease people whose workers ended again and again: few together, in the end each alone."""
    few = _lease(tables, owner, now, min(limit, SUSPECTS_TOGETHER), lease, range(SUSPECT_AFTER, ALONE_AFTER))
    return few or _lease(tables, owner, now, 1, lease, range(ALONE_AFTER, sys.maxsize))


def _lease(tables: Tables, owner: str, now: datetime, limit: int, lease: timedelta, unreturned: range) -> list[Claim]:
    chosen = [id_ for id_ in due(tables, now) if tables.people[id_].unreturned in unreturned][:limit]
    for id_ in chosen:
        person = tables.people[id_]
        person.unreturned += 1
        if person.unreturned >= SUSPECT_AFTER:
            tables.suspects.add(id_)
        person.lease_owner, person.lease_until = owner, now + lease
        person.epoch += 1
        doubted = person.verify_after is not None and person.verify_after > now
        person.verify_after_at_claim = person.verify_after if doubted else None
    return list(claims(tables, chosen, now, now + lease))


def claims(tables: Tables, people: Iterable[str], now: datetime, lease_until: datetime) -> Iterator[Claim]:
    """What a claim of these people says, leased or not."""
    for id_ in people:
        if id_ not in tables.people:
            continue
        person, rows = tables.people[id_], tables.opt_outs_of(id_)
        assert person.object_type is not None
        doubted = tuple(_doubt(tables, row) for row in rows if row.status is Status.UNKNOWN)
        yield Claim(
            person=PersonRef(person.object_type, id_),
            epoch=person.epoch,
            lease_until=lease_until,
            taken=tuple(row for row in rows if row.status in TAKEN),
            events=tuple(event_of(row) for row in rows if row.error_code not in ("UNDONE", "UNDO_INCOMPLETE")),
            flag_is_ours=tables.flag_is_ours(id_),
            verify_after=person.verify_after if person.verify_after and person.verify_after > now else None,
            doubts=doubted,
            known_notes=frozenset(_known_notes(tables, rows)) if doubted else frozenset(),
            left=tuple(
                row.id
                for row in rows
                if row.status is Status.FAILED and row.kind is Kind.UNSUBSCRIBE and _doubt(tables, row).flag
            ),
        )


def _doubt(tables: Tables, row: Writeback) -> Doubt:
    sent = [
        doubts.Sent(
            each.intent.operation.value,
            each.intent.target_id,
            each.intent.title,
            each.intent.send_deadline,
            each.intent.flag_before,
            each.outcome.answer.value if each.outcome else None,
            each.outcome.record_id if each.outcome else None,
            each.read_back,
        )
        for each in tables.attempts_of[row.id]
    ]
    return doubts.doubt(row, sent)


def _known_notes(tables: Tables, rows: Iterable[Writeback]) -> Iterator[str]:
    for row in rows:
        if row.note_id is not None:
            yield row.note_id
        for each in tables.attempts_of[row.id]:
            if each.intent.operation is Operation.CREATE_NOTE and each.outcome and each.outcome.record_id:
                yield each.outcome.record_id


def extend(tables: Tables, owner: str, held: Sequence[Claim], now: datetime) -> list[Claim]:
    """The claims whose lease still runs and is the owner's, each with a fresh lease."""
    extended = []
    for each in held:
        person = tables.people[each.person.salesforce_id]
        if person.epoch == each.epoch and person.lease_owner == owner and not person.is_free(now):
            person.lease_until = now + LEASE
            extended.append(each._replace(lease_until=person.lease_until))
    return extended


def keep(tables: Tables, owner: str, now: datetime) -> None:
    """Keep everybody leased whose lease still runs and is the owner's."""
    for person in tables.people.values():
        if person.lease_owner == owner and not person.is_free(now):
            person.lease_until = now + LEASE


def release(tables: Tables, owner: str, held: Sequence[tuple[str, int]]) -> None:
    """Give the leases back that are still the owner's."""
    for id_, epoch in held:
        person = tables.people[id_]
        if person.epoch == epoch and person.lease_owner == owner:
            person.give_back()
            person.unreturned = max(person.unreturned - 1, 0)


def journal(tables: Tables, intents: Sequence[Intent]) -> list[int | None]:
    """Enter the intents and mark their rows as sending; None where the lease does not cover one."""
    covered = [covered_by(intent, _lease_until(tables, intent.person_id, intent.epoch)) for intent in intents]
    entered = list(compress(intents, covered))
    for intent in entered:
        status = tables.rows[intent.writeback_id].status
        if intent.operation not in FLAG_OPERATIONS and status is not Status.SENDING:
            check_transition(status, Status.SENDING)
    ids: list[int | None] = []
    for intent, is_covered in zip(intents, covered, strict=True):
        ids.append(_enter(tables, intent) if is_covered else None)
    return ids


def _enter(tables: Tables, intent: Intent) -> int:
    row = tables.rows[intent.writeback_id]
    if Status.SENDING in TRANSITIONS[row.status]:
        run_id = intent.run_id or row.run_id
        tables.put(row._replace(status=Status.SENDING, next_attempt_at=None, run_id=run_id))
    if intent.operation in FLAG_OPERATIONS:
        person = tables.people[intent.person_id]
        until = max(intent.send_deadline + QUIET, intent.intent_at)
        person.verify_after = max(person.verify_after or until, until)
    sending = Sending(len(tables.attempts) + 1, intent)
    tables.attempts[sending.id] = tables.open_attempts[sending.id] = sending
    tables.attempts_of[row.id].append(sending)
    return sending.id


def _lease_until(tables: Tables, person: str, epoch: int) -> datetime | None:
    return tables.people[person].lease_until if tables.is_current(person, epoch) else None


def reopen(tables: Tables, lost: Collection[tuple[int, str, int]], now: datetime) -> list[Writeback]:
    """Put unsubscribes whose flag is gone back to pending, under the lease of their person."""
    reopened = []
    for id_, person, epoch in lost:
        until = _lease_until(tables, person, epoch)
        if until is None or until <= now:
            continue
        row = tables.rows[id_]
        if row.kind is Kind.UNSUBSCRIBE and row.status in REOPENED:
            row = row._replace(
                status=Status.UNKNOWN if row.error_code == WORKER_LOST else Status.PENDING,
                attempts=0,
                next_attempt_at=None,
                error_code="FLAG_LOST",
                error_message=None,
                advice="The flag is set again.",
            )
            tables.put(row)
        if row.status in (Status.PENDING, Status.UNKNOWN):
            reopened.append(row)
    return reopened


def question_suppressed(tables: Tables, now: datetime) -> int:
    """Have the flag verified, once, of everybody whose unsubscribe had left it alone."""
    left = {id_ for id_, row in tables.rows.items() if row.flag_result is FlagResult.SUPPRESSED} - tables.questioned
    unsubscribes = {id_ for id_ in left if tables.rows[id_].kind is Kind.UNSUBSCRIBE and id_ in tables.owner_of}
    tables.questioned |= left
    return _question(tables, {tables.owner_of[id_] for id_ in unsubscribes}, now)


def question(tables: Tables, since: datetime, now: datetime) -> int:
    """Have the flag verified of everybody to whom an opt-out was written after `since`."""
    people = {
        tables.owner_of[id_]
        for id_, row in tables.rows.items()
        if row.kind in OPT_OUT_KINDS and row.written_at is not None and row.written_at > since
    }
    return _question(tables, people, now)


def _question(tables: Tables, people: Collection[str], now: datetime) -> int:
    for person in (tables.people[id_] for id_ in people):
        person.verify_after = person.verify_after or now
        person.verify_after_at_claim = person.verify_after_at_claim or now
    return len(people)
