"""The vocabulary of Bulk jobs: what one may carry, how far Salesforce has got with it, how far we have.

Values and pure rules only. The calls are the gateway's work, their order is delivery's, what is known of a job is kept
by the store.
"""

from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from writeback_pipeline.domain.records import DELETIONS, RowWrite

BULK_LANE = "bulk"

CALLS_PER_JOB = 5
"""Fewest that a job takes: to create it, give it its rows, close it, look once, and fetch what succeeded."""

READ_BACK_AFTER = 3
"""How many workers may end after they took a job over, before nobody reads its results any more."""

_FIRST_LOOK = timedelta(seconds=1)
_ROWS_A_SECOND = 5_000
_LONGEST_PAUSE = timedelta(seconds=60)


class JobKind(NamedTuple):
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


Kinds = tuple[JobKind | None, ...]
"""Of what kind each row of a person is, in their order."""


def kinds_of(rows: Iterable[RowWrite]) -> Kinds:
    """The kinds of a person's rows."""
    return tuple(map(kind_of, rows))


class KindCounts:
    """How many rows of each kind there are among many people's, and so who goes by Bulk.

    A person does with all rows, in order, or with none: if there are at least so many rows of each of their kinds.
    Fewer calls carry them as a job.
    """

    def __init__(self) -> None:
        self._people: Counter[Kinds] = Counter()

    def add(self, kinds: Kinds) -> None:
        """Count the rows of one person."""
        self._people[kinds] += 1

    @property
    def all(self) -> Set[Kinds]:
        """What was counted, each once."""
        return self._people.keys()

    def carried(self, threshold: int) -> Set[Kinds]:
        """The kinds of rows with which a person goes by Bulk."""
        rows: Counter[JobKind | None] = Counter()
        for kinds, people in self._people.items():
            for kind in kinds:
                rows[kind] += people
        return {
            kinds
            for kinds in self._people
            if kinds and all(kind is not None and rows[kind] >= threshold for kind in kinds)
        }


def carried_by_bulk(rows_of: Iterable[Iterable[RowWrite]], threshold: int) -> list[bool]:
    """For each person, given by their rows, whether they go by Bulk."""
    counts, people = KindCounts(), [kinds_of(rows) for rows in rows_of]
    for kinds in people:
        counts.add(kinds)
    carried = counts.carried(threshold)
    return [kinds in carried for kinds in people]


def pause_before_look(rows: int, looks: int) -> timedelta:
    """How long to wait before asking about a job of so many rows again: each look is a call, so ever longer."""
    first = _FIRST_LOOK + timedelta(seconds=rows / _ROWS_A_SECOND)
    return min(first * (1 << min(looks, 6)), _LONGEST_PAUSE)
