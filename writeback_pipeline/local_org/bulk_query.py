"""Working through a query job: its rows as lines of CSV, the header line before them as number 0.

All rows are of one moment. A job that was left half done is begun again.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Any

from writeback_pipeline.local_org import bulk_csv, bulk_jobs, records, settings, soql, times
from writeback_pipeline.local_org.bulk_jobs import Job
from writeback_pipeline.local_org.fields import Field
from writeback_pipeline.local_org.session import Session
from writeback_pipeline.local_org.soql_errors import QueryError

_CHUNK = 2_000


def work(
    reader: sqlite3.Connection,
    connection: sqlite3.Connection,
    job: Job,
    clock: Callable[[], float],
    stopped: Callable[[], bool],
) -> bool:
    """Run the query of a job; false when it was left to somebody else, or to later, before its end.

    `reader` holds on to its moment while `connection` writes, so they are two.
    """
    began = time.perf_counter()

    def changed(job: Job, **changes: Any) -> Job | None:
        spent = 1000 * (time.perf_counter() - began)
        return bulk_jobs.change(connection, job, modified=times.stamp(clock()), milliseconds=spent, **changes)

    with records.atomic(connection):
        started = changed(job, state="InProgress", processed=0)
        if started is None:
            return False
        bulk_jobs.clear_results(connection, job.id)
    job = started
    try:
        with records.reading(reader):
            visible = Session(reader, settings.load(reader), job.created_by, job.created).visible
            assert job.query is not None
            table = soql.run_as_table(reader, job.query, visible=visible, include_deleted=job.operation == "queryAll")
            bulk_jobs.add_results(connection, job.id, 0, [(False, _line(job, [name for name, _ in table.columns]))])
            while chunk := table.rows.fetchmany(_CHUNK):
                lines = [(False, _line(job, _cells(table.columns, row))) for row in chunk]
                with records.atomic(connection):
                    further = None if stopped() else changed(job, processed=job.processed + len(lines))
                    if further is None:
                        return False
                    bulk_jobs.add_results(connection, job.id, job.processed + 1, lines)
                job = further
    except QueryError as error:
        failure = f"InvalidBatch : Failed to process query: {error.error_code}: {error.message}"
        return changed(job, state="Failed", error=failure) is not None
    return changed(job, state="JobComplete") is not None


def _line(job: Job, cells: list[str]) -> str:
    return bulk_csv.line(cells, job.delimiter)


def _cells(columns: list[tuple[str, Field]], row: sqlite3.Row) -> list[str]:
    return [_cell(f, value) for (_, f), value in zip(columns, row, strict=True)]


def _cell(f: Field, value: Any) -> str:
    if value is None:
        return ""
    if f.type == "boolean":
        return str(bool(value)).lower()
    return f"{value[:23]}Z" if f.type == "datetime" else str(value)
