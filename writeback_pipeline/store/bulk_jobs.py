"""Bulk jobs in the ledger: entered before anything is uploaded, moved on step by step, taken over from dead workers.

A job's rows are the attempts of its batch with its call number, and whoever holds the lease of their people holds the
job. Each step is entered under that lease before the next call is made, so two workers never both act on one job.
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from writeback_pipeline.domain.adoption import AdoptedJob, AdoptedRow, journalled_write
from writeback_pipeline.domain.bulk import BulkJob, JobKind, Stage
from writeback_pipeline.domain.records import Operation
from writeback_pipeline.store.session import Session, in_utc

_JOB = (
    "b.job_id, b.batch_id, b.call_number, b.object, b.operation, b.external_id_field, b.rows, b.stage, b.created_at, "
    "b.run_id"
)

_ITS_ROWS = "a.batch_id = b.batch_id AND a.call_number = b.call_number AND a.outcome IS NULL"

IN_UNFINISHED_JOB = (
    "EXISTS (SELECT 1 FROM bulk_jobs b WHERE b.stage <> 'ended' "
    "AND b.batch_id = a.batch_id AND b.call_number = a.call_number)"
)
"""Whether what became of the attempt `a`, if it has no answer, is for the results of a job to say."""

_UNFINISHED = f"FROM delivery_attempts a JOIN bulk_jobs b ON {_ITS_ROWS} WHERE b.stage <> 'ended'"

PEOPLE_IN_JOBS = f"SELECT a.person_id {_UNFINISHED}"
"""People who are nobody's to claim: a job that has not ended may still write to them."""

WRITEBACKS_IN_JOBS = f"SELECT a.writeback_id {_UNFINISHED}"
"""Writebacks of which a job that has not ended has a row."""


def enter_job(session: Session, job: BulkJob, owner: str) -> bool:
    """Enter a job that was created; False, and nothing entered, when any of its rows is no more the owner's to send."""
    [(all_held,)] = session.execute(
        "SELECT bool_and(a.outcome IS NULL AND p.epoch = a.epoch AND coalesce(p.lease_owner = $3, FALSE)) "
        "FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id "
        "WHERE a.batch_id = $1 AND a.call_number = $2",
        [job.batch_id, job.call_number, owner],
    ).fetchall()
    if not all_held:
        return False
    kind = job.kind
    session.execute(
        "INSERT INTO bulk_jobs (job_id, batch_id, call_number, object, operation, external_id_field, rows, stage, "
        "created_at, run_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        [
            job.job_id,
            job.batch_id,
            job.call_number,
            kind.sobject,
            kind.operation,
            kind.external_id_field,
            job.rows,
            job.stage,
            job.created_at,
            job.run_id,
        ],
    )
    return True


def move_job(session: Session, job: BulkJob, stage: Stage, owner: str, now: datetime) -> bool:
    """Enter that the job is one stage further; False, and nothing changed, when another worker has it or moved it."""
    [(known,)] = session.execute("SELECT b.stage FROM bulk_jobs b WHERE b.job_id = $1", [job.job_id]).fetchall()
    if known != job.stage or not _is_held(session, job, owner):
        return False
    times = {Stage.UPLOADED: "uploaded_at", Stage.ENDED: "ended_at"}
    session.execute(
        f"UPDATE bulk_jobs SET stage = $2, {times[stage]} = $3::TIMESTAMP WHERE job_id = $1", [job.job_id, stage, now]
    )
    return True


def end_job(session: Session, job: BulkJob, now: datetime) -> None:
    """Enter that the job has ended, if every row of it has its answer."""
    session.execute(
        "UPDATE bulk_jobs SET stage = 'ended', ended_at = $2::TIMESTAMP WHERE job_id = $1 AND stage <> 'ended' "
        f"AND NOT EXISTS (SELECT 1 FROM delivery_attempts a WHERE {_ITS_ROWS.replace('b.', 'bulk_jobs.')})",
        [job.job_id, now],
    )


def writebacks_of(session: Session, attempt_ids: Collection[int]) -> list[int]:
    """The writebacks that those attempts are for."""
    rows = session.execute(
        "SELECT DISTINCT a.writeback_id FROM delivery_attempts a WHERE a.id IN (SELECT unnest($1::BIGINT[]))",
        [list(attempt_ids)],
    ).fetchall()
    return [id_ for (id_,) in rows]


def renew_job(session: Session, job: BulkJob, owner: str, until: datetime) -> bool:
    """Keep everybody in the job's batch leased that long; False when another worker has taken the job over."""
    session.execute(
        "UPDATE people SET lease_until = $3::TIMESTAMP WHERE lease_owner = $2 AND person_id IN "
        "(SELECT a.person_id FROM delivery_attempts a WHERE a.batch_id = $1)",
        [job.batch_id, owner, until],
    )
    return _is_held(session, job, owner)


def known_jobs(session: Session, job_ids: Collection[str]) -> set[str]:
    """Those of the jobs that were entered."""
    rows = session.execute(
        "SELECT b.job_id FROM bulk_jobs b WHERE b.job_id IN (SELECT unnest($1::TEXT[]))", [list(job_ids)]
    ).fetchall()
    return {job_id for (job_id,) in rows}


