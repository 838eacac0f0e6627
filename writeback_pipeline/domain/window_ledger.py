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

    `person` is where its Task hangs, after redirects.
    """

    writeback_id: int
    status: Status
    revision: str | None
    task_id: str | None
    person: PersonRef | None
    attempts: int


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
class DeliveredWindow:
    """What the ledger remembers of a delivered window, and what became of its summaries since.

    `open` are those not settled yet; `owed` those of them that a delivery would send now.
    """

    kind: Kind
    occurrence: str
    name: str
    start: datetime
    end: datetime
    fingerprint: str
    events: int
    summaries: int
    without_recipient: int
    delivered_at: datetime
    written: int
    failed: int
    no_recipient: int
    open: int
    owed: int

    @property
    def adds_up(self) -> bool:
        """Whether every summary counted has a row that says what became of it."""
        return self.written + self.failed + self.no_recipient + self.open >= self.summaries + self.without_recipient
