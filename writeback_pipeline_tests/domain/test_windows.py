"""Windows tile time in every zone, are named by their first day, and are asked for only when the settings say so."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.settings import Frequency, Occurrence, Weekday, WritebackSettings
from writeback_pipeline.domain.windows import (
    Calendar,
    InvalidWindow,
    Skip,
    Window,
    WindowState,
    calendar_of,
    requests_of_tick,
    window_named,
    window_of,
    windows_between,
    windows_in_reach,
)
from writeback_pipeline.domain.writebacks import Kind

ZONES = [
    "UTC",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "Europe/London",
    "Australia/Lord_Howe",  # changes its clock by half an hour
    "Africa/Cairo",  # its clock skips midnight in spring
    "America/Havana",  # has two midnights in autumn
    "America/Santiago",  # its clock goes back across midnight in autumn
    "America/Nuuk",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
]
NEW_YORK = Calendar(Occurrence.DAILY, ZoneInfo("America/New_York"))
INSTANT = datetime(2026, 1, 1, tzinfo=UTC)


def daily(zone: str = "UTC") -> Calendar:
    return Calendar(Occurrence.DAILY, ZoneInfo(zone))


def weekly(zone: str = "UTC", starts_on: Weekday = Weekday.MONDAY) -> Calendar:
    return Calendar(Occurrence.WEEKLY, ZoneInfo(zone), starts_on)


def hours(window: Window) -> float:
    return (window.end - window.start) / timedelta(hours=1)


def two_years(calendar: Calendar) -> list[Window]:
    first, last = (window_of(day, calendar) for day in (date(2025, 1, 1), date(2026, 12, 31)))
    return windows_between(first, last, calendar)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("occurrence", Occurrence)
def test_windows_tile_two_years_without_gap_or_overlap(zone: str, occurrence: Occurrence) -> None:
    calendar = Calendar(occurrence, ZoneInfo(zone))
    windows = two_years(calendar)
    assert all(before.end == after.start for before, after in pairwise(windows))
    assert len({window.name for window in windows}) == len(windows)
    for window in windows:
        assert window.start.tzinfo is UTC
        assert window_of(window.start, calendar) == window
        assert window_of(window.end - timedelta(microseconds=1), calendar) == window
        assert window_named(window.name, calendar) == window


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_where_its_local_date_first_appears(zone: str) -> None:
    for window in two_years(daily(zone)):
        local_zone = ZoneInfo(zone)
        assert window.start.astimezone(local_zone).date() == window.first_day
        assert (window.start - timedelta(microseconds=1)).astimezone(local_zone).date() < window.first_day


@given(
    st.sampled_from(ZONES),
    st.sampled_from(Occurrence),
    st.sampled_from(Weekday),
    st.integers(min_value=0, max_value=2 * 366 * 24 * 60 * 60),
)
def test_every_instant_lies_in_the_window_found_for_it(
    zone: str, occurrence: Occurrence, starts_on: Weekday, second: int
) -> None:
    instant = INSTANT + timedelta(seconds=second)
    calendar = Calendar(occurrence, ZoneInfo(zone), starts_on)
    window = window_of(instant, calendar)
    assert window.is_open(instant)
    if occurrence is Occurrence.WEEKLY:
        assert window.first_day.strftime("%A").lower() == starts_on


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("America/New_York", "2026-11-02", 24),
        ("Europe/London", "2026-03-29", 23),
        ("Europe/London", "2026-10-25", 25),
        ("Africa/Cairo", "2026-04-24", 23),
        ("Africa/Cairo", "2026-10-29", 25),
        ("America/Havana", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Pacific/Apia", "2011-12-30", 0),  # the zone skipped that day
    ],
)
def test_a_day_is_as_long_as_its_clock_makes_it(zone: str, day: str, expected: float) -> None:
    assert hours(window_named(day, daily(zone))) == expected


def test_a_day_whose_midnight_does_not_exist_begins_at_one() -> None:
    window = window_named("2026-04-24", daily("Africa/Cairo"))
    assert window.start.astimezone(ZoneInfo("Africa/Cairo")).isoformat() == "2026-04-24T01:00:00+03:00"


def test_a_week_with_a_clock_change_has_an_hour_more() -> None:
    assert hours(window_named("2026-10-26", weekly("America/New_York"))) == 7 * 24 + 1


def test_a_local_day_finds_its_window_without_an_instant() -> None:
    assert window_of(date(2026, 11, 4), weekly()).name == "2026-11-02"
    assert window_of(date(2026, 11, 4), weekly(starts_on=Weekday.SUNDAY)).name == "2026-11-01"


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        window_of(datetime(2026, 11, 1), NEW_YORK)


@pytest.mark.parametrize("name", ["20261101", "2026-W45-1", "2026-02-30", "11/01/2026", "", "yesterday", "9999-12-31"])
def test_a_name_that_is_no_day_is_refused_with_the_form(name: str) -> None:
    with pytest.raises(InvalidWindow, match="YYYY-MM-DD"):
        window_named(name, NEW_YORK)


def test_a_weekly_name_on_another_weekday_is_refused_with_the_right_one() -> None:
    with pytest.raises(InvalidWindow, match=r"weeks start on monday, the one with that day is 2026-11-02"):
        window_named("2026-11-04", weekly())


def test_a_range_includes_both_ends() -> None:
    first, last = window_named("2026-10-31", NEW_YORK), window_named("2026-11-03", NEW_YORK)
    names = [window.name for window in windows_between(first, last, NEW_YORK)]
    assert names == ["2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03"]


def test_a_reversed_range_is_refused() -> None:
    first, last = window_named("2026-11-03", NEW_YORK), window_named("2026-11-01", NEW_YORK)
    with pytest.raises(InvalidWindow, match="2026-11-03 is later than 2026-11-01"):
        windows_between(first, last, NEW_YORK)


def test_a_window_is_open_until_its_end_and_closed_from_then_on() -> None:
    window = window_named("2026-11-01", NEW_YORK)
    assert not window.is_open(window.start - timedelta(seconds=1))
    assert window.is_open(window.start)
    assert not window.is_closed(window.end - timedelta(microseconds=1))
    assert window.is_closed(window.end)
    assert not window.is_open(window.end)


def test_the_reach_holds_the_windows_that_closed_in_it() -> None:
    now = datetime(2026, 11, 23, 6, tzinfo=UTC)
    days = windows_in_reach(now, daily())
    assert [days[0].name, days[-1].name, len(days)] == ["2026-10-19", "2026-11-22", 35]
    weeks = windows_in_reach(now, weekly())
    assert [window.name for window in weeks] == ["2026-10-19", "2026-10-26", "2026-11-02", "2026-11-09", "2026-11-16"]


TICK = datetime(2026, 11, 23, 6, tzinfo=UTC)
DAILY = WritebackSettings(frequency=Frequency.DAILY)


def tick(
    settings: WritebackSettings,
    cadence: Frequency = Frequency.DAILY,
    states: dict[Kind, dict[str, WindowState]] | None = None,
    occurrence: Occurrence = Occurrence.DAILY,
    failed: dict[str, datetime] | None = None,
) -> str | list[str]:
    answer = requests_of_tick(settings, occurrence, cadence, TICK, states or {}, failed=failed or {})
    if isinstance(answer, Skip):
        return answer.reason
    return [f"{request.window.name} {'+'.join(request.kinds)}" for request in answer]


def every_window(state: WindowState, kind: Kind = Kind.SENT) -> dict[Kind, dict[str, WindowState]]:
    calendar = calendar_of(DAILY)
    windows = [*windows_in_reach(TICK, calendar), window_of(TICK, calendar)]
    return {kind: {window.name: state for window in windows}}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (WritebackSettings(), "frequency is manual"),
        (WritebackSettings(activity_enabled=False), "mailing activity writeback is disabled"),
        (
            WritebackSettings(frequency=Frequency.DAILY, activity_enabled=False),
            "mailing activity writeback is disabled",
        ),
        (WritebackSettings(frequency=Frequency.DAILY, sent=False), "neither sent nor opened is chosen"),
        (WritebackSettings(frequency=Frequency.HOURLY), "frequency is hourly, this is the daily schedule"),
    ],
)
def test_a_tick_that_the_settings_do_not_choose_says_why(settings: WritebackSettings, reason: str) -> None:
    assert tick(settings) == reason


def test_a_tick_asks_for_the_oldest_missing_windows_and_no_more_than_fourteen() -> None:
    names = tick(DAILY)
    assert len(names) == 14
    assert names[0] == "2026-10-19 sent"
    assert names[-1] == "2026-11-01 sent"


def test_after_three_days_without_a_daemon_one_tick_catches_up() -> None:
    states = every_window(WindowState.CURRENT)
    for day in ("2026-11-20", "2026-11-21", "2026-11-22"):
        del states[Kind.SENT][day]
    assert tick(DAILY, states=states) == ["2026-11-20 sent", "2026-11-21 sent", "2026-11-22 sent"]


def test_a_changed_window_is_asked_for_again() -> None:
    states = every_window(WindowState.CURRENT)
    states[Kind.SENT]["2026-11-10"] = WindowState.CHANGED
    assert tick(DAILY, states=states) == ["2026-11-10 sent"]


def test_a_window_is_asked_for_only_with_the_kinds_that_it_owes() -> None:
    settings = WritebackSettings(frequency=Frequency.DAILY, opened=True)
    states = {**every_window(WindowState.CURRENT), **every_window(WindowState.CURRENT, Kind.OPENED)}
    states[Kind.OPENED]["2026-11-10"] = WindowState.MISSING
    assert tick(settings, states=states) == ["2026-11-10 opened"]


def test_days_that_the_other_occurrence_delivered_are_left_alone() -> None:
    assert tick(DAILY, states=every_window(WindowState.COVERED)) == (
        "every window of the last 35 days that has events is delivered as they stand"
    )


def test_of_the_occurrence_that_is_not_chosen_only_what_was_begun_is_asked_for() -> None:
    weekly_chosen = WritebackSettings(frequency=Frequency.DAILY, occurrence=Occurrence.WEEKLY)
    states = every_window(WindowState.COVERED)
    assert tick(weekly_chosen, states=states) == "the weekly occurrence is chosen, this schedule delivers daily windows"
    states[Kind.SENT]["2026-11-18"] = WindowState.CHANGED
    assert tick(weekly_chosen, states=states) == ["2026-11-18 sent"]


def test_windows_that_fail_for_ever_keep_nobody_waiting_and_are_tried_in_turn() -> None:
    in_reach = list(every_window(WindowState.MISSING)[Kind.SENT])[:-1]
    failed = {name: TICK - timedelta(hours=hour) for hour, name in enumerate(in_reach[:20], 1)}
    first = tick(DAILY, failed=failed)
    assert first == [f"{name} sent" for name in in_reach[20:34]]
    states = every_window(WindowState.CURRENT)
    states[Kind.SENT] |= dict.fromkeys((*in_reach[:20], in_reach[-1]), WindowState.MISSING)
    second = tick(DAILY, states=states, failed=failed)
    assert second == [f"{in_reach[-1]} sent", *(f"{name} sent" for name in reversed(in_reach[7:20]))]


def test_only_the_hourly_tick_asks_for_the_open_window_and_it_comes_on_top() -> None:
    hourly = WritebackSettings(frequency=Frequency.HOURLY)
    names = tick(hourly, Frequency.HOURLY)
    assert len(names) == 15
    assert names[-1] == "2026-11-23 sent"
    states = every_window(WindowState.CURRENT)
    states[Kind.SENT]["2026-11-23"] = WindowState.CHANGED
    assert tick(hourly, Frequency.HOURLY, states) == ["2026-11-23 sent"]
    assert tick(DAILY, states=states) == "every window of the last 35 days that has events is delivered as they stand"


def test_a_weekly_tick_asks_for_every_daily_window_that_is_owed() -> None:
    states = every_window(WindowState.CURRENT)
    for day in range(16, 23):
        states[Kind.SENT][f"2026-11-{day}"] = WindowState.MISSING
    names = tick(WritebackSettings(frequency=Frequency.WEEKLY), Frequency.WEEKLY, states)
    assert names == [f"2026-11-{day} sent" for day in range(16, 23)]
