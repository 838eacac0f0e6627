"""What must be true in the end, told from the organisation's own tables: every event once, every flag as they have it.

The events are those that the queue acknowledged; the fold over them is written down here a second time, on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.local_org.state import Organisation
from writeback_pipeline.store.store import Store


@dataclass(frozen=True, slots=True)
class Event:
    """One opt-out change; `name` is its reason, by which its Note is known again."""

    name: str
    kind: Kind
    person: str
    at: datetime

    @property
    def change(self) -> Change:
        """As the platform queues it."""
        object_type = ObjectType.LEAD if self.person.startswith("00Q") else ObjectType.CONTACT
        return Change(self.kind, object_type, self.person, self.at, reason=self.name, key=self.name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Names of events lost and duplicated, people with a stale flag or Task; `unfinished` are rows not written."""

    events: int
    lost: tuple[str, ...]
    duplicated: tuple[str, ...]
    stale: tuple[str, ...]
    unfinished: tuple[str, ...]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.duplicated or self.stale or self.unfinished)

    def __str__(self) -> str:
        counts = f"lost {len(self.lost)}, duplicated {len(self.duplicated)}, stale {len(self.stale)}"
        named = [
            f"{word}: {', '.join(names[:5])}"
            for word, names in (
                ("lost", self.lost),
                ("duplicated", self.duplicated),
                ("stale", self.stale),
                ("unfinished", self.unfinished),
            )
            if names
        ]
        return "; ".join([f"{self.events:,} writebacks, {counts}, unfinished {len(self.unfinished)}", *named])


@dataclass
class Platform:
    """The e-mail platform: what it has queued so far, and what would make sense for a person next."""

    events: list[Event] = field(default_factory=list)

    def queue(self, ledger: Store, events: Sequence[Event], now: datetime) -> None:
        """Queue the events; they count once the queue has acknowledged them."""
        ledger.enqueue([event.change for event in events], now)
        self.events += events

    def judge(self, ledger: Store, inside: Organisation) -> Verdict:
        """Compare what was queued with what the organisation holds, Notes in the recycle bin included."""
        with inside.connection() as connection:
            bodies = connection.execute("SELECT Body FROM Note").fetchall()
            flags = dict(
                connection.execute(
                    "SELECT Id, HasOptedOutOfEmail FROM Contact UNION ALL SELECT Id, HasOptedOutOfEmail FROM Lead"
                ).fetchall()
            )
        notes = Counter(body["Body"].rpartition("Reason: ")[2] for body in bodies)
        names = [event.name for event in self.events]
        rows = [row for row in ledger.writebacks(WritebackFilter()) if row.kind in (Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE)]
        return Verdict(
            events=len(names),
            lost=tuple(name for name in names if not notes[name]),
            duplicated=tuple(name for name, count in notes.items() if count > 1),
            stale=tuple(person for person, flag in opted_out(self.events).items() if bool(flags[person]) != flag),
            unfinished=tuple(
                f"{row.reason} {row.status} {row.error_code}" for row in rows if row.status is not Status.WRITTEN
            ),
        )


def opted_out(events: Iterable[Event]) -> Mapping[str, bool]:
    """The flag that must stand, by person: the latest event decides; at one instant the unsubscribe."""
    latest: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: (event.at, event.kind is Kind.UNSUBSCRIBE)):
        latest[event.person] = event
    return {person: event.kind is Kind.UNSUBSCRIBE for person, event in latest.items()}
