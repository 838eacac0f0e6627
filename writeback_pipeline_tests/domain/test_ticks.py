"""When the next tick is, in the bridge's time zone and through its changes of the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.settings import Frequency
from writeback_pipeline.domain.ticks import TICKS, next_tick

NEW_YORK = ZoneInfo("America/New_York")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("frequency", "after", "zone", "expected"),
    [
        (Frequency.HOURLY, "2026-11-23 12:00", "UTC", "2026-11-23 12:05"),
        (Frequency.HOURLY, "2026-11-23 12:05", "UTC", "2026-11-23 13:05"),
        (Frequency.HOURLY, "2026-11-23 12:00", "Asia/Kolkata", "2026-11-23 12:35"),
        (Frequency.DAILY, "2026-11-23 12:00", "UTC", "2026-11-24 05:20"),
        (Frequency.DAILY, "2026-11-23 05:19", "UTC", "2026-11-23 05:20"),
        (Frequency.DAILY, "2026-11-23 05:20", "UTC", "2026-11-24 05:20"),
        (Frequency.DAILY, "2026-11-23 12:00", "America/New_York", "2026-11-24 10:20"),
        (Frequency.DAILY, "2026-03-07 12:00", "America/New_York", "2026-03-08 09:20"),  # the clock is put forward
        (Frequency.DAILY, "2026-11-23 20:00", "Pacific/Kiritimati", "2026-11-24 15:20"),
        (Frequency.WEEKLY, "2026-11-23 12:00", "UTC", "2026-11-24 05:35"),
    ],
)
def test_the_next_tick(frequency: Frequency, after: str, zone: str, expected: str) -> None:
    assert next_tick(frequency, utc(after), ZoneInfo(zone)) == utc(expected)


def test_what_is_manual_never_ticks() -> None:
    assert next_tick(Frequency.MANUAL, utc("2026-11-23 12:00"), NEW_YORK) is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    st.sampled_from(list(TICKS)),
)
def test_a_tick_is_later_at_its_own_minute_and_never_far(after: datetime, zone: str, frequency: Frequency) -> None:
    at = next_tick(frequency, after, ZoneInfo(zone))
    assert at is not None
    local, tick = at.astimezone(ZoneInfo(zone)), TICKS[frequency]
    assert after < at <= after + (timedelta(hours=1.5) if tick.hour is None else timedelta(hours=25))
    assert local.minute in (
        tick.minute,
        (tick.minute + 30) % 60,
    )  # a clock put back by half an hour
    assert tick.hour in (None, local.hour)
