"""What the ledger in memory remembers, as plain dictionaries: rows, people, attempts, origins."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from writeback_pipeline.domain.ledger import Attempt, AttemptOutcome, Intent
from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Writeback
from writeback_pipeline.store.origins import OptOut


@dataclass(slots=True)
class Person:
    """A row of `people`."""

    object_type: ObjectType
    moved_to: PersonRef | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    epoch: int = 0
    verify_after: datetime | None = None
    verify_after_at_claim: datetime | None = None

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


@dataclass(slots=True)
class Tables:
    """Everything, with the look-ups that the statements of a database would make."""

    rows: dict[int, Writeback] = field(default_factory=dict)
    owner_of: dict[int, str] = field(default_factory=dict)
    rows_of: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    people: dict[str, Person] = field(default_factory=dict)
    attempts: dict[int, Sending] = field(default_factory=dict)
    attempts_of: defaultdict[int, list[Sending]] = field(default_factory=lambda: defaultdict(list))
    open_attempts: dict[int, Sending] = field(default_factory=dict)
    origins: defaultdict[str, list[OptOut]] = field(default_factory=lambda: defaultdict(list))

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
    late = row.occurred_at > row.created_at + timedelta(hours=1)
    at = row.created_at if late else row.occurred_at
    return OptOutEvent(row.id, row.kind, at, row.status, row.flag_result, row.note_id is not None)
