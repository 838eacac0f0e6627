"""Every hour of two years in six zones: its note can be read back, and it belongs to exactly one window."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest

from writeback_pipeline.domain.notes import note_title
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, Window, window_named, window_of
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline_tests.torture import tell

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = [FIRST + timedelta(hours=number) for number in range((365 + 365) * 24)]
ZONES = [
    "UTC",
    "America/New_York",
    "Europe/London",
    "Australia/Lord_Howe",  # changes its clock by half an hour
    "America/Santiago",  # its clock goes back across midnight
    "Asia/Kathmandu",  # 5:45 ahead
]
HALF_DAY = {"AM": 0, "PM": 12}


def local_time(title: str) -> datetime:
    """The time on the wall that a title tells."""
    date, clock, half = title.rpartition(" on ")[2].split(" ")
    month, day, year = map(int, date.split("/"))
    hour, minute, second = map(int, clock.split(":"))
    return datetime(2000 + year, month, day, hour % 12 + HALF_DAY[half], minute, second)


@pytest.mark.parametrize("zone", ZONES)
def test_the_note_of_every_hour_can_be_read_back_and_only_the_hour_that_comes_twice_reads_twice_the_same(
    zone: str,
) -> None:
    info = ZoneInfo(zone)
    by_title: dict[str, list[datetime]] = defaultdict(list)
    keys = set()
    for at in HOURS:
        by_title[note_title(Kind.UNSUBSCRIBE, ObjectType.CONTACT, at, info, "Informz")].append(at)
        keys.add(Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, "003000000000001AAA", at).delivery_key)
    for title, instants in by_title.items():
        wall = local_time(title)
        assert instants == [wall.replace(tzinfo=info, fold=at.astimezone(info).fold).astimezone(UTC) for at in instants]
        assert len(instants) <= 2
    assert len(keys) == len(HOURS), "the queue tells them all apart"
    twice = sum(len(instants) == 2 for instants in by_title.values())
    assert twice == (2 if zone in ("America/New_York", "Europe/London", "America/Santiago") else 0)
    tell(f"hours of two years in {zone}: {len(HOURS)} read back, {twice} titles told twice, 0 keys alike")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("occurrence", Occurrence)
def test_every_hour_belongs_to_exactly_one_window_which_its_name_finds_again(zone: str, occurrence: Occurrence) -> None:
    calendar = Calendar(occurrence, ZoneInfo(zone))
    named = lru_cache(maxsize=None)(lambda name: window_named(name, calendar))
    windows: dict[str, Window] = {}
    for at in HOURS:
        window = window_of(at, calendar)
        assert window.start <= at < window.end
        assert windows.setdefault(window.name, window) == window == named(window.name)
    assert sum(((w.end - w.start) for w in list(windows.values())[1:-1]), timedelta()) == (
        list(windows.values())[-1].start - list(windows.values())[1].start
    ), "no hour in two windows, none in no window"
