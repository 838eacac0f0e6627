"""When the schedules of mailing activity tick: one table, of which Dagster's schedules are made and the pages tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.settings import Frequency


@dataclass(frozen=True, slots=True)
class Tick:
    """At that minute of every hour; of one hour a day where there is one."""

    minute: int
    hour: int | None = None

    @property
    def cron(self) -> str:
        """The same as a cron expression."""
        return f"{self.minute} {'*' if self.hour is None else self.hour} * * *"


TICKS: Mapping[Frequency, Tick] = MappingProxyType(
    {
        Frequency.HOURLY: Tick(5),
        Frequency.DAILY: Tick(20, 5),
        Frequency.WEEKLY: Tick(35, 5),  # every day, for the weeks that have ended: the first weekday is a setting
    }
)


def next_tick(frequency: Frequency, after: datetime, zone: ZoneInfo) -> datetime | None:
    """The first tick after an aware instant, in UTC; None for what never ticks."""
    tick = TICKS.get(frequency)
    if tick is None:
        return None
    local = after.astimezone(zone)
    if tick.hour is None:
        first = local.replace(minute=tick.minute, second=0, microsecond=0).astimezone(UTC)
        return first if first > after else first + timedelta(hours=1)
    at = time(tick.hour, tick.minute)
    days = (local.date() + timedelta(days=number) for number in range(3))
    return next(moment for day in days if (moment := datetime.combine(day, at, zone).astimezone(UTC)) > after)
