"""The ledger at a glance: what each of the last days brought, what is owed now, what needs a person, what it cost.

Values, and the little arithmetic between them. How they are drawn is the console's work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta

from writeback_pipeline.domain.budget import hour_of
from writeback_pipeline.domain.health import Heartbeat
from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.incidents import Incident
from writeback_pipeline.domain.latency import LatencyByDay
from writeback_pipeline.domain.undoing import is_taken_back
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, OPT_OUT_KINDS, Kind, Status

DAYS = 14
"""How many days are looked back at, today included."""

CALL_HOURS = 48
"""How many hours of calls are looked back at."""

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Tally:
    """How many writebacks are written, owed, in need of a person, or settled with nothing to write."""

    written: int = 0
    waiting: int = 0
    failed: int = 0
    nothing_to_write: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def all(self) -> int:
        """Every one of them."""
        return self.written + self.waiting + self.failed + self.nothing_to_write


@dataclass(frozen=True, slots=True)
class Day:
    """What was queued on a UTC day, as far as it has come by now."""

    day: date
    opt_outs: Tally = Tally()
    activity: Tally = Tally()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Writebacks that failed alike and need a person; `advice` says what to do."""

    code: str
    advice: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """`days` are oldest first and without gaps. `opt_outs` and `activity` count everything there is, however old.

    `calls` are those of the last hours, oldest first and without gaps, `calls_made` those of 24 hours, of `calls_ours`.
    A hold says why no call is made for that purpose now. `last_attempt` is the last write that was journalled;
    `incidents` are those that last, `heartbeats` the last ticks of Dagster's sensors and schedules by name.
    """

    days: tuple[Day, ...]
    latency: LatencyByDay
    opt_outs: Tally
    activity: Tally
    oldest_opt_out: datetime | None
    troubles: tuple[Trouble, ...]
    calls: Mapping[datetime, int]
    calls_made: int
    calls_ours: int
    opt_outs_hold: Hold | None
    activity_hold: Hold | None
    last_attempt: datetime | None
    organisation_id: str | None
    incidents: tuple[Incident, ...]
    heartbeats: Mapping[str, Heartbeat]


def tally(status: Status, code: str | None, count: int) -> Tally:
    """That many writebacks of a status and error code; what was undone on purpose needs nobody."""
    if status in OPEN_STATUSES:
        return Tally(waiting=count)
    if status is Status.WRITTEN:
        return Tally(written=count)
    if status is Status.FAILED and not is_taken_back(status, code):
        return Tally(failed=count)
    return Tally(nothing_to_write=count)


def first_day(now: datetime) -> date:
    """The oldest day that is looked back at."""
    return now.date() - timedelta(days=DAYS - 1)


def first_hour(now: datetime) -> datetime:
    """The oldest hour that is looked back at."""
    return hour_of(now) - (CALL_HOURS - 1) * _HOUR


def days_of(rows: Iterable[tuple[date, Kind, Status, str | None, int]], now: datetime) -> tuple[Day, ...]:
    """The last days, each with what was queued on it: counts by day, kind, status and error code."""
    sums = {first_day(now) + timedelta(days=number): [Tally(), Tally()] for number in range(DAYS)}
    for day, kind, status, code, count in rows:
        if day in sums:
            sums[day][kind not in OPT_OUT_KINDS] += tally(status, code, count)
    return tuple(Day(day, *both) for day, both in sums.items())


def hours_of(calls: Mapping[datetime, int], now: datetime) -> dict[datetime, int]:
    """The calls of every hour that is looked back at."""
    hours = (first_hour(now) + number * _HOUR for number in range(CALL_HOURS))
    return {hour: calls.get(hour, 0) for hour in hours}
