"""The three files that an ingest job leaves: rows that succeeded, rows that failed, rows that it never got to.

Each has a header line, also when nothing follows it; the order of the rows is not that of the upload.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice

from writeback_pipeline.local_org import bulk_csv, bulk_jobs
from writeback_pipeline.local_org.bulk_csv import BatchError
from writeback_pipeline.local_org.bulk_jobs import Job


def successful(connection: sqlite3.Connection, job: Job) -> Iterator[str]:
    """`sf__Id`, `sf__Created` and the columns of the upload."""
    yield _header(connection, job, '"sf__Id"', '"sf__Created"')
    yield from bulk_jobs.shuffled(connection, job.id, failed=False)


def failed(connection: sqlite3.Connection, job: Job) -> Iterator[str]:
    """`sf__Id`, empty where no record was named, `sf__Error` and the columns of the upload."""
    yield _header(connection, job, '"sf__Id"', '"sf__Error"')
    yield from bulk_jobs.shuffled(connection, job.id, failed=True)


def unprocessed(connection: sqlite3.Connection, job: Job) -> Iterator[str]:
    """The columns of the upload, for as far as it can be read."""
    yield _header(connection, job)
    rows = _rows(connection, job)
    for row in islice(rows, job.processed + 1, None):
        yield bulk_csv.line(row, job.delimiter)


def _header(connection: sqlite3.Connection, job: Job, *more: str) -> str:
    return bulk_csv.DELIMITERS[job.delimiter].join([*more, *next(_rows(connection, job), [])])


def _rows(connection: sqlite3.Connection, job: Job) -> Iterator[list[str]]:
    try:
        yield from bulk_csv.rows(bulk_jobs.content(connection, job.id), job.line_ending, job.delimiter)
    except BatchError:
        return
