"""Rows on their way into Bulk jobs: journalled portion by portion, and put away until their job takes them.

At no moment are all of them there as objects. Which job carries a row is decided here, before it is journalled; what is
done with the jobs is decided in `bulk_jobs`.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from writeback_pipeline.delivery.protocols import JobFiles, Journal
from writeback_pipeline.delivery.sending import Outgoing, intent
from writeback_pipeline.delivery.shelf import Shelf
from writeback_pipeline.domain.bulk import BULK_LANE, JobKind
from writeback_pipeline.domain.ledger import OriginChange
from writeback_pipeline.domain.records import RowWrite


@dataclass(frozen=True, slots=True)
class JobRows:
    """The rows of one job that may be sent: their places in the batch, their ids in the journal, what is written, and
    what the ledger knows of a flag once that is confirmed."""

    kind: JobKind
    places: "array[int]" = field(default_factory=lambda: array("q"))
    attempts: "array[int]" = field(default_factory=lambda: array("q"))
    writes: Shelf[RowWrite] = field(default_factory=Shelf)
    evidence: Shelf[OriginChange | None] = field(default_factory=Shelf)


class Batch:
    """Rows of people under leases, as many as `rows` by now; `jobs` are what they go as, by number from 1."""

    def __init__(self, files: JobFiles, ledger: Journal, now: Callable[[], datetime], run_id: str | None) -> None:
        self.id = uuid4().hex
        self.rows = 0
        self.jobs: dict[int, JobRows] = {}
        self._files, self._ledger, self._now, self._run_id = files, ledger, now, run_id

    def add(self, rows: Sequence[Outgoing]) -> None:
        """Journal a portion of rows. One of a person whom another worker has taken over is in no job."""
        shared, now = self._files.share_out([row.write for row in rows]), self._now()
        attempts = self._ledger.journal(
            [
                intent(row, self.id, BULK_LANE, number, now, self._run_id)
                for row, (number, _) in zip(rows, shared, strict=True)
            ]
        )
        ours: dict[tuple[int, JobKind], list[tuple[int, int, Outgoing]]] = defaultdict(list)
        for place, (row, job, attempt) in enumerate(zip(rows, shared, attempts, strict=True), self.rows):
            if attempt is not None:
                ours[job].append((place, attempt, row))
        for (number, kind), theirs in ours.items():
            job_rows = self.jobs.setdefault(number, JobRows(kind))
            job_rows.places.extend(place for place, _, _ in theirs)
            job_rows.attempts.extend(attempt for _, attempt, _ in theirs)
            job_rows.writes.put(row.write for _, _, row in theirs)
            job_rows.evidence.put(row.evidence for _, _, row in theirs)
        self.rows += len(rows)
