"""Which windows of activity are owed: what was delivered, held against the event files as they are now.

A window is missing or changed because of what the ledger and the files say, never because a tick was missed: so a
machine that was off for days catches up at its next tick. What a tick does about it is decided in `domain.windows`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from writeback_pipeline.domain.settings import Occurrence, WritebackSettings
from writeback_pipeline.domain.window_ledger import DeliveredWindow
from writeback_pipeline.domain.windows import REACH_DAYS, Calendar, Window, WindowState, window_of, windows_in_reach
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

_LONGEST_WINDOW = timedelta(days=8)
_HALF_A_DAY = timedelta(hours=12)  # a change of the time zone shifts windows by less than that, mostly


class DeliveredWindows(Protocol):
    """The store, as far as owed windows need it."""

    def settings(self) -> WritebackSettings:
        """The settings now."""

    def delivered_windows(self, since: datetime, now: datetime) -> list[DeliveredWindow]:
        """The delivered windows that end after `since`, with what is owed of them now."""


class EventFiles(Protocol):
    """The event files, as far as owed windows need them."""

    def fingerprints(self, windows: Iterable[Window]) -> Mapping[str, str]:
        """Per window's name what changes whenever its files change; empty for a window without files."""


def window_states(
    ledger: DeliveredWindows, files: EventFiles, occurrence: Occurrence, at: datetime
) -> dict[Kind, dict[str, WindowState]]:
    """The state of every closed window in reach and of the open one, by kind and name."""
    settings = ledger.settings()
    calendar = Calendar(occurrence, settings.zone, settings.week_starts_on)
    windows = [*windows_in_reach(at, calendar), window_of(at, calendar)]
    fingerprints = files.fingerprints(windows)
    delivered = ledger.delivered_windows(at - timedelta(days=REACH_DAYS) - _LONGEST_WINDOW, at)
    return {
        kind: {
            window.name: window_state(
                window, fingerprints.get(window.name, ""), [each for each in delivered if each.kind is kind]
            )
            for window in windows
        }
        for kind in ACTIVITY_KINDS
    }


def window_state(window: Window, fingerprint: str, delivered: Iterable[DeliveredWindow]) -> WindowState:
    """What one kind owes of the window, given what was delivered of that kind."""
    same = [each for each in delivered if (each.occurrence, each.name) == (window.occurrence, window.name)]
    for each in same:
        as_it_stands = (each.start, each.end, each.fingerprint) == (window.start, window.end, fingerprint)
        return WindowState.CURRENT if as_it_stands and not each.owed else WindowState.CHANGED
    if any(min(each.end, window.end) - max(each.start, window.start) >= _HALF_A_DAY for each in delivered):
        return WindowState.COVERED  # days of it were written under another occurrence or another first weekday
    return WindowState.MISSING if fingerprint else WindowState.CURRENT
