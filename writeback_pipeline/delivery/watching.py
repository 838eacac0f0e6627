"""Watch the pipeline: look at its health, keep its incidents, tell each channel what it does not know yet.

A look never waits long for a channel and never fails because of one: what could not be told is told by a later look.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Protocol

from writeback_pipeline.domain.alerts import Sighting, judged_rules, look
from writeback_pipeline.domain.health import DagsterHealth, LedgerHealth
from writeback_pipeline.domain.incidents import Incident, Notice

_log = logging.getLogger(__name__)


class WatchedLedger(Protocol):
    """The store, as far as watching needs it."""

    def health(self, now: datetime) -> LedgerHealth:
        """What is owed, what calls are left, and when what ticks has ticked."""

    def incidents(self, now: datetime) -> list[Incident]:
        """Those that last, and those lately over of which a channel may not know it yet, oldest first."""

    def enter_incidents(self, sightings: Sequence[Sighting], judged: Collection[str], now: datetime) -> None:
        """Open, keep and close incidents by what is seen now; those of rules that were not judged stay as they are."""

    def take_notices(self, channels: Collection[str], reminder: timedelta, now: datetime) -> list[Notice]:
        """What these channels are to be told now, taken by the caller for as long as sending takes."""

    def record_notices(self, sent: Sequence[Notice], trouble: str | None, now: datetime) -> None:
        """What became of notices that were sent together: told, or why not."""


class Teller(Protocol):
    """How the channels are reached."""

    @property
    def channels(self) -> Collection[str]:
        """Their names."""

    @property
    def reminder(self) -> timedelta:
        """How long after it was last told what lasts is told again."""

    def tell(self, channel: str, notices: Sequence[Notice]) -> str | None:
        """Send one message; why it did not get through, None when it did. Takes seconds at most."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What a look found: the incidents that have lasted long enough to be told of, how many notices were told, and by
    channel why others were not."""

    incidents: Sequence[Incident]
    told: int
    trouble: dict[str, str]


def watch(
    ledger: WatchedLedger, teller: Teller, now: Callable[[], datetime], dagster: DagsterHealth | None = None
) -> Watch:
    """One look. Without `dagster` what only it can tell is left as it is. Raises StoreBusy."""
    at = now()
    sightings = look(ledger.health(at), dagster, at)
    ledger.enter_incidents(sightings, judged_rules(with_dagster=dagster is not None), at)
    told, trouble = 0, {}
    for channel, notices in _by_channel(ledger.take_notices(teller.channels, teller.reminder, at)):
        why_not = teller.tell(channel, notices)
        ledger.record_notices(notices, why_not, now())
        if why_not is None:
            told += len(notices)
        else:
            trouble[channel] = why_not
            _log.warning("%d alerts did not get through by %s: %s", len(notices), channel, why_not)
    after = now()
    lasting = [each for each in ledger.incidents(after) if each.closed_at is None and each.is_due(after)]
    return Watch(lasting, told, trouble)


def _by_channel(notices: Sequence[Notice]) -> Iterator[tuple[str, list[Notice]]]:
    for channel, group in groupby(sorted(notices, key=lambda each: each.channel), key=lambda each: each.channel):
        yield channel, list(group)
