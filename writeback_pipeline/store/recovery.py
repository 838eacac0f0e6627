"""What workers left behind: sends under a lease that ran out, whose outcome nobody recorded.

Nothing of it is sent again from here. It becomes unknown, for a read-back to decide. Whoever had a worker alone that
ended, after several others had, is left to a person.
"""

from datetime import datetime

from writeback_pipeline.domain.ledger import ALONE_AFTER
from writeback_pipeline.store.bulk_jobs import IN_UNFINISHED_JOB, PEOPLE_IN_JOBS, WRITEBACKS_IN_JOBS
from writeback_pipeline.store.evidence import settle_left
from writeback_pipeline.store.session import Session, as_columns, unnested

_ADVICE = (
    "The worker that sent it ended before it recorded an answer. What Salesforce holds is read back before anything "
    "is sent again."
)

WORKER_LOST = "WORKER_LOST"

_ADVICE_WHEN_ALONE = (
    "Find what ends the worker: the log of its last run, the memory of its machine, anything odd about the person in "
    "Salesforce. Mend that, then retry: what Salesforce holds is read back first, and the person goes alone again. "
    "Nobody else waits for it."
)

_OWED = "('pending', 'waiting', 'unknown')"

_KILLER = f"p.unreturned > {ALONE_AFTER} AND p.lease_until <= $1::TIMESTAMP AND p.person_id NOT IN ({PEOPLE_IN_JOBS})"

_ABANDONED = "(p.lease_until IS NULL OR p.lease_until <= $1::TIMESTAMP)"


def anything_left(session: Session, now: datetime) -> bool:
    """Whether there is anything to recover: a send without an outcome under a lease that ended."""
    [(anything_sent,)] = session.execute(
        "SELECT EXISTS (SELECT 1 FROM delivery_attempts a WHERE a.outcome IS NULL) "
        "OR EXISTS (SELECT 1 FROM writebacks w WHERE w.settled_at IS NULL AND w.status = 'sending') "
        "OR EXISTS (SELECT 1 FROM people p WHERE p.unreturned > 1)"
    ).fetchall()
    if (
        not anything_sent
    ):  # as nearly always: the leases are not looked at, which takes long where there are many people
        return False
    [(left,)] = session.execute(
        "SELECT EXISTS (SELECT 1 FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id "
        "WHERE a.outcome IS NULL AND (a.operation <> 'upsert_task' OR a.lane = 'bulk') "
        f"AND {_ABANDONED} AND NOT {IN_UNFINISHED_JOB}) "
        "OR EXISTS (SELECT 1 FROM writebacks w JOIN people p ON p.person_id = w.person_id WHERE w.settled_at IS NULL "
        "AND w.status = 'sending' "
        f"AND {_ABANDONED} AND w.id NOT IN ({WRITEBACKS_IN_JOBS}) AND (w.kind IN ('unsubscribe', 'resubscribe') "
        "OR EXISTS (SELECT 1 FROM delivery_attempts a WHERE a.writeback_id = w.id AND a.lane = 'bulk'))) "
        f"OR EXISTS (SELECT 1 FROM people p WHERE {_KILLER})",
        [now],
    ).fetchall()
    return bool(left)


def recover(session: Session, now: datetime) -> None:
    """Turn what is still `sending` under an ended lease into `unknown`, and fence its worker off.

    The journal had raised the person's `verify_after` before the send; that stays. What is in a Bulk job that has not
    ended stays as it is, for a worker to take the job over.
    """
    people = settle_left(session, now) | _unanswered_attempts(session, now) | _unsettled_writebacks(session, now)
    people |= _left_to_a_person(session, now)
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
    """Those whose attempts were all answered count too: a worker may have ended between two of its calls. One that is
    not is unknown with its writeback: it may be of a record that its person has left, which somebody has for a job.
    """
    left = session.execute(
        "SELECT w.id, w.person_id FROM writebacks w JOIN people p ON p.person_id = w.person_id "
        "WHERE w.settled_at IS NULL AND w.status = 'sending' AND w.kind IN ('unsubscribe', 'resubscribe') "
        f"AND {_ABANDONED} AND w.id NOT IN ({WRITEBACKS_IN_JOBS})",
        [now],
    ).fetchall()
    if left:
        ids = [id_ for id_, _ in left]
        session.execute(
            "UPDATE writebacks SET status = 'unknown', next_attempt_at = $2::TIMESTAMP, advice = $3 "
            "WHERE id IN (SELECT unnest($1::BIGINT[]))",
            [ids, now, _ADVICE],
        )
        session.execute(
            "UPDATE delivery_attempts SET outcome = 'unknown', answered_at = $2::TIMESTAMP "
            "WHERE outcome IS NULL AND writeback_id IN (SELECT unnest($1::BIGINT[]))",
            [ids, now],
        )
    return {person for _, person in left}


def _left_to_a_person(session: Session, now: datetime) -> set[str]:
    """People whose worker ended though they were alone with it: what is owed to them fails, and where nothing is, their
    last unsubscribe, for somebody to see it."""
    killers = session.execute(
        f"SELECT p.person_id, p.object_type, p.unreturned FROM people p WHERE {_KILLER}", [now]
    ).fetchall()
    if not killers:
        return set()
    told = [(person, f"{type_} {person}", times) for person, type_, times in killers]
    session.execute(
        "UPDATE writebacks AS w SET status = 'failed', next_attempt_at = NULL, settled_at = $4::TIMESTAMP, "
        "error_code = $5, advice = $6, error_message = 'The worker ended ' || n.times || ' times in a row while "
        "it served ' || n.shown || ', the last time with nobody else.' "
        f"FROM ({unnested({'person_id': 'TEXT', 'shown': 'TEXT', 'times': 'BIGINT'})}) n "
        "WHERE w.person_id = n.person_id AND w.kind IN ('unsubscribe', 'resubscribe') "
        f"AND (w.status IN {_OWED} OR w.id = (SELECT max(l.id) FROM writebacks l WHERE l.person_id = w.person_id "
        "AND l.kind = 'unsubscribe' AND l.status = 'written' AND NOT EXISTS (SELECT 1 FROM writebacks o "
        f"WHERE o.person_id = l.person_id AND o.kind IN ('unsubscribe', 'resubscribe') AND o.status IN {_OWED})))",
        [*as_columns(told, 3), now, WORKER_LOST, _ADVICE_WHEN_ALONE],
    )
    return {person for person, _, _ in killers}
