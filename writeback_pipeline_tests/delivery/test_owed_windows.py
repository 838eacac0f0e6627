"""What a window owes, given what was delivered of it, of its days, and how its files stand."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from writeback_pipeline.delivery.owed_windows import window_state
from writeback_pipeline.domain.settings import Occurrence, Weekday
from writeback_pipeline.domain.window_ledger import DeliveredWindow, WindowCounts
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
    counts = WindowCounts(1, 1, 1, 0, 0)
    return DeliveredWindow(Kind.SENT, *bounds, fingerprint, at or window.end, counts, 1 - owed, 0, 0, 0, owed, owed)


DAYS = [day(f"2025-11-{number}") for number in range(17, 24)]
WEEK = week("2025-11-17")


@pytest.mark.parametrize(
    ("before", "fingerprint", "state"),
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
def test_a_day_by_what_was_delivered_of_it(before: list[DeliveredWindow], fingerprint: str, state: WindowState) -> None:
    assert window_state(DAYS[0], fingerprint, before) is state


def test_a_week_whose_days_are_all_delivered_is_covered_and_of_some_a_person_decides() -> None:
    assert window_state(WEEK, PRINT, [delivered(each) for each in DAYS]) is WindowState.COVERED
    assert window_state(WEEK, PRINT, [delivered(each) for each in DAYS[:3]]) is WindowState.PARTLY


def test_a_day_is_covered_by_its_week_unless_that_was_delivered_before_the_day_ended() -> None:
    assert window_state(DAYS[4], PRINT, [delivered(WEEK)]) is WindowState.COVERED
    wednesday_noon = DAYS[2].start + timedelta(hours=12)
    under_way = [delivered(WEEK, at=wednesday_noon)]
    assert [window_state(each, PRINT, under_way) for each in DAYS[:3]] == [
        WindowState.COVERED,
        WindowState.COVERED,
        WindowState.PARTLY,
    ]


def test_weeks_of_another_first_weekday_are_not_written_over_those_there_are() -> None:
    sundays = week("2025-11-16", Weekday.SUNDAY)
    assert window_state(sundays, PRINT, [delivered(WEEK)]) is WindowState.PARTLY
    assert window_state(sundays, PRINT, [delivered(WEEK), delivered(week("2025-11-10"))]) is WindowState.COVERED


@pytest.mark.parametrize("zone", [TOKYO, APIA, ZoneInfo("America/Los_Angeles")])
def test_days_delivered_in_another_zone_cover_no_neighbour(zone: ZoneInfo) -> None:
    neighbours = [delivered(day(f"2025-11-{number}", zone)) for number in (16, 18)]
    assert window_state(DAYS[0], PRINT, neighbours) is WindowState.MISSING
    assert window_state(WEEK, PRINT, [delivered(day("2025-11-16", zone))]) is WindowState.MISSING
