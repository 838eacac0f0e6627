"""Bulk jobs as they are stored: their state, what was uploaded, and the lines of their results.

Whatever a job has done is in the organisation's file, so any process can go on with it, after a crash as well. What a
job does is in `bulk_ingest` and `bulk_query`, who does it in `bulk_worker`, how it is told in `api`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from writeback_pipeline.local_org import records

JobType = Literal["V2Ingest", "V2Query"]
State = Literal["Open", "UploadComplete", "InProgress", "JobComplete", "Failed", "Aborted"]

UNFINISHED: tuple[State, ...] = ("UploadComplete", "InProgress")
FINISHED: tuple[State, ...] = ("JobComplete", "Failed", "Aborted")
_KEY_PREFIX = "750"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`created` and `modified` are stamps, `due` the instant (seconds since 1970) from which it may be worked on.

    `processed` counts the rows that are done, in the order of the upload, the `failed` ones among them. A job that a
    fault has struck fails after `fails_after` rows, for the reason `failure`.
    """

    id: str
    type: JobType
    operation: str
    object: str
    created_by: str
    created: str
    modified: str
    api_version: float
    line_ending: str
    delimiter: str
    state: State
    due: float = 0.0
    external_id_field: str | None = None
    assignment_rule: str | None = None
    query: str | None = None
    processed: int = 0
    failed: int = 0
    polls: int = 0
    milliseconds: float = 0.0
    error: str | None = None
    fails_after: int | None = None
    failure: str | None = None


def create_table(connection: sqlite3.Connection) -> None:
    """Make the tables of jobs, of their uploads and of their results."""
    columns = ", ".join(f.name for f in fields(Job))
    connection.execute(f"CREATE TABLE IF NOT EXISTS _bulk_jobs ({columns}, PRIMARY KEY (id))")
    connection.execute("CREATE TABLE IF NOT EXISTS _bulk_uploads (job TEXT PRIMARY KEY, content BLOB NOT NULL)")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _bulk_results "
        "(job TEXT, number INTEGER, failed INTEGER, line TEXT, PRIMARY KEY (job, number)) WITHOUT ROWID"
    )


def new_id(connection: sqlite3.Connection) -> str:
    """An id for a job."""
    return records.new_id(connection, _KEY_PREFIX)


def add(connection: sqlite3.Connection, job: Job) -> None:
    """Enter a new job."""
    values = asdict(job)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO _bulk_jobs ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def fetch(connection: sqlite3.Connection, job_id: str) -> Job | None:
    """The job of that 18-character id."""
    row = connection.execute("SELECT * FROM _bulk_jobs WHERE id = ?", (job_id,)).fetchone()
    return Job(**row) if row else None


def listed(connection: sqlite3.Connection, job_type: str, skip: int, most: int) -> list[Job]:
    """Jobs of a type (all for an empty one), oldest first."""
    found = connection.execute(
        "SELECT * FROM _bulk_jobs WHERE ?1 IN ('', type) ORDER BY id LIMIT ?2 OFFSET ?3", (job_type, most, skip)
    )
    return [Job(**row) for row in found]


def change(connection: sqlite3.Connection, job: Job, **changes: Any) -> Job | None:
    """The job with those columns changed; None, and nothing done, if somebody else has taken it further meanwhile."""
    assignments = ", ".join(f"{name} = ?" for name in changes)
    changed = connection.execute(
        f"UPDATE _bulk_jobs SET {assignments} WHERE id = ? AND state = ? AND processed = ?",
        (*changes.values(), job.id, job.state, job.processed),
    )
    return replace(job, **changes) if changed.rowcount else None


def next_due(connection: sqlite3.Connection, now: float, polls: int, passed_over: Iterable[str]) -> Job | None:
    """The oldest closed job that is not done, its time having come; some may be passed over."""
    skipped = set(passed_over)
    found = connection.execute(
        "SELECT * FROM _bulk_jobs WHERE state IN (?, ?) AND due <= ? AND polls >= ? ORDER BY id",
        (*UNFINISHED, now, polls),
    )
    return next((Job(**row) for row in found if row["id"] not in skipped), None)


def delete(connection: sqlite3.Connection, job_id: str) -> None:
    """Remove a job and all that belongs to it."""
    connection.execute("DELETE FROM _bulk_jobs WHERE id = ?", (job_id,))
    connection.execute("DELETE FROM _bulk_uploads WHERE job = ?", (job_id,))
    clear_results(connection, job_id)


def delete_older(connection: sqlite3.Connection, created: str) -> None:
    """Remove the jobs that were made before that stamp."""
    for row in connection.execute("SELECT id FROM _bulk_jobs WHERE created < ?", (created,)).fetchall():
        delete(connection, row["id"])


def upload(connection: sqlite3.Connection, job_id: str, content: bytes) -> bool:
    """Keep what was uploaded; false if the job has an upload already."""
    kept = connection.execute("INSERT OR IGNORE INTO _bulk_uploads VALUES (?, ?)", (job_id, content))
    return kept.rowcount > 0


def content(connection: sqlite3.Connection, job_id: str) -> bytes:
    """What was uploaded; nothing if nothing was."""
    row = connection.execute("SELECT content FROM _bulk_uploads WHERE job = ?", (job_id,)).fetchone()
    return row["content"] if row else b""


def add_results(connection: sqlite3.Connection, job_id: str, start: int, results: Iterable[tuple[bool, str]]) -> None:
    """Keep the lines of rows from number `start` on: whether the row failed, and its line as it will be told."""
    numbered = ((job_id, number, failed, line) for number, (failed, line) in enumerate(results, start))
    connection.executemany("INSERT INTO _bulk_results VALUES (?, ?, ?, ?)", numbered)


def clear_results(connection: sqlite3.Connection, job_id: str) -> None:
    """Forget the lines of a job."""
    connection.execute("DELETE FROM _bulk_results WHERE job = ?", (job_id,))


def shuffled(connection: sqlite3.Connection, job_id: str, *, failed: bool) -> Iterator[str]:
    """The lines of the rows that failed, or of the others, in an order that is not that of the upload."""
    rows = connection.execute(
        "SELECT line FROM _bulk_results WHERE job = ? AND failed = ? ORDER BY number * 2654435761 % 4294967296",
        (job_id, failed),
    )
    return (row[0] for row in rows)


def lines(connection: sqlite3.Connection, job_id: str, start: int, most: int) -> list[str]:
    """Lines in their own order, from number `start`."""
    rows = connection.execute(
        "SELECT line FROM _bulk_results WHERE job = ? AND number >= ? ORDER BY number LIMIT ?", (job_id, start, most)
    )
    return [row[0] for row in rows]