def release_job(session: Session, job: BulkJob, owner: str) -> None:
    """Give the leases of everybody in the job's batch back, as far as they are the owner's."""
    session.execute("UPDATE bulk_jobs SET taken_over = greatest(taken_over - 1, 0) WHERE job_id = $1", [job.job_id])
    session.execute(
        "UPDATE people SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = $2 AND person_id IN "
        "(SELECT a.person_id FROM delivery_attempts a WHERE a.batch_id = $1)",
        [job.batch_id, owner],
    )


def adopt_job(session: Session, owner: str, now: datetime, lease: timedelta, scope: str | None) -> AdoptedJob | None:
    """Take over the oldest unfinished job whose worker's leases ended: of opt-outs, or of the window with that scope.

    Its people are leased to the owner under a new epoch, and the journalled rows with them. Whoever takes it over and
    neither ends it nor gives it back is counted.
    """
    left = session.execute(
        f"SELECT {_JOB}, b.taken_over FROM bulk_jobs b JOIN delivery_attempts a ON {_ITS_ROWS} "
        "JOIN people p ON p.person_id = a.person_id "
        "WHERE b.stage <> 'ended' AND (p.lease_until IS NULL OR p.lease_until <= $1::TIMESTAMP) "
        "AND CASE WHEN $2::TEXT IS NULL THEN a.operation <> 'upsert_task' ELSE a.person_id = $2 END "
        "ORDER BY b.created_at, b.job_id LIMIT 1",
        [now, scope],
    ).fetchall()
    if not left:
        return None
    *known, lost = left[0]
    job = _job(*known)
    session.execute("UPDATE bulk_jobs SET taken_over = taken_over + 1 WHERE job_id = $1", [job.job_id])
    where = [job.batch_id, job.call_number]
    session.execute(
        "UPDATE people SET lease_owner = $3, lease_until = $4::TIMESTAMP, epoch = epoch + 1 "
        "WHERE (lease_until IS NULL OR lease_until <= $5::TIMESTAMP) AND person_id IN (SELECT a.person_id "
        "FROM delivery_attempts a WHERE a.batch_id = $1 AND a.call_number = $2 AND a.outcome IS NULL)",
        [*where, owner, now + lease, now],
    )
    session.execute(
        "UPDATE delivery_attempts SET epoch = p.epoch FROM people p WHERE p.person_id = delivery_attempts.person_id "
        "AND p.lease_owner = $2 AND delivery_attempts.batch_id = $1",
        [job.batch_id, owner],
    )
    rows = session.execute(
        "SELECT a.id, a.person_id, a.epoch, a.operation, a.target_id, a.title, w.reason, w.delivery_key "
        "FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id "
        "JOIN writebacks w ON w.id = a.writeback_id "
        "WHERE a.batch_id = $1 AND a.call_number = $2 AND a.outcome IS NULL AND p.lease_owner = $3 ORDER BY a.id",
        [*where, owner],
    ).fetchall()
    return AdoptedJob(job, tuple(_row(job.kind, *row) for row in rows), lost)


def withdraw_unsent(session: Session, now: datetime) -> None:
    """What a worker journalled for a job that never had all its rows was certainly not sent: no such job begins."""
    session.execute(
        "UPDATE delivery_attempts SET outcome = 'not_sent', answered_at = $1::TIMESTAMP, code = 'WORKER_ENDED', "
        "message = 'The worker ended before it sent this.' WHERE id IN ("
        "SELECT a.id FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id "
        "WHERE a.lane = 'bulk' AND a.outcome IS NULL AND (p.lease_until IS NULL OR p.lease_until <= $1::TIMESTAMP) "
        "AND NOT EXISTS (SELECT 1 FROM bulk_jobs b "
        "WHERE b.batch_id = a.batch_id AND b.call_number = a.call_number "
        "AND (b.stage <> 'ended' OR b.uploaded_at IS NOT NULL)))",
        [now],
    )


def _is_held(session: Session, job: BulkJob, owner: str) -> bool:
    rows = session.execute(
        "SELECT a.id FROM delivery_attempts a JOIN people p ON p.person_id = a.person_id AND p.epoch = a.epoch "
        "WHERE a.batch_id = $1 AND a.call_number = $2 AND a.outcome IS NULL AND p.lease_owner = $3 LIMIT 1",
        [job.batch_id, job.call_number, owner],
    ).fetchall()
    return bool(rows)


def _job(
    job_id: str,
    batch_id: str,
    call_number: int,
    sobject: str,
    operation: str,
    external_id_field: str | None,
    rows: int,
    stage: str,
    created_at: datetime,
    run_id: str | None,
) -> BulkJob:
    kind = JobKind(sobject, operation, external_id_field)
    return BulkJob(job_id, batch_id, call_number, kind, rows, Stage(stage), in_utc(created_at), run_id)


def _row(
    kind: JobKind,
    attempt_id: int,
    person_id: str,
    epoch: int,
    operation: str,
    target_id: str,
    title: str | None,
    reason: str | None,
    key: str,
) -> AdoptedRow:
    write = journalled_write(kind, Operation(operation), target_id, title, reason, key)
    return AdoptedRow(attempt_id, person_id, epoch, write)
