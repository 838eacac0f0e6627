"""Which windows of activity are owed: what was delivered, held against the event files as they are now.

A window is missing or changed because of what the ledger and the files say, never because a tick was missed: so a
machine that was off for days catches up at its next tick. What a tick does about it is decided in `domain.windows`.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Protocol

from writeback_pipeline.domain.settings import Occurrence, WritebackSettings
from writeback_pipeline.domain.window_ledger import DeliveredWindow
from writeback_pipeline.domain.windows import REACH_DAYS, Calendar, Window, WindowState, window_of, windows_in_reach
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

_LONGEST_WINDOW = timedelta(days=8)
_DAYS: Mapping[str, int] = {Occurrence.DAILY: 1, Occurrence.WEEKLY: 7}


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
    ledger: DeliveredWindows, files: EventFiles, occurrence: Occurrence, at: datetime, *, now: datetime
) -> dict[Kind, dict[str, WindowState]]:
    """The state of every closed window in reach of `at` and of the one open then, by kind and name.

    `now` decides what is due of a window that was delivered: `at` is earlier where a cadence looks back.
    """
    settings = ledger.settings()
    calendar = Calendar(occurrence, settings.zone, settings.week_starts_on)
    windows = [*windows_in_reach(at, calendar), window_of(at, calendar)]
    fingerprints = files.fingerprints(windows)
    delivered = ledger.delivered_windows(at - timedelta(days=REACH_DAYS) - _LONGEST_WINDOW, now)
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
    delivered = list(delivered)
    for each in delivered:
        if (each.occurrence, each.name) == (window.occurrence, window.name):
            as_it_stands = (each.start, each.end, each.fingerprint) == (window.start, window.end, fingerprint)
            return WindowState.CURRENT if as_it_stands and not each.owed else WindowState.CHANGED
    days = set(_days(window.occurrence, window.first_day))
    others = [each for each in delivered if days & set(_days(each.occurrence, date.fromisoformat(each.name)))]
    if not others:
        return WindowState.MISSING if fingerprint else WindowState.CURRENT
    covered = {day for each in others for day in _days_delivered(each)}
    return WindowState.COVERED if days <= covered else WindowState.PARTLY


def _days_delivered(each: DeliveredWindow) -> Iterable[date]:
    """Its local days that had ended when it was last delivered: an open week holds more than was written of it."""
    complete = each.delivered_at >= each.end
    days = _days(each.occurrence, date.fromisoformat(each.name))
    return days if complete else days[: max(0, (each.delivered_at - each.start) // timedelta(days=1))]


def _days(occurrence: str, first_day: date) -> list[date]:
    # Compared by their dates, not by their instants: in another time zone a day is still the same day.
    return [first_day + timedelta(days=number) for number in range(_DAYS[occurrence])]
