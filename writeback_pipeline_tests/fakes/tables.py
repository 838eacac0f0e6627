"""What the ledger in memory remembers, as plain dictionaries: rows, people, attempts, origins, Bulk jobs, windows."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from writeback_pipeline.domain.bulk import BulkJob, Stage
from writeback_pipeline.domain.ledger import Attempt, AttemptOutcome, Intent
from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, OPT_OUT_KINDS, Status, Writeback
from writeback_pipeline.store.origins import OptOut

if TYPE_CHECKING:
    from writeback_pipeline_tests.fakes.windows import Remembered


@dataclass(slots=True)
class Person:
    """A row of `people`; without an object type it is the lease of a window of activity."""

    object_type: ObjectType | None
    moved_to: PersonRef | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    epoch: int = 0
    verify_after: datetime | None = None
    verify_after_at_claim: datetime | None = None
    unreturned: int = 0

    def is_free(self, now: datetime) -> bool:
        return self.lease_until is None or self.lease_until <= now

    def give_back(self) -> None:
        self.lease_owner = self.lease_until = None


@dataclass(slots=True)
class Sending:
    """A row of `delivery_attempts`."""

    id: int
    intent: Intent
    outcome: AttemptOutcome | None = None
    read_back: bool = False

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.id, self.intent, self.outcome)

    def is_in(self, job: BulkJob) -> bool:
        """Whether it is a row of that job."""
        return self.intent.batch_id == job.batch_id and self.intent.call_number == job.call_number


@dataclass(slots=True)
class Tables:
    """Everything, with the look-ups that the statements of a database would make.

    `open` are the ids of the rows to which something is owed, `sending` those that were sent and not settled;
    `suspects` the people whose workers ended more than once.
    """

    rows: dict[int, Writeback] = field(default_factory=dict)
    owner_of: dict[int, str] = field(default_factory=dict)
    rows_of: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    people: dict[str, Person] = field(default_factory=dict)
    attempts: dict[int, Sending] = field(default_factory=dict)
    attempts_of: defaultdict[int, list[Sending]] = field(default_factory=lambda: defaultdict(list))
    open_attempts: dict[int, Sending] = field(default_factory=dict)
    origins: defaultdict[str, list[OptOut]] = field(default_factory=lambda: defaultdict(list))
    open: set[int] = field(default_factory=set)
    sending: set[int] = field(default_factory=set)
    suspects: set[str] = field(default_factory=set)
    jobs: dict[str, BulkJob] = field(default_factory=dict)
    questioned: set[int] = field(default_factory=set)
    uploaded: set[str] = field(default_factory=set)
    taken_over: Counter[str] = field(default_factory=Counter)
    revisions: dict[int, str] = field(default_factory=dict)
    windows: dict[str, "Remembered"] = field(default_factory=dict)

    def insert(self, row: Writeback, owner: str | None) -> None:
        """A new row, of that person or window."""
        self.put(row)
        if owner is not None:
            self.owner_of[row.id] = owner
            self.rows_of[owner].append(row.id)

    def put(self, row: Writeback) -> None:
        """The row as it is now."""
        self.rows[row.id] = row
        (self.open.add if row.status in OPEN_STATUSES else self.open.discard)(row.id)
        (self.sending.add if row.status is Status.SENDING else self.sending.discard)(row.id)

    def unfinished_jobs(self) -> list[BulkJob]:
        return [job for job in self.jobs.values() if job.stage is not Stage.ENDED]

    def unanswered_in_jobs(self) -> list[Sending]:
        """What only the results of a job can tell."""
        unfinished = self.unfinished_jobs()
        return [each for each in self.open_attempts.values() if any(each.is_in(job) for job in unfinished)]

    def people_in_jobs(self) -> set[str]:
        return {each.intent.person_id for each in self.unanswered_in_jobs()}

    def may_have_been_in_a_job(self, sending: Sending) -> bool:
        """Whether there is a job of it that is at work, or was."""
        return any(
            sending.is_in(job) and (job.stage is not Stage.ENDED or id_ in self.uploaded)
            for id_, job in self.jobs.items()
        )

    def opt_outs_of(self, person: str) -> list[Writeback]:
        """In the order of a claim: by time, then by arrival."""
        found = (self.rows[id_] for id_ in self.rows_of[person])
        return sorted((row for row in found if row.kind in OPT_OUT_KINDS), key=lambda row: (row.occurred_at, row.id))

    def add_people(self, people: Iterable[PersonRef]) -> None:
        for person in people:
            self.people.setdefault(person.salesforce_id, Person(person.object_type))

    def is_current(self, person: str, epoch: int) -> bool:
        return person in self.people and self.people[person].epoch == epoch

    def flag_is_ours(self, person: str) -> bool:
        return any(
            entry.origin == "platform" and entry.flag_set and entry.cleared_at is None for entry in self.origins[person]
        )


def event_of(row: Writeback) -> OptOutEvent:
    """The row as the fold sees it: an event in the future happened when it was queued."""
    at = row.created_at if row.is_misdated else row.occurred_at
    return OptOutEvent(row.id, row.kind, at, row.status, row.flag_result, row.note_id is not None)
