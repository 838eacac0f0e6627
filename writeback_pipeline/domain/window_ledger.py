"""The vocabulary between the delivery of activity and the store: a window's lease, what was written of it before.

Values only. One window of one kind is delivered by one worker at a time; its summaries are rows of the Writeback List.
"""

from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind, Status


def scope_of(kind: Kind, window: Window) -> str:
    """What is leased, such as `sent:daily:2026-11-23`; the keys of its summaries begin with it."""
    return f"{kind}:{window.occurrence}:{window.name}"


@dataclass(frozen=True, slots=True)
class WindowLease:
    """A window leased to this worker; what it writes under an older epoch is fenced off."""

    scope: str
    epoch: int
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class KnownSummary:
    """A summary as the ledger has it. `revision` is what Salesforce was last confirmed to hold, None for nothing.

    `person` is where its Task hangs, after redirects. `undone` when somebody has taken it back.
    """

    writeback_id: int
    status: Status
    revision: str | None
    task_id: str | None
    person: PersonRef | None
    attempts: int
    undone: bool = False


@dataclass(frozen=True, slots=True)
class OwedSummary:
    """A summary to be written: a new row of the Writeback List, or a known one that changed.

    `person` is None for a subscriber without a Salesforce record; such a row is settled as soon as it is known.
    """

    key: str
    kind: Kind
    person: PersonRef | None
    subscriber_id: str | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """What was counted of one kind in one window when it was delivered.

    `events_in_rows` are those that the summaries and the rows without a recipient hold, `withdrawn` the summaries of
    earlier deliveries whose events are no longer reported.
    """

    events: int = 0
    events_in_rows: int = 0
    summaries: int = 0
    without_recipient: int = 0
    withdrawn: int = 0


@dataclass(frozen=True, slots=True)
class DeliveredWindow:
    """What the ledger remembers of a delivered window; `owed` is how many of its rows a delivery would send now."""

    kind: Kind
    occurrence: str
    name: str
    start: datetime
    end: datetime
    fingerprint: str
    delivered_at: datetime
    owed: int


@dataclass(frozen=True, slots=True)
class WindowAccount:
    """What was counted of a delivered window, and what became since of the rows that it had then.

    `open` are those not settled yet.
    """

    kind: Kind
    occurrence: str
    name: str
    counts: WindowCounts
    written: int
    failed: int
    refused: int
    no_recipient: int
    open: int

    @property
    def adds_up(self) -> bool:
        """Whether every event is in a row, and every row says what became of it: none lost, none too many."""
        rows = self.written + self.failed + self.refused + self.no_recipient + self.open
        counts = self.counts
        counted = counts.summaries + counts.without_recipient + counts.withdrawn
        return counts.events == counts.events_in_rows and rows == counted
