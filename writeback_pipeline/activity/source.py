"""The platform's mailing events as the pipeline uses them: a place, and the windows counted from it on demand.

Puts the other rooms together. An id that no Contact or Lead can have is nobody to write to, like none at all.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from writeback_pipeline.activity.ahead import in_turn
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
        window = self._summaries.window
        return [
            OwedSummary(task_key(self.kind, window, f"subscriber:{who}"), self.kind, None, who, last_at)
            for who, last_at in self._summaries.nobody(self.kind)
        ]


@dataclass(frozen=True, slots=True)
class CountedWindow:
    """A window's events, counted."""

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
        return KindEvents(kind, self._summaries.fingerprint, self.presentation, self._summaries)

    def summaries(self, kind: Kind) -> int:
        """How many summaries there are of one kind."""
        return self._summaries.totals.by_kind[kind].people

    def without_recipient(self, kind: Kind) -> int:
        """How many have no record that can be written to, of those whom events of one kind name."""
        return self._summaries.totals.by_kind[kind].without_recipient.subscribers


@dataclass(frozen=True, slots=True)
class MailingEvents:
    """The events at a location: a folder, or anything that DuckDB reads. `memory_limit` is DuckDB's, such as `1GB`."""

    location: str
    memory_limit: str = "1GB"

    @contextmanager
    def counted(self, window: Window, presentation: Presentation) -> Iterator[CountedWindow]:
        """The window's events, for the length of the block; ActivityDataError names the file that cannot be used."""
        with closing(self.counted_each([window], presentation)) as counted:
            yield next(counted)

    def counted_each(
        self, windows: Iterable[Window], presentation: Presentation
    ) -> Generator[CountedWindow, None, None]:
        """The windows' events, one after the other, in one database; each stays until the next is asked for.

        The next ones are counted meanwhile.
        """
        with event_database(self.memory_limit) as database:
            count = partial(summarise, location=self.location, presentation=presentation)
            with closing(in_turn(database, (partial(count, window=window) for window in windows))) as each:
                for summaries in each:
                    yield CountedWindow(presentation, summaries)

    def fingerprints(self, windows: Iterable[Window]) -> Mapping[str, str]:
        """Per window's name what changes whenever its files change; empty for a window without files."""
        with event_database(self.memory_limit) as database:
            return {
                window.name: fingerprint(database, window_files(database, self.location, window)) for window in windows
            }
