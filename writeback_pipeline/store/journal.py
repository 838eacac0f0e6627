"""The journal: every row write, committed before a byte of it is sent, and its answer once there is one.

Append-only. Only the outcome columns are filled in later, once; what follows from an answer is `settling`'s work.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import compress
from typing import Any

from writeback_pipeline.domain.ledger import QUIET, Attempt, AttemptOutcome, Intent, Lease
from writeback_pipeline.domain.records import DELETIONS, Answer, Operation
from writeback_pipeline.domain.writebacks import TRANSITIONS, Status, check_transition
from writeback_pipeline.store.claims import leases_of
from writeback_pipeline.store.people import hold
from writeback_pipeline.store.rows import READ_STATUS
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, in_utc, storable

FLAG_OPERATIONS = (Operation.SET_FLAG, Operation.CLEAR_FLAG)
_OF_WHAT_IS_SETTLED = (*FLAG_OPERATIONS, *DELETIONS)

_INTENT = {
    "id": "BIGINT",
    "person_id": "TEXT",
    "epoch": "BIGINT",
    "writeback_id": "BIGINT",
    "operation": "TEXT",
    "target_id": "TEXT",
    "batch_id": "TEXT",
    "lane": "TEXT",
    "call_number": "INTEGER",
    "intent_at": "TIMESTAMP",
    "send_deadline": "TIMESTAMP",
    "payload_hash": "TEXT",
    "run_id": "TEXT",
    "flag_before": "BOOLEAN",
    "title": "TEXT",
    "revision": "TEXT",
}
"""Columns of an intent: its id, then the fields of `Intent` in their order."""

_OUTCOME = {
    "outcome": "TEXT",
    "answered_at": "TIMESTAMP",
    "code": "TEXT",
    "message": "TEXT",
    "record_id": "TEXT",
}
"""Columns of an outcome: the fields of `AttemptOutcome` after the attempt's id, in their order."""


def journal(session: Session, intents: Sequence[Intent]) -> list[int | None]:
    """Enter the intents and mark their writebacks `sending`; an attempt id for each, in order.

    None, and nothing entered, for a person whose epoch has moved on or whose lease ends before the send deadline.
    Raises IllegalTransition for a writeback that may not be sent; then nothing at all is entered.
    """
    hold(session, {intent.person_id for intent in intents})
    leases = leases_of(session, {(intent.person_id, intent.epoch) for intent in intents})
    covered = [covered_by(intent, leases.get((intent.person_id, intent.epoch))) for intent in intents]
    entered = list(compress(intents, covered))
    _mark_sending(session, entered)
    _put_flags_in_doubt(session, entered)
    ids = next_ids(session, "attempt_ids", len(entered))
    _insert(session, zip(ids, entered, strict=True))
    numbers = iter(ids)
    return [next(numbers) if each else None for each in covered]


def covered_by(intent: Intent, lease_until: datetime | None) -> bool:
    """Whether the lease still runs, and to the last instant at which the intent may be sent."""
    return lease_until is not None and intent.intent_at < lease_until >= intent.send_deadline


def _put_flags_in_doubt(session: Session, intents: Iterable[Intent]) -> None:
    """Until its answer is recorded, a flag write may land as late as its quiet time after the send deadline."""
    until: dict[str, datetime] = {}
    for intent in intents:
        if intent.operation in FLAG_OPERATIONS:
            until[intent.person_id] = max(intent.send_deadline + QUIET, until.get(intent.person_id, intent.intent_at))
    rows, bound = session.selected({"person_id": "TEXT", "until": "TIMESTAMP"}, until.items())
    session.execute(
        "UPDATE people AS p SET verify_after = greatest(p.verify_after, n.until) "
        f"FROM ({rows}) n WHERE p.person_id = n.person_id",
        bound,
    )


