"""The vocabulary of Bulk jobs: what one may carry, how far Salesforce has got with it, how far we have.

Values and pure rules only. The calls are the gateway's work, their order is delivery's, what is known of a job is kept
by the store.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from writeback_pipeline.domain.records import DELETIONS, RowWrite

BULK_LANE = "bulk"

CALLS_PER_JOB = 5
"""Fewest that a job takes: to create it, give it its rows, close it, look once, and fetch what succeeded."""

_FIRST_LOOK = timedelta(seconds=1)
_ROWS_A_SECOND = 5_000
_LONGEST_PAUSE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class JobKind:
    """What one job does: one operation (insert, update, upsert) on one object, an upsert by that field."""

    sobject: str
    operation: str
    external_id_field: str | None = None


class JobState(StrEnum):
    """How far Salesforce has got, in its own words."""

    OPEN = "Open"
    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"
    GONE = "Gone"  # ours: Salesforce knows no such job (any more)


UNDER_WAY = (JobState.UPLOAD_COMPLETE, JobState.IN_PROGRESS)
FINISHED = (JobState.COMPLETE, JobState.FAILED, JobState.ABORTED, JobState.GONE)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as Salesforce tells of it; `processed` counts rows, refused ones included, `message` says why it failed."""

    job_id: str
    state: JobState
    processed: int = 0
    message: str | None = None


class Stage(StrEnum):
    """How far we have got with a job, as the ledger knows it."""

    CREATED = "created"  # it has an id; nothing that was uploaded counts yet, so nothing can have been executed
    UPLOADED = "uploaded"  # it has all its rows and may have been closed: only Salesforce knows what became of them
    ENDED = "ended"  # its results are recorded, or it was given up before it could do anything


@dataclass(frozen=True, slots=True)
class BulkJob:
    """A job in the ledger; its rows are the attempts of that batch with that call number."""

    job_id: str
    batch_id: str
    call_number: int
    kind: JobKind
    rows: int
    stage: Stage
    created_at: datetime
    run_id: str | None = None


class JobRefused(Exception):
    """Salesforce takes no such job, whatever its rows; they may still be written another way."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def kind_of(row: RowWrite) -> JobKind | None:
    """The job that can carry the row; None for one that is several records, or that results would not name."""
    if row.linked_to is not None or row.record_key is not None or row.operation in DELETIONS:
        return None
    if row.external_id is not None:
        return JobKind(row.sobject, "upsert", row.external_id[0])
    if row.record_id is not None:
        return JobKind(row.sobject, "update")
    return JobKind(row.sobject, "insert") if {"ParentId", "Title"} <= row.fields.keys() else None


def carried_by_bulk(rows_of: Iterable[Sequence[RowWrite]], threshold: int) -> list[bool]:
    """For each person, given by its rows, whether it goes by Bulk: all of its rows, in order, or none of them.

    They do if there are at least `threshold` rows of each of their kinds: fewer calls carry them as a job.
    """
    shared: dict[tuple[JobKind | None, ...], tuple[JobKind | None, ...]] = {}
    people = [shared.setdefault(kinds, kinds) for kinds in (tuple(map(kind_of, rows)) for rows in rows_of)]
    counts = Counter(kind for kinds in people for kind in kinds)
    return [bool(kinds) and all(kind is not None and counts[kind] >= threshold for kind in kinds) for kinds in people]


def pause_before_look(rows: int, looks: int) -> timedelta:
    """How long to wait before asking about a job of so many rows again: each look is a call, so ever longer."""
    first = _FIRST_LOOK + timedelta(seconds=rows / _ROWS_A_SECOND)
    return min(first * (1 << min(looks, 6)), _LONGEST_PAUSE)
