"""What delivering windows of mailing activity would take, for a person who asks before they do it. Writes nothing."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from writeback_pipeline.delivery.protocols import CountedEvents
from writeback_pipeline.delivery.window_plan import plan_window
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.window_ledger import KnownSummary, scope_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind


class CountedKinds(Protocol):
    """A window's events, counted."""

    def of(self, kind: Kind) -> CountedEvents:
        """Those of one kind."""


class MailingEvents(Protocol):
    """The platform's mailing events."""

    def counted_each(
        self, windows: Iterable[Window], presentation: Presentation
    ) -> Generator[CountedKinds, None, None]:
        """The windows' events, counted one after the other; each stays until the next is asked for."""


class Summaries(Protocol):
    """The store, as far as a preview needs it."""

    def known_summaries(self, scope: str) -> Mapping[str, KnownSummary]:
        """What the ledger has of a window, by key."""


@dataclass(frozen=True, slots=True)
class WindowPreview:
    """What a window of one kind would take; every number but `events` and `api_calls` counts people."""

    window: str
    kind: str
    events: int
    people: int
    tasks: int
    unchanged: int
    no_recipient: int
    api_calls: int


def preview_windows(
    ledger: Summaries,
    activity: MailingEvents,
    settings: WritebackSettings,
    windows: Sequence[Window],
    kinds: Sequence[Kind],
) -> Iterator[WindowPreview]:
    """A preview for each window and kind, in order, made of the plan that a delivery would carry out."""
    presentation = Presentation(settings.platform_name, settings.zone)
    with closing(activity.counted_each(windows, presentation)) as each:
        for window, counted in zip(windows, each, strict=True):
            for kind in kinds:
                known = ledger.known_summaries(scope_of(kind, window))
                plan = plan_window(known, counted.of(kind), settings.bulk_threshold)
                yield WindowPreview(
                    window=window.name,
                    kind=kind.value,
                    events=plan.counts.events,
                    people=plan.counts.summaries,
                    tasks=len(plan.due),
                    unchanged=sum(plan.left.values()),
                    no_recipient=plan.counts.without_recipient,
                    api_calls=plan.calls,
                )
