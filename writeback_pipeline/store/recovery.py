"""What workers left behind: sends under a lease that ran out, whose outcome nobody recorded.

Nothing of it is sent again from here. It becomes unknown, for a read-back to decide.
"""

from datetime import datetime

from writeback_pipeline.store.bulk_jobs import IN_UNFINISHED_JOB, WRITEBACKS_IN_JOBS
from writeback_pipeline.store.evidence import settle_left
from writeback_pipeline.store.session import Session

_ADVICE = (
    "The worker that sent it ended before it recorded an answer. What Salesforce holds is read back before anything "
    "is sent again."
)

_ABANDONED = "(p.lease_until IS NULL OR p.lease_until <= $1::TIMESTAMP)"


def anything_left(session: Session, now: datetime) -> bool:
    """Whether there is anything to recover: a send without an outcome under a lease that ended."""
    [(left,)] = session.execute(
        "SELECT EXISTS (SELECT 1 FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id "
        "WHERE a.outcome IS NULL AND (a.operation <> 'upsert_task' OR a.lane = 'bulk') "
        f"AND {_ABANDONED} AND NOT {IN_UNFINISHED_JOB}) "
        "OR EXISTS (SELECT 1 FROM writebacks w JOIN people p ON p.person_id = w.person_id WHERE w.status = 'sending' "
        f"AND {_ABANDONED} AND w.id NOT IN ({WRITEBACKS_IN_JOBS}) AND (w.kind IN ('unsubscribe', 'resubscribe') "
        "OR EXISTS (SELECT 1 FROM delivery_attempts a WHERE a.writeback_id = w.id AND a.lane = 'bulk')))",
        [now],
    ).fetchall()
    return bool(left)


def recover(session: Session, now: datetime) -> None:
    """Turn what is still `sending` under an ended lease into `unknown`, and fence its worker off.

    The journal had raised the person's `verify_after` before the send; that stays. What is in a Bulk job that has not
    ended stays as it is, for a worker to take the job over.
    """
    people = settle_left(session, now) | _unanswered_attempts(session, now) | _unsettled_writebacks(session, now)
    if not people:
        return
    session.execute(
        "UPDATE people SET epoch = epoch + 1, lease_owner = NULL, lease_until = NULL "
        "WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    )


def _unanswered_attempts(session: Session, now: datetime) -> set[str]:
    left = session.execute(
        "SELECT a.id, a.person_id FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id "
        f"WHERE a.outcome IS NULL AND a.operation <> 'upsert_task' AND {_ABANDONED} "
        f"AND NOT {IN_UNFINISHED_JOB}",
        [now],
    ).fetchall()
    if left:
        session.execute(
            "UPDATE delivery_attempts SET outcome = 'unknown', answered_at = $2::TIMESTAMP "
            "WHERE id IN (SELECT unnest($1::BIGINT[]))",
            [[id_ for id_, _ in left], now],
        )
    return {person for _, person in left}


def _unsettled_writebacks(session: Session, now: datetime) -> set[str]:
    """Those whose attempts were all answered count too: a worker may have ended between two of its calls."""
    left = session.execute(
        "SELECT w.id, w.person_id FROM writebacks w JOIN people p ON p.person_id = w.person_id "
        f"WHERE w.status = 'sending' AND w.kind IN ('unsubscribe', 'resubscribe') AND {_ABANDONED} "
        f"AND w.id NOT IN ({WRITEBACKS_IN_JOBS})",
        [now],
    ).fetchall()
    if left:
        session.execute(
            "UPDATE writebacks SET status = 'unknown', next_attempt_at = $2::TIMESTAMP, advice = $3 "
            "WHERE id IN (SELECT unnest($1::BIGINT[]))",
            [[id_ for id_, _ in left], now, _ADVICE],
        )
    return {person for _, person in left}
