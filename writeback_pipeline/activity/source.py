"""The platform's mailing events as the pipeline uses them: a place, and the windows counted from it on demand.

Puts the other rooms together. An id that no Contact or Lead can have is nobody to write to, like none at all.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.activity.database import event_database
from writeback_pipeline.activity.files import fingerprint, window_files
from writeback_pipeline.activity.summaries import WindowSummaries, summarise
from writeback_pipeline.domain.activity import Presentation, Summary, task_key
from writeback_pipeline.domain.window_ledger import OwedSummary
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind


@dataclass(frozen=True, slots=True)
class KindEvents:
    """The events of one kind in one window, counted."""

    kind: Kind
    fingerprint: str
    presentation: Presentation
    _summaries: WindowSummaries

    @property
    def events(self) -> int:
        """Events, each counted once, those without a recipient included."""
        totals = self._summaries.totals.by_kind[self.kind]
        return totals.events + totals.without_recipient.events

    @property
    def events_in_rows(self) -> int:
        """Events that the summaries and the rows without a recipient hold; the same number, unless some were lost."""
        return self._summaries.events_in_rows(self.kind)

    def revisions(self) -> Mapping[str, str]:
        """The revision of every summary, by key."""
        return dict(self._summaries.revisions(self.kind))

    def summaries(self, keys: Sequence[str]) -> Sequence[Summary]:
        """The summaries with these keys."""
        return list(self._summaries.summaries(self.kind, keys))

    def without_recipient(self) -> Sequence[OwedSummary]:
        """A row for everybody who has no record that can be written to, by subscriber or by the id that is none."""
        last: dict[str, datetime] = {}
        for who, last_at in self._summaries.nobody(self.kind):  # a subscriber may be called what another's wrong id is
            last[who] = max(last_at, last.get(who, last_at))
        window = self._summaries.window
        return [
            OwedSummary(task_key(self.kind, window, f"subscriber:{who}"), self.kind, None, who, last_at)
            for who, last_at in last.items()
        ]


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """A window's events, counted."""

    fingerprint: str
    presentation: Presentation
    _summaries: WindowSummaries

    @property
    def rows_read(self) -> int:
        """Rows that the files have for the window."""
        return self._summaries.totals.events_read

    @property
    def repeated(self) -> int:
        """Rows of them that repeat an event, by its id."""
        return self._summaries.totals.duplicates

    @property
    def of_no_kind(self) -> int:
        """Events of them that are neither sent nor opened."""
        return sum(self._summaries.totals.unknown_kinds.values())

    def of(self, kind: Kind) -> KindEvents:
        """Those of one kind."""
        return KindEvents(kind, self.fingerprint, self.presentation, self._summaries)


@dataclass(frozen=True, slots=True)
class MailingEvents:
    """The events at a location: a folder, or anything that DuckDB reads. `memory_limit` is DuckDB's, such as `1GB`."""

    location: str
    memory_limit: str = "1GB"

    @contextmanager
    def counted(self, window: Window, presentation: Presentation) -> Iterator[CountedWindow]:
        """The window's events, for the length of the block; ActivityDataError names the file that cannot be used."""
        with event_database(self.memory_limit) as database:
            print_ = fingerprint(database, window_files(database, self.location, window))
            with summarise(database, self.location, window, presentation) as summaries:
                yield CountedWindow(print_, presentation, summaries)

    def fingerprints(self, windows: Iterable[Window]) -> Mapping[str, str]:
        """Per window's name what changes whenever its files change; empty for a window without files."""
        with event_database(self.memory_limit) as database:
            return {
                window.name: fingerprint(database, window_files(database, self.location, window)) for window in windows
            }
