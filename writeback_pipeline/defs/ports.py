"""What the Dagster shell needs of the outside, as resources: a platform database and a Salesforce organisation.

`writeback_pipeline.definitions` binds the real ones; a test binds its own. Assets, sensors and checks see only these.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from writeback_pipeline.delivery.auditing import AuditedLedger, AuditedOrganisation
from writeback_pipeline.delivery.owed_windows import DeliveredWindows, EventFiles
from writeback_pipeline.delivery.protocols import ActivityLedger, CountedEvents, OptOutLedger
from writeback_pipeline.delivery.protocols import Organisation as DeliveryOrganisation
from writeback_pipeline.delivery.reconciling import Notes, Written
from writeback_pipeline.delivery.watching import Teller, WatchedLedger
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.findings import Finding
from writeback_pipeline.domain.holds import Hold, Poll
from writeback_pipeline.domain.latency import Latency, LatencyByDay
from writeback_pipeline.domain.ledger import QueueDepth, WritebackFilter
from writeback_pipeline.domain.listing import Page, Tally
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.window_ledger import WindowAccount
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind, Writeback


class Organisation(DeliveryOrganisation, Notes, AuditedOrganisation, Protocol):
    """Salesforce as the shell sees it."""

    def preflight(self, settings: WritebackSettings, pinned: str | None, now: datetime) -> Sequence[Finding]:
        """What delivery under these settings would meet there; writes nothing and never raises."""


class Ledger(OptOutLedger, ActivityLedger, DeliveredWindows, Written, AuditedLedger, WatchedLedger, Protocol):
    """The store as the shell sees it: what delivery needs, and the looks that metadata and checks show."""

    def beat(self, name: str, interval: timedelta, now: datetime) -> None:
        """Remember that something which ticks at that interval has ticked."""

    def standing_counts(self) -> Mapping[str, int]:
        """How many people stand opted out, by origin."""

    def window_accounts(self, since: datetime) -> Sequence[WindowAccount]:
        """What was counted of the delivered windows that end after `since`, and what became of their rows."""

    def depth(self) -> QueueDepth:
        """How much is owed and how old it is."""

    def latency_of_run(self, run_id: str) -> Latency | None:
        """How long the opt-outs took that this run wrote; None when it wrote none."""

    def latency_by_day(self, since: datetime) -> LatencyByDay:
        """How long the opt-outs took that were written since then, by UTC day, newest first."""

    def poll(self, name: str, interval: timedelta, purpose: Purpose, now: datetime) -> Poll:
        """What a delivery would take now and why it may not, and a sign of life of what asks."""

    def is_delivering(self, now: datetime) -> bool:
        """Whether a worker has anybody leased now, to deliver opt-outs or to take them back."""

    def activity_settings(self) -> WritebackSettings:
        """The settings now; raises InvalidSetting, naming it, where one has a value that it does not take."""

    def hold(self, purpose: Purpose, now: datetime) -> Hold | None:
        """Why Salesforce would not be called now, and until when."""

    def calls_left(self, purpose: Purpose, now: datetime) -> int:
        """How many API calls may be made now."""

    def unaccounted(self, now: datetime) -> Sequence[int]:
        """Ids of opt-outs whose row contradicts itself."""

    def writebacks(self, only: WritebackFilter) -> Sequence[Writeback]:
        """Rows of the Writeback List, newest first."""

    def page(self, only: WritebackFilter, size: int) -> tuple[Page, Tally]:
        """The first page of the Writeback List, and how much there is in all."""


class CountedWindow(Protocol):
    """A window's events, counted."""

    @property
    def rows_read(self) -> int:
        """Rows that the files have for the window."""

    @property
    def repeated(self) -> int:
        """Rows of them that repeat an event."""

    @property
    def of_no_kind(self) -> int:
        """Events of them that are neither sent nor opened."""

    def of(self, kind: Kind) -> CountedEvents:
        """Those of one kind."""

    def summaries(self, kind: Kind) -> int:
        """How many summaries there are of one kind."""

    def without_recipient(self, kind: Kind) -> int:
        """How many have no record that can be written to, of those whom events of one kind name."""


class MailingActivity(EventFiles, Protocol):
    """The resource `mailing_activity`: the platform's mailing events."""

    def counted(self, window: Window, presentation: Presentation) -> AbstractContextManager[CountedWindow]:
        """The window's events, for the length of the block; an error names the file that cannot be used."""

    def counted_each(
        self, windows: Iterable[Window], presentation: Presentation
    ) -> Generator[CountedWindow, None, None]:
        """The windows' events, one after the other; each stays until the next is asked for."""


class PlatformDatabase(Protocol):
    """The resource `platform_database`."""

    def ledger(self) -> Ledger:
        """The queue and ledger kept in it."""


class SalesforceConnector(Protocol):
    """The resource `salesforce`."""

    def connect(self, purpose: Purpose, *, manual: bool) -> AbstractContextManager[Organisation]:
        """A session with the organisation, closed at the end of the block; `manual` when a person asked for it."""


class AlertChannels(Protocol):
    """The resource `alert_channels`."""

    def teller(self) -> Teller:
        """How people are told of what is wrong."""
