"""The windows that mailing activity is summarised over, and which of them a schedule's tick asks for.

A window is a local day or week of the bridge's time zone, named by its first day. It holds the instants from `start`
up to, not including, `end`: 23 or 25 hours where the clock changes. What is done with a window is not known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.settings import Frequency, Occurrence, Weekday, WritebackSettings
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

REACH_DAYS = 35
"""How far back a tick looks for closed windows that are owed."""

WINDOWS_PER_TICK = 14
"""The most closed windows that one tick asks for."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_DAYS = {Occurrence.DAILY: 1, Occurrence.WEEKLY: 7}


class InvalidWindow(ValueError):
    """A name or a range that no window has; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What cuts time into windows."""

    occurrence: Occurrence
    zone: ZoneInfo
    week_starts_on: Weekday = Weekday.MONDAY


@dataclass(frozen=True, slots=True)
class Window:
    """One local day or week; `start` and `end` are aware UTC instants, the end is not part of it."""

    occurrence: Occurrence
    first_day: date
    start: datetime
    end: datetime

    @property
    def name(self) -> str:
        """The first day as YYYY-MM-DD, which is also the partition key."""
        return self.first_day.isoformat()

    def is_open(self, at: datetime) -> bool:
        """Whether the instant lies in the window, so that more may still happen in it."""
        return self.start <= at < self.end

    def is_closed(self, at: datetime) -> bool:
        """Whether the window has ended."""
        return self.end <= at


def calendar_of(settings: WritebackSettings) -> Calendar:
    """The calendar that the settings choose."""
    return Calendar(settings.occurrence, settings.zone, settings.week_starts_on)


def window_of(moment: datetime | date, calendar: Calendar) -> Window:
    """The window that holds an aware instant, or a local day."""
    if not isinstance(moment, datetime):
        return _window(_first_day(moment, calendar), calendar)
    if moment.tzinfo is None:
        raise ValueError("an instant needs a time zone: add UTC or an offset")
    window = _window(_first_day(moment.astimezone(calendar.zone).date(), calendar), calendar)
    if moment < window.start:  # a clock put back across midnight shows yesterday's date again
        return _window(window.first_day - timedelta(days=_DAYS[calendar.occurrence]), calendar)
    if moment >= window.end:
        return _window(window.first_day + timedelta(days=_DAYS[calendar.occurrence]), calendar)
    return window


def window_named(name: str, calendar: Calendar) -> Window:
    """The window with that first day; raises InvalidWindow for another form or, weekly, another weekday."""
    try:
        day = date.fromisoformat(name)
        window = _window(_first_day(day, calendar), calendar)
    except (ValueError, OverflowError):
        day = None
    if day is None or day.isoformat() != name:
        raise InvalidWindow(f"{name!r} names no window: write its first day as YYYY-MM-DD")
    if window.first_day != day:
        raise InvalidWindow(
            f"{name} names no weekly window: weeks start on {calendar.week_starts_on}, "
            f"the one with that day is {window.name}"
        )
    return window


def windows_between(first: Window, last: Window, calendar: Calendar) -> list[Window]:
    """The windows from `first` to `last`, both included, oldest first; raises InvalidWindow when they are reversed."""
    if first.first_day > last.first_day:
        raise InvalidWindow(f"the range ends before it begins: {first.name} is later than {last.name}")
    step = _DAYS[calendar.occurrence]
    count = (last.first_day - first.first_day).days // step + 1
    return [_window(first.first_day + timedelta(days=step * index), calendar) for index in range(count)]


def windows_in_reach(now: datetime, calendar: Calendar, reach_days: int = REACH_DAYS) -> list[Window]:
    """The closed windows that ended within the last `reach_days`, oldest first."""
    horizon = now - timedelta(days=reach_days)
    candidates = windows_between(window_of(horizon, calendar), window_of(now, calendar), calendar)
    return [window for window in candidates if horizon < window.end and window.is_closed(now)]


