"""What a window owes, given what was delivered of it, of its days, and how its files stand."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from writeback_pipeline.delivery.owed_windows import window_state
from writeback_pipeline.domain.settings import Occurrence, Weekday, WritebackSettings
from writeback_pipeline.domain.window_ledger import DeliveredWindow
from writeback_pipeline.domain.windows import Calendar, Window, WindowState, window_named
from writeback_pipeline.domain.writebacks import Kind

UTC_ZONE, TOKYO, APIA = ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo"), ZoneInfo("Pacific/Apia")
PRINT = "as the files are"


def day(name: str, zone: ZoneInfo = UTC_ZONE) -> Window:
    return window_named(name, Calendar(Occurrence.DAILY, zone))


def week(name: str, starts_on: Weekday = Weekday.MONDAY) -> Window:
    return window_named(name, Calendar(Occurrence.WEEKLY, UTC_ZONE, starts_on))


def delivered(window: Window, at: datetime | None = None, fingerprint: str = PRINT, owed: int = 0) -> DeliveredWindow:
    bounds = (window.occurrence, window.name, window.start, window.end)
    return DeliveredWindow(Kind.SENT, *bounds, fingerprint, at or window.end, owed)


DAYS = [day(f"2025-11-{number}") for number in range(17, 24)]
WEEK = week("2025-11-17")


def state(window: Window, *before: DeliveredWindow, fingerprint: str = PRINT, **settings: Any) -> WindowState:
    chosen = WritebackSettings(occurrence=window.occurrence)
    return window_state(window, fingerprint, before, replace(chosen, **settings))


@pytest.mark.parametrize(
    ("before", "fingerprint", "expected"),
    [
        ([], PRINT, WindowState.MISSING),
        ([], "", WindowState.CURRENT),  # without events there is nothing to deliver
        ([delivered(DAYS[0])], PRINT, WindowState.CURRENT),
        ([delivered(DAYS[0])], "a file was added", WindowState.CHANGED),
        ([delivered(DAYS[0])], "", WindowState.CHANGED),
        ([delivered(DAYS[0], owed=1)], PRINT, WindowState.CHANGED),
        ([delivered(day("2025-11-17", TOKYO))], PRINT, WindowState.CHANGED),  # other bounds under the same name
        ([delivered(DAYS[1])], PRINT, WindowState.MISSING),
    ],
)
def test_a_day_by_what_was_delivered_of_it(
    before: list[DeliveredWindow], fingerprint: str, expected: WindowState
) -> None:
    assert state(DAYS[0], *before, fingerprint=fingerprint) is expected


def states_of_days(*before: DeliveredWindow, **settings: Any) -> list[WindowState]:
    return [state(each, *before, **settings) for each in DAYS]


def test_by_default_the_occurrence_that_is_not_chosen_is_owed_nothing() -> None:
    assert states_of_days(occurrence=Occurrence.WEEKLY) == [WindowState.COVERED] * 7
    assert state(WEEK, occurrence=Occurrence.DAILY) is WindowState.COVERED


def test_a_week_that_was_begun_in_days_is_finished_in_days() -> None:
    begun = [delivered(each) for each in DAYS[:3]]
    assert state(WEEK, *begun) is WindowState.COVERED
    assert states_of_days(*begun, occurrence=Occurrence.WEEKLY) == [WindowState.CURRENT] * 3 + [WindowState.MISSING] * 4
    next_week = week("2025-11-24")
    assert state(next_week, *begun) is WindowState.MISSING


def test_a_week_that_was_begun_as_a_week_is_finished_as_one() -> None:
    wednesday_noon = DAYS[2].start + timedelta(hours=12)
    begun = delivered(WEEK, at=wednesday_noon, fingerprint="as the files were then")
    assert states_of_days(begun) == [WindowState.COVERED] * 7
    assert state(WEEK, begun, occurrence=Occurrence.DAILY) is WindowState.CHANGED


def test_a_late_file_is_the_business_of_the_occurrence_that_wrote_its_window() -> None:
    days = [delivered(each) for each in DAYS]
    assert state(DAYS[1], *days, fingerprint="a file was added", occurrence=Occurrence.WEEKLY) is WindowState.CHANGED
    assert state(WEEK, *days, fingerprint="a file was added") is WindowState.COVERED


def test_when_weeks_start_on_another_day_what_lies_between_is_delivered_in_days() -> None:
    sundays: dict[str, Any] = {"occurrence": Occurrence.WEEKLY, "week_starts_on": Weekday.SUNDAY}
    old_weeks = [delivered(week("2025-11-10")), delivered(week("2025-11-17"), at=DAYS[2].start)]
    assert state(week("2025-11-16", Weekday.SUNDAY), *old_weeks, **sundays) is WindowState.COVERED
    assert states_of_days(*old_weeks, **sundays) == [WindowState.COVERED] * 2 + [WindowState.MISSING] * 4 + [
        WindowState.COVERED  # the Sunday after, which the first week of the new kind begins with
    ]
    assert state(week("2025-11-23", Weekday.SUNDAY), *old_weeks, **sundays) is WindowState.MISSING


@pytest.mark.parametrize("zone", [TOKYO, APIA, ZoneInfo("America/Los_Angeles")])
def test_days_delivered_in_another_zone_take_no_neighbour(zone: ZoneInfo) -> None:
    neighbours = [delivered(day(f"2025-11-{number}", zone)) for number in (16, 18)]
    assert state(DAYS[0], *neighbours) is WindowState.MISSING
    assert state(WEEK, delivered(day("2025-11-16", zone))) is WindowState.MISSING
