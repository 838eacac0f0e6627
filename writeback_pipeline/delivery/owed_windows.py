"""Which windows of activity are owed: what was delivered, held against the event files as they are now.

A window is missing or changed because of what the ledger and the files say, never because a tick was missed: so a
machine that was off for days catches up at its next tick. What a tick does about it is decided in `domain.windows`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol

from writeback_pipeline.domain.settings import Occurrence, Weekday, WritebackSettings
from writeback_pipeline.domain.window_ledger import DeliveredWindow
from writeback_pipeline.domain.windows import (
    REACH_DAYS,
    Calendar,
    Window,
    WindowState,
    calendar_of,
    window_of,
    windows_in_reach,
)
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
                window, fingerprints.get(window.name, ""), [each for each in delivered if each.kind is kind], settings
            )
            for window in windows
        }
        for kind in ACTIVITY_KINDS
    }


def window_state(
    window: Window, fingerprint: str, delivered: Iterable[DeliveredWindow], settings: WritebackSettings
) -> WindowState:
    """What one kind owes of the window, given what was delivered of that kind.

    A day belongs to the first window that was delivered with it, and that window is kept up to date whatever
    occurrence is chosen later. Days left over in a week of which others have taken some are delivered one by one.
    """
    delivered = list(delivered)
    for each in delivered:
        if (each.occurrence, each.name) == (window.occurrence, window.name):
            as_it_stands = (each.start, each.end, each.fingerprint) == (window.start, window.end, fingerprint)
            return WindowState.CURRENT if as_it_stands and not each.owed else WindowState.CHANGED
    taken = {day for each in delivered for day in _days_taken(each, settings.week_starts_on)}
    if taken.intersection(_days(window.occurrence, window.first_day)):
        return WindowState.COVERED
    if window.occurrence is not settings.occurrence:
        chosen = window_of(window.first_day, calendar_of(settings))
        if window.occurrence is Occurrence.WEEKLY or not taken.intersection(_days(Occurrence.WEEKLY, chosen.first_day)):
            return WindowState.COVERED
    return WindowState.MISSING if fingerprint else WindowState.CURRENT


def _days_taken(each: DeliveredWindow, week_starts_on: Weekday) -> Sequence[date]:
    """Its days. Of a week that nobody can finish any more, as weeks start on another day now, only those that had
    ended when it was last delivered."""
    first = date.fromisoformat(each.name)
    days = _days(each.occurrence, first)
    is_daily = each.occurrence == Occurrence.DAILY
    if is_daily or first.weekday() == list(Weekday).index(week_starts_on) or each.delivered_at >= each.end:
        return days
    return days[: max(0, (each.delivered_at - each.start) // timedelta(days=1))]


def _days(occurrence: str, first_day: date) -> list[date]:
    # Compared by their dates, not by their instants: in another time zone a day is still the same day.
    return [first_day + timedelta(days=number) for number in range(_DAYS[occurrence])]
