"""Working through an ingest job: its upload, 200 rows at a time, each chunk one transaction together with its results.

A chunk is therefore done with all that is told of it, or not done at all, whenever the process ends; whoever goes on
with the job begins where the last chunk ended.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from writeback_pipeline.local_org import bulk_csv, bulk_jobs, faults, ids, records, row_sets, settings, times
from writeback_pipeline.local_org.bulk_csv import BatchError
from writeback_pipeline.local_org.bulk_jobs import Job
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.row_sets import Write
from writeback_pipeline.local_org.session import Session

_PAUSE_SECONDS = 0.004

Given = dict[str, Any] | ApiError
"""A row's field values, or why it has none."""


def work(connection: sqlite3.Connection, job: Job, clock: Callable[[], float], stopped: Callable[[], bool]) -> bool:
    """Process a closed job up to its end; false when it was left before that, to somebody else or to later."""
    try:
        rows = bulk_csv.rows(bulk_jobs.content(connection, job.id), job.line_ending, job.delimiter)
        described, columns = _columns(connection, job, next(rows, []))
        going = _started(connection, job, clock)
        for _ in islice(rows, job.processed):  # they were done before this process went on with the job
            pass
        while going is not None and not stopped():
            job = going
            if job.processed == job.fails_after:
                raise BatchError(job.failure)
            left = row_sets.MOST_ROWS if job.fails_after is None else job.fails_after - job.processed
            chunk = list(islice(rows, min(left, row_sets.MOST_ROWS)))
            if not chunk:
                return _finished(connection, job, clock, state="JobComplete")
            going = _processed(connection, job, described, columns, chunk, clock)
            time.sleep(_PAUSE_SECONDS)  # others want to write as well, and SQLite keeps no queue
    except BatchError as error:
        return _finished(connection, job, clock, state="Failed", error=str(error))
    return False


def _columns(connection: sqlite3.Connection, job: Job, names: Sequence[str]) -> tuple[SObject, list[Field]]:
    described = Session(connection, settings.load(connection), job.created_by, job.created).visible(job.object)
    for name in names:
        if not described.has(name):
            raise BatchError(f"InvalidBatch : Field name not found : {name}")
    lower = [name.lower() for name in names]
    if not lower or len(set(lower)) < len(lower):
        raise BatchError("InvalidBatch : The header has to name the columns, each of them once")
    if job.operation == "delete" and lower != ["id"]:
        raise BatchError("InvalidBatch : The 'delete' batch must contain only ids")
    return described, [described.field(name) for name in names]


def _started(connection: sqlite3.Connection, job: Job, clock: Callable[[], float]) -> Job | None:
    if job.state == "InProgress":
        return job
    with records.atomic(connection):
        struck = next((fault for fault in faults.armed(connection) if _strikes(connection, fault, job)), None)
        failing = {"fails_after": struck.options["after_rows"], "failure": struck.options["message"]} if struck else {}
        return bulk_jobs.change(connection, job, state="InProgress", modified=times.stamp(clock()), **failing)


def _strikes(connection: sqlite3.Connection, fault: faults.Fault, job: Job) -> bool:
    return (
        fault.level == "job"
        and fault.object in ("", job.object)
        and fault.operation in ("", job.operation)
        and faults.strikes(connection, fault)
    )


def _finished(connection: sqlite3.Connection, job: Job, clock: Callable[[], float], **outcome: Any) -> bool:
    return bulk_jobs.change(connection, job, modified=times.stamp(clock()), **outcome) is not None


def _processed(
    connection: sqlite3.Connection,
    job: Job,
    described: SObject,
    columns: Sequence[Field],
    chunk: Sequence[Sequence[str]],
    clock: Callable[[], float],
) -> Job | None:
    """The job after these rows; None, and nothing done, if somebody else has taken it further or ended it."""
    began = time.perf_counter()
    given = [_given(columns, row) for row in chunk]  # before the transaction, for which everybody else has to wait
    with records.atomic(connection):
        moved = bulk_jobs.change(connection, job, processed=job.processed + len(chunk))
        if moved is None:
            return None
        session = Session(
            connection,
            settings.load(connection),
            job.created_by,
            times.stamp(clock()),
            assignment_rules=job.assignment_rule is not None,
            faults=faults.armed(connection),
        )
        write = _writer(session, described, job, given)
        results = [_result(write, described, job, *row) for row in zip(chunk, given, strict=True)]
        bulk_jobs.add_results(connection, job.id, job.processed, results)
        return bulk_jobs.change(
            connection,
            moved,
            failed=job.failed + sum(failed for failed, _ in results),
            modified=session.now,
            milliseconds=job.milliseconds + 1000 * (time.perf_counter() - began),
        )


def _given(columns: Sequence[Field], row: Sequence[str]) -> Given:
    try:
        return bulk_csv.given_values(columns, row)
    except ApiError as error:
        return error


def _writer(session: Session, described: SObject, job: Job, given: Sequence[Given]) -> Write:
    if job.external_id_field is not None:
        return row_sets.upserter(session, described.field(job.external_id_field), given)
    return {"insert": row_sets.creator, "update": row_sets.updater, "delete": row_sets.deleter}[job.operation](session)


def _result(write: Write, described: SObject, job: Job, row: Sequence[str], given: Given) -> tuple[bool, str]:
    """Whether the row failed, and its line among the results."""
    try:
        if isinstance(given, ApiError):
            raise given
        record_id, created = write(described, given)
    except ApiError as error:
        named = given.get("Id") or "" if isinstance(given, dict) and job.operation in ("update", "delete") else ""
        return True, bulk_csv.line([ids.normalise(named) or named, bulk_csv.error_cell(error), *row], job.delimiter)
    return False, bulk_csv.line([record_id, str(created).lower(), *row], job.delimiter)
