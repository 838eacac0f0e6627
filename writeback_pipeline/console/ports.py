"""What the pages need of the rest, as small protocols; the command binds them. A page that needs more adds it here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from writeback_pipeline.delivery.activity_preview import MailingEvents, Summaries
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.ledger import Asked, OperatorAction, RetryResult, SettingChange, WritebackFilter
from writeback_pipeline.domain.listing import OpenedWriteback, Position, Tally
from writeback_pipeline.domain.listing import Page as ListPage
from writeback_pipeline.domain.measures import Measures
from writeback_pipeline.domain.overview import Overview
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Held
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.story import Facts
from writeback_pipeline.domain.writebacks import Writeback


class Ledger(Summaries, Protocol):
    """The platform database. Every call is a short transaction of its own; any may raise one of `Ports.troubles`."""

    def activity_settings(self) -> WritebackSettings:
        """The settings now."""

    def setting_texts(self) -> dict[str, str]:
        """The settings as they are stored, whether or not their values are allowed."""

    def change_settings(
        self, texts: Mapping[str, str], by: str, now: datetime, *, seen: int | None = None
    ) -> list[SettingChange]:
        """Change these settings, all or none; those that really changed. Raises SettingsMoved when there are other
        changes than the `seen` ones."""

    def settings(self) -> WritebackSettings:
        """The settings now, activity off where one of its own has a value that it does not take."""

    def measures(self, now: datetime) -> Measures:
        """What a monitoring system watches, of one moment."""

    def overview(self, now: datetime) -> Overview:
        """The ledger at a glance."""

    def story(self, who: str) -> list[Facts]:
        """What is kept of everybody of that record id, e-mail address or subscriber."""

    def page(
        self,
        only: WritebackFilter,
        size: int,
        *,
        older_than: Position | None = None,
        newer_than: Position | None = None,
    ) -> tuple[ListPage, Tally]:
        """A page of the Writeback List beside a place in it, the first without one, and how much there is in all."""

    def writebacks(self, only: WritebackFilter) -> list[Writeback]:
        """The rows of a filter, newest event first."""

    def count(self, only: WritebackFilter) -> int:
        """How many rows the filter shows, whatever its limit."""

    def listed(self, only: WritebackFilter) -> Sequence[int]:
        """The ids of a filter's rows, newest event first."""

    def listing_values(self, only: WritebackFilter) -> list[tuple[Any, ...]]:
        """The rows of a filter as plain values in the order of the list's columns."""

    def listing_json(self, only: WritebackFilter) -> list[str]:
        """The rows of a filter as JSON objects."""

    def opened(self, id_: int) -> OpenedWriteback | None:
        """One row with all that was done about it; None when nobody has that id."""

    def retry(self, *, seen: Mapping[int, str], asked: Asked) -> RetryResult:
        """Put rows back to pending that are as they were seen, by the ids and versions; fails for an unknown id."""

    def settings_history(self) -> list[SettingChange]:
        """Every change of a setting, oldest first."""

    def hold(self, purpose: Purpose, now: datetime) -> Hold | None:
        """Why no API call may be made now for that purpose, and until when; None when one may."""

    def calls_left(self, purpose: Purpose, now: datetime) -> int:
        """How many API calls may be made now for that purpose."""

    def enter_action(self, done: OperatorAction) -> None:
        """Enter what a person had done."""

    def latest_actions(self, action: str, limit: int) -> list[OperatorAction]:
        """The last actions of that name, newest first."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A run to start: of that job's partition, only of those assets, with those tags."""

    job: str
    partition: str
    assets: tuple[str, ...]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was started; `status` is Dagster's word in small letters."""

    id: str
    status: str
    tags: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen in it."""
        return self.status in {"success", "failure", "canceled"}


class RunsUnavailable(Exception):
    """Dagster cannot be asked, or did not do what it was asked for; the message names the remedy."""


class Runs(Protocol):
    """Dagster's runs. Every call may raise RunsUnavailable."""

    def launch(self, launch: Launch) -> str:
        """Start a run; its id."""

    def tagged(self, tag: str, value: str, limit: int) -> list[Run]:
        """The last runs with that tag, newest first."""


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of the systems beside the console, without a slash at the end; None where it is not told of one. The
    runbook is an address, or else the file of the project."""

    salesforce: str | None = None
    dagster: str | None = None
    runbook: str = "docs/runbook.md"

    def record(self, record_id: str) -> str | None:
        """A record of whatever kind, as a Salesforce user sees it."""
        return self.salesforce and f"{self.salesforce}/lightning/r/{quote(record_id, safe='')}/view"

    def run(self, run_id: str) -> str | None:
        """A run in Dagster's UI."""
        return self.dagster and f"{self.dagster}/runs/{quote(run_id, safe='')}"


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside the pages. `troubles` are the errors whose message is all that a person needs: a store that is
    busy or cannot be used. The clock gives aware instants.

    `look` asks Salesforce what it holds under a person's id; it takes seconds at most, and raises
    OrganisationUnavailable, WrongOrganisation or one of the troubles.
    """

    ledger: Ledger
    clock: Callable[[], datetime]
    troubles: tuple[type[Exception], ...]
    activity: Callable[[], MailingEvents]
    runs: Runs
    links: Links = Links()
    look: Callable[[PersonRef], Held] = field(kw_only=True)
