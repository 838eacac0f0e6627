"""Writebacks whose worker ended after their answers were recorded, or after others took over: settled by the journal.

Nothing is read back for them, as every attempt has its answer. What is not answered is `recovery`'s.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from writeback_pipeline.domain.adoption import Journalled, settle_by_journal
from writeback_pipeline.domain.ledger import AttemptOutcome
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.bulk_jobs import withdraw_unsent
from writeback_pipeline.store.session import Session, in_utc
from writeback_pipeline.store.settling import record


def settle_left(session: Session, now: datetime) -> set[str]:
    """Settle what dead workers sent by Bulk and have answers for, or never came to send; returns those people."""
    withdraw_unsent(session, now)
    left = session.execute(
        "SELECT DISTINCT w.id FROM writebacks w JOIN people p ON p.person_id = w.person_id "
        "JOIN delivery_attempts a ON a.writeback_id = w.id WHERE w.settled_at IS NULL AND w.status = 'sending' "
        "AND a.lane = 'bulk' "
        "AND (p.lease_until IS NULL OR p.lease_until <= $1::TIMESTAMP)",
        [now],
    ).fetchall()
    return settle_answered(session, [id_ for (id_,) in left], [], now) if left else set()


def settle_answered(
    session: Session, writeback_ids: Collection[int], outcomes: Sequence[AttemptOutcome], now: datetime
) -> set[str]:
    """Record the outcomes, then settle those writebacks that are `sending` and answered; returns their people.

    The leases of all people concerned are given back.
    """
    record(session, outcomes, [], [], now, release=False)
    settled = [
        (status, *each)
        for status, attempts in _last_batches(session, writeback_ids).values()
        if (each := settle_by_journal(attempts)) is not None
    ]
    # A flag may have been asserted again for a writeback that was settled long ago: its evidence still counts.
    settlements = [settlement for status, settlement, _ in settled if status is Status.SENDING]
    origins = [origin for _, _, origins in settled for origin in origins]
    record(session, outcomes, settlements, origins, now, release=True)
    return {settlement.person_id for settlement in settlements}


def _last_batches(session: Session, writeback_ids: Collection[int]) -> dict[int, tuple[Status, list[Journalled]]]:
    """By writeback, its status and the attempts of the batch in which it was sent last."""
    rows = session.execute(
        "SELECT a.batch_id, w.id, w.status, w.person_id, p.epoch, a.operation, a.send_deadline, w.occurred_at, "
        "a.revision, a.id, a.outcome, a.answered_at, a.code, a.message, a.record_id FROM writebacks w "
        "JOIN delivery_attempts a ON a.writeback_id = w.id JOIN people p ON p.person_id = w.person_id "
        "WHERE w.id IN (SELECT unnest($1::BIGINT[])) ORDER BY a.id",
        [list(writeback_ids)],
    ).fetchall()
    by_batch: dict[tuple[int, str], list[Journalled]] = defaultdict(list)
    last: dict[int, tuple[str, Status]] = {}
    for batch_id, id_, status, person, epoch, operation, deadline, occurred_at, revision, attempt_id, *outcome in rows:
        last[id_] = (batch_id, Status(status))
        by_batch[id_, batch_id].append(
            Journalled(
                id_,
                person,
                epoch,
                Operation(operation),
                in_utc(deadline),
                in_utc(occurred_at),
                revision,
                _outcome(attempt_id, *outcome),
            )
        )
    return {id_: (status, by_batch[id_, batch_id]) for id_, (batch_id, status) in last.items()}


def _outcome(
    attempt_id: int,
    outcome: str | None,
    answered_at: datetime,
    code: str | None,
    message: str | None,
    record_id: str | None,
) -> AttemptOutcome | None:
    if outcome is None:
        return None
    return AttemptOutcome(attempt_id, Answer(outcome), in_utc(answered_at), code, message, record_id)
