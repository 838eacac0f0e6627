"""What answers lead to: outcomes in the journal, new states of writebacks, origins, doubt about the flag, leases.

Everything of one call is fenced by the epochs of the people concerned; what is fenced off writes nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from writeback_pipeline.domain.ledger import QUIET, AttemptOutcome, OriginChange, Settlement
from writeback_pipeline.domain.records import Answer
from writeback_pipeline.domain.writebacks import Status, check_transition
from writeback_pipeline.store.claims import leases_of
from writeback_pipeline.store.journal import answer, senders
from writeback_pipeline.store.origins import record_origins
from writeback_pipeline.store.people import hold
from writeback_pipeline.store.rows import OPEN, READ_STATUS
from writeback_pipeline.store.session import Session, in_utc, storable

_SETTLEMENT = {
    "id": "BIGINT",
    "status": "TEXT",
    "object_type": "TEXT",
    "salesforce_id": "TEXT",
    "flag_result": "TEXT",
    "note_id": "TEXT",
    "task_id": "TEXT",
    "revision": "TEXT",
    "error_code": "TEXT",
    "error_message": "TEXT",
    "advice": "TEXT",
    "next_attempt_at": "TIMESTAMP",
    "written_at": "TIMESTAMP",
    "attempted": "INTEGER",
    "run_id": "TEXT",
}


MAY_STAY = (Status.WAITING, Status.UNKNOWN)
"""What waits may go on waiting, and what is in doubt stay so."""


def record(
    session: Session,
    outcomes: Sequence[AttemptOutcome],
    settlements: Sequence[Settlement],
    origins: Sequence[OriginChange],
    now: datetime,
    *,
    release: bool,
    seen: Collection[tuple[str, int]] = (),
    in_between: bool = False,
) -> int:
    """Record answers and what follows from them; returns how many settlements were fenced off.

    `seen` are leases of people who were looked at and need nothing, or nothing more: what was to be verified of them
    at their claim is. `in_between` calls for the same people nothing is taken out of doubt: till the last of them a
    flag write counts as one that may still land. An origin change counts together with an outcome or settlement of its
    person. Raises IllegalTransition for a status that the arrows do not allow; then nothing at all is recorded.
    """
    attempts = [outcome.attempt_id for outcome in outcomes]
    others = {*((s.person_id, s.epoch) for s in settlements), *seen}
    hold(session, {person for person, _ in others}, attempts)
    by_attempt, current = senders(session, attempts)
    current |= leases_of(session, others.difference(by_attempt.values())).keys()
    answered = [outcome for outcome in outcomes if by_attempt.get(outcome.attempt_id) in current]
    answer(session, answered)
    settled = _settle(session, [s for s in settlements if (s.person_id, s.epoch) in current], now)
    people = {person for person, _ in current}
    stands = record_origins(session, [change for change in origins if change.person_id in people])
    looked_at = {person for person, epoch in seen if (person, epoch) in current}
    theirs = {by_attempt[outcome.attempt_id][0] for outcome in answered} | looked_at
    doubts = {} if in_between else _doubts(session, theirs, now)
    owed_still = {settlement.person_id for settlement in settlements if settlement.status in MAY_STAY}
    _update_people(session, people if release else {*stands, *doubts}, doubts, stands, owed_still, release=release)
    return len(settlements) - settled


def _update_people(
    session: Session,
    people: Collection[str],
    doubts: Mapping[str, datetime | None],
    stands: Mapping[str, bool],
    owed_still: Collection[str],
    *,
    release: bool,
) -> None:
    """What is known of the people now, in one pass over a large table."""
    given_back = (
        "lease_owner = NULL, lease_until = NULL, "
        "unreturned = CASE WHEN n.owed_still THEN greatest(p.unreturned - 1, 0) ELSE 0 END, "
    )
    lease = given_back if release else ""
    columns = {
        "person_id": "TEXT",
        "answered": "BOOLEAN",
        "verify_after": "TIMESTAMP",
        "desired_flag": "BOOLEAN",
        "owed_still": "BOOLEAN",
    }
    rows, bound = session.selected(
        columns,
        [(person, person in doubts, doubts.get(person), stands.get(person), person in owed_still) for person in people],
    )
    session.execute(
        f"UPDATE people AS p SET {lease}desired_flag = coalesce(n.desired_flag, p.desired_flag), "
        "verify_after = CASE WHEN n.answered THEN n.verify_after ELSE p.verify_after END "
        f"FROM ({rows}) n WHERE p.person_id = n.person_id",
        bound,
    )


def _settle(session: Session, settlements: Sequence[Settlement], now: datetime) -> int:
    if not settlements:
        return 0
    values: list[object] = []
    these = session.listed("BIGINT", [settlement.writeback_id for settlement in settlements], values)
    states = {
        id_: (person, READ_STATUS(status))
        for id_, person, status in session.execute(
            f"SELECT w.id, w.person_id, w.status FROM writebacks w WHERE w.id IN ({these})", values
        ).fetchall()
    }
    ours = []
    read_back = []
    for settlement in settlements:
        person, status = states[settlement.writeback_id]
        if person == settlement.person_id:
            if not (status is settlement.status and status in MAY_STAY):
                check_transition(status, settlement.status)
            ours.append(_row(settlement))
            if status is Status.UNKNOWN is not settlement.status:
                read_back.append(settlement.writeback_id)
    rows, bound = session.selected(_SETTLEMENT, ours)
    session.execute(
        "UPDATE writebacks AS w SET status = n.status, "
        "redirected_from = CASE WHEN n.salesforce_id <> w.salesforce_id "
        "THEN coalesce(w.redirected_from, w.salesforce_id) ELSE w.redirected_from END, "
        "object_type = coalesce(n.object_type, w.object_type), "
        "salesforce_id = coalesce(n.salesforce_id, w.salesforce_id), "
        "flag_result = coalesce(n.flag_result, w.flag_result), "
        "flag_left = coalesce(w.kind = 'unsubscribe' AND n.flag_result = 'suppressed', w.flag_left), "
        "note_id = coalesce(n.note_id, w.note_id), "
        "task_id = coalesce(n.task_id, w.task_id), revision = coalesce(n.revision, w.revision), "
        "run_id = coalesce(n.run_id, w.run_id), "
        "error_code = n.error_code, error_message = n.error_message, advice = n.advice, "
        "next_attempt_at = n.next_attempt_at, written_at = n.written_at, attempts = w.attempts + n.attempted, "
        f"settled_at = CASE WHEN n.status NOT IN ({OPEN}) THEN ${len(_SETTLEMENT) + 1}::TIMESTAMP END "
        f"FROM ({rows}) n WHERE w.id = n.id",
        [*bound, now],
    )
    if read_back:
        session.execute(
            "UPDATE delivery_attempts SET read_back_at = $2::TIMESTAMP WHERE outcome = 'unknown' "
            "AND read_back_at IS NULL AND writeback_id IN (SELECT unnest($1::BIGINT[]))",
            [read_back, now],
        )
    return len(ours)


def _row(settlement: Settlement) -> tuple[object, ...]:
    person = settlement.person
    return (
        settlement.writeback_id,
        settlement.status,
        person and person.object_type,
        person and person.salesforce_id,
        settlement.flag_result,
        settlement.note_id,
        settlement.task_id,
        settlement.revision,
        storable(settlement.error_code),
        storable(settlement.error_message),
        settlement.advice,
        settlement.next_attempt_at,
        settlement.written_at,
        int(settlement.attempted),
        settlement.run_id,
    )


def _doubts(session: Session, people: Collection[str], now: datetime) -> dict[str, datetime | None]:
    """Until when a flag write may still land: what was not due at the claim, and the writes under the current epoch."""
    by_person: dict[str, tuple[datetime | None, list[tuple[str | None, datetime]]]] = {}
    # Of nearly everybody nothing was in doubt at the claim and every flag write is answered.
    values: list[object] = []
    theirs = session.listed("TEXT", people, values)
    for person, before, outcome, deadline in session.execute(
        "SELECT p.person_id, p.verify_after_at_claim, a.outcome, a.send_deadline FROM people p "
        "LEFT JOIN delivery_attempts a ON a.person_id = p.person_id AND a.epoch = p.epoch "
        "AND a.operation IN ('set_flag', 'clear_flag') "
        f"WHERE p.person_id IN ({theirs}) "
        "AND (p.verify_after_at_claim IS NOT NULL OR coalesce(a.outcome, 'unknown') = 'unknown')",
        values,
    ).fetchall():
        attempts = by_person.setdefault(person, (in_utc(before), []))[1]
        if deadline is not None:
            attempts.append((outcome, deadline.replace(tzinfo=UTC)))
    doubts = {person: in_doubt_until(before, attempts, now) for person, (before, attempts) in by_person.items()}
    return dict.fromkeys(people) | doubts


def in_doubt_until(
    before: datetime | None, attempts: Iterable[tuple[str | None, datetime]], now: datetime
) -> datetime | None:
    """Until when an older flag write may land, from what was known at the claim and its flag attempts since.

    An attempt is its outcome and its send deadline. One without an answer is in doubt until its quiet time is over;
    a confirmed one also settles an earlier doubt whose time has passed.
    """
    attempts = list(attempts)
    confirmed = any(outcome == Answer.OK for outcome, _ in attempts)
    doubts = [deadline + QUIET for outcome, deadline in attempts if outcome in (None, Answer.UNKNOWN)]
    if before is not None and not (confirmed and before <= now):
        doubts.append(before)
    return max(doubts, default=None)
