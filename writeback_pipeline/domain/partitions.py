"""Names of partitions and the windows they stand for.

A daily partition is named by its day. A weekly one is named by a Monday whatever day weeks start on, so that the
setting can change while everything runs: it stands for the week that starts on that Monday or within six days after it.
"""

from datetime import date, datetime, timedelta

from writeback_pipeline.domain.settings import Occurrence, Weekday, WritebackSettings
from writeback_pipeline.domain.windows import (
    Calendar,
    InvalidWindow,
    Window,
    window_named,
    window_of,
    windows_between,
)

FIRST_DAY = "2025-01-06"
"""The first partition, daily and weekly; a Monday."""


def window_of_partition(name: str, occurrence: Occurrence, settings: WritebackSettings) -> Window:
    """The window that the partition stands for under these settings."""
    first_day = date.fromisoformat(name)
    if occurrence is Occurrence.WEEKLY:
        starts_on = list(Weekday).index(settings.week_starts_on)
        first_day += timedelta(days=(starts_on - first_day.weekday()) % 7)
    return window_named(first_day.isoformat(), Calendar(occurrence, settings.zone, settings.week_starts_on))


def partition_of_window(window: Window) -> str:
    """The partition that stands for the window."""
    if window.occurrence is Occurrence.DAILY:
        return window.name
    return (window.first_day - timedelta(days=window.first_day.weekday())).isoformat()


def deliverable_windows(first: str, last: str, calendar: Calendar, now: datetime) -> list[Window]:
    """The windows from the one named `first` to the one named `last`; InvalidWindow for a range that none can deliver:
    reversed, before the first partition, or not begun by `now`."""
    oldest, newest = window_named(first, calendar), window_named(last, calendar)
    if partition_of_window(oldest) < FIRST_DAY:
        raise InvalidWindow(f"{first} is too early: windows begin with {FIRST_DAY}")
    if newest.start > now:
        raise InvalidWindow(f"{last} has not begun: the latest window is {window_of(now, calendar).name}")
    return windows_between(oldest, newest, calendar)