class WindowState(StrEnum):
    """What a window owes for one kind of activity."""

    MISSING = "missing"  # never delivered
    CHANGED = "changed"  # delivered, and its events have changed since
    CURRENT = "current"  # delivered as its events stand, or without events
    COVERED = "covered"  # its days belong to windows of the other occurrence, or of another first weekday


@dataclass(frozen=True, slots=True)
class WindowRequest:
    """A window to deliver, and the kinds for which it is owed."""

    window: Window
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """Why a tick asks for nothing, in words."""

    reason: str


def chosen_kinds(settings: WritebackSettings) -> tuple[Kind, ...]:
    """The kinds of activity that are switched on."""
    return tuple(kind for kind, chosen in zip(ACTIVITY_KINDS, (settings.sent, settings.opened), strict=True) if chosen)


def settings_forbid(settings: WritebackSettings, cadence: Frequency) -> Skip | None:
    """Why the settings let a tick of this cadence do nothing; None when it may act."""
    if not settings.activity_enabled:
        return Skip("mailing activity writeback is disabled")
    if not chosen_kinds(settings):
        return Skip("neither sent nor opened is chosen")
    if settings.frequency is Frequency.MANUAL:
        return Skip("frequency is manual")
    if settings.frequency is not cadence:
        return Skip(f"frequency is {settings.frequency}, this is the {cadence} schedule")
    return None


def requests_of_tick(
    settings: WritebackSettings,
    occurrence: Occurrence,
    cadence: Frequency,
    at: datetime,
    states: Mapping[Kind, Mapping[str, WindowState]],
    *,
    failed: Mapping[str, datetime] = MappingProxyType({}),
    most: int = WINDOWS_PER_TICK,
) -> Skip | list[WindowRequest]:
    """What a tick scheduled for `at` asks for: closed windows owed, oldest first and at most `most` of them.

    `states` has per kind a state by window name; a window that it leaves out is missing. `failed` says when the last
    try of a window failed: those come after the others, so that what fails for ever keeps nobody waiting. An hourly
    tick asks for the open window too, on top of the others.
    """
    if skip := settings_forbid(settings, cadence):
        return skip
    calendar = Calendar(occurrence, settings.zone, settings.week_starts_on)
    owed = _owed(windows_in_reach(at, calendar), settings, states)
    due = sorted(owed, key=lambda request: failed.get(request.window.name, _NEVER))[:most]
    if cadence is Frequency.HOURLY:
        due += _owed([window_of(at, calendar)], settings, states)
    if due:
        return due
    if settings.occurrence is not occurrence:
        return Skip(f"the {settings.occurrence} occurrence is chosen, this schedule delivers {occurrence} windows")
    return Skip(f"every window of the last {REACH_DAYS} days that has events is delivered as they stand")


def _owed(
    windows: list[Window], settings: WritebackSettings, states: Mapping[Kind, Mapping[str, WindowState]]
) -> list[WindowRequest]:
    owed_states = (WindowState.MISSING, WindowState.CHANGED)
    requests = (
        WindowRequest(
            window,
            tuple(
                kind
                for kind in chosen_kinds(settings)
                if states.get(kind, {}).get(window.name, WindowState.MISSING) in owed_states
            ),
        )
        for window in windows
    )
    return [request for request in requests if request.kinds]


def _first_day(day: date, calendar: Calendar) -> date:
    if calendar.occurrence is Occurrence.DAILY:
        return day
    return day - timedelta(days=(day.weekday() - list(Weekday).index(calendar.week_starts_on)) % 7)


def _window(first_day: date, calendar: Calendar) -> Window:
    next_first_day = first_day + timedelta(days=_DAYS[calendar.occurrence])
    start, end = (_midnight(day, calendar.zone) for day in (first_day, next_first_day))
    return Window(calendar.occurrence, first_day, start, end)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which the local day begins: the first of two midnights; where there is none, the clock change."""
    return datetime.combine(day, time.min, zone).astimezone(UTC)