def _mark_sending(session: Session, intents: Iterable[Intent]) -> None:
    runs = {intent.writeback_id: intent.run_id for intent in intents}
    values: list[object] = []
    these = session.listed("BIGINT", runs, values)
    statuses = {
        id_: READ_STATUS(status)
        for id_, status in session.execute(
            f"SELECT w.id, w.status FROM writebacks w WHERE w.id IN ({these})", values
        ).fetchall()
    }
    for intent in intents:
        # A flag may be asserted again, or a run undone, for an event that was dealt with; its status stays what it is.
        if intent.operation not in _OF_WHAT_IS_SETTLED and statuses[intent.writeback_id] is not Status.SENDING:
            check_transition(statuses[intent.writeback_id], Status.SENDING)
    going = [(id_, runs[id_]) for id_, status in statuses.items() if Status.SENDING in TRANSITIONS[status]]
    rows, bound = session.selected({"id": "BIGINT", "run_id": "TEXT"}, going)
    session.execute(
        "UPDATE writebacks AS w SET status = 'sending', next_attempt_at = NULL, run_id = coalesce(n.run_id, w.run_id) "
        f"FROM ({rows}) n WHERE w.id = n.id",
        bound,
    )


def _insert(session: Session, numbered: Iterable[tuple[int, Intent]]) -> None:
    rows, bound = session.selected(_INTENT, [(id_, *intent) for id_, intent in numbered])
    session.execute(f"INSERT INTO delivery_attempts ({', '.join(_INTENT)}) {rows}", bound)


def senders(session: Session, attempt_ids: Collection[int]) -> tuple[dict[int, Lease], set[Lease]]:
    """By attempt id, the person and the epoch under which it was entered; and those of them that are current, as
    `leases_of` would tell."""
    if not attempt_ids:
        return {}, set()
    values: list[object] = []
    these = session.listed("BIGINT", attempt_ids, values)
    rows = session.execute(
        "SELECT a.id, a.person_id, a.epoch, p.epoch FROM delivery_attempts a "
        f"LEFT JOIN people p ON p.person_id = a.person_id WHERE a.id IN ({these})",
        values,
    ).fetchall()
    by_attempt = {id_: (person, epoch) for id_, person, epoch, _ in rows}
    return by_attempt, {(person, epoch) for _, person, epoch, now in rows if epoch == now}


def answer(session: Session, outcomes: Sequence[AttemptOutcome]) -> None:
    """Fill in the outcomes of attempts that have none; a recorded one never changes."""
    if not outcomes:
        return
    rows, bound = session.selected(
        {"id": "BIGINT", **_OUTCOME},
        [(o.attempt_id, o.answer, o.answered_at, storable(o.code), storable(o.message), o.record_id) for o in outcomes],
    )
    session.execute(
        f"UPDATE delivery_attempts AS a SET {', '.join(f'{name} = n.{name}' for name in _OUTCOME)} "
        f"FROM ({rows}) n WHERE a.id = n.id AND a.outcome IS NULL",
        bound,
    )


def attempts_of(session: Session, writeback_ids: Collection[int]) -> list[Attempt]:
    """Every attempt of these writebacks, in the order of the journal."""
    rows = session.execute(
        f"SELECT {', '.join((*_INTENT, *_OUTCOME))} FROM delivery_attempts "
        "WHERE writeback_id IN (SELECT unnest($1::BIGINT[])) ORDER BY id",
        [list(writeback_ids)],
    ).fetchall()
    return [_attempt(row) for row in rows]


def _attempt(row: Iterable[Any]) -> Attempt:
    value = dict(zip((*_INTENT, *_OUTCOME), row, strict=True))
    for name in ("intent_at", "send_deadline", "answered_at"):
        value[name] = in_utc(value[name])
    value["operation"] = Operation(value["operation"])
    id_, outcome = value["id"], value["outcome"]
    return Attempt(
        id=id_,
        intent=Intent(**{name: value[name] for name in _INTENT if name != "id"}),
        outcome=None
        if outcome is None
        else AttemptOutcome(id_, Answer(outcome), *(value[name] for name in _OUTCOME if name != "outcome")),
    )
