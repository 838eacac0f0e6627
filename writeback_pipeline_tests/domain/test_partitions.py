"""A partition's name stands for one window, and a window for one partition, whatever day weeks start on."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.partitions import partition_of_window, window_of_partition
from writeback_pipeline.domain.settings import Occurrence, Weekday, WritebackSettings
from writeback_pipeline.domain.windows import Calendar, window_of

DAYS = st.dates(date(2025, 1, 13), date(2035, 12, 31))
SETTINGS = st.builds(
    WritebackSettings,
    time_zone=st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe", "America/Santiago"]),
    week_starts_on=st.sampled_from(Weekday),
)


@given(DAYS, SETTINGS)
def test_a_daily_partition_is_named_by_its_day(day: date, settings: WritebackSettings) -> None:
    window = window_of_partition(day.isoformat(), Occurrence.DAILY, settings)
    assert (window.occurrence, window.first_day) == (Occurrence.DAILY, day)
    assert partition_of_window(window) == day.isoformat()


@given(DAYS, SETTINGS)
def test_a_week_has_one_partition_which_is_a_monday_and_leads_back_to_it(
    day: date, settings: WritebackSettings
) -> None:
    week = window_of(day, Calendar(Occurrence.WEEKLY, settings.zone, settings.week_starts_on))
    partition = partition_of_window(week)
    assert date.fromisoformat(partition).weekday() == 0
    assert window_of_partition(partition, Occurrence.WEEKLY, settings) == week


@given(DAYS, SETTINGS)
def test_weekly_partitions_that_follow_one_another_stand_for_weeks_that_do(
    day: date, settings: WritebackSettings
) -> None:
    monday = day - timedelta(days=day.weekday())
    names = [(monday + timedelta(days=7 * weeks)).isoformat() for weeks in range(3)]
    weeks = [window_of_partition(name, Occurrence.WEEKLY, settings) for name in names]
    assert [week.end for week in weeks[:-1]] == [week.start for week in weeks[1:]]


def test_a_week_that_starts_on_sunday_belongs_to_the_monday_before() -> None:
    settings = WritebackSettings(week_starts_on=Weekday.SUNDAY)
    assert window_of_partition("2026-11-16", Occurrence.WEEKLY, settings).name == "2026-11-22"
