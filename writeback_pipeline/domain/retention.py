"""What may be removed from the ledger once it is old: settled mailing activity and its attempts, nothing else.

Opt-outs stay, with every attempt that was made of them: they are the evidence for what was done in somebody's name.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.windows import REACH_DAYS

KEPT = timedelta(days=REACH_DAYS + 8)
"""How long activity stays whatever is asked: schedules look back so far, by the longest window more."""


class TooRecent(ValueError):
    """A day that would remove what is still looked at; the message names the last one that does not."""


@dataclass(frozen=True, slots=True)
class Prunable:
    """What would be removed: rows by kind, the attempts made of them, and the bounds of their windows."""

    rows: dict[str, int]
    attempts: int
    first: datetime | None
    last: datetime | None


def cut_off(day: date, zone: ZoneInfo, now: datetime) -> datetime:
    """The instant at which that local day begins; raises TooRecent when it is less than KEPT ago."""
    instant = datetime.combine(day, time(), zone).astimezone(UTC)
    if instant > now - KEPT:
        latest = (now - KEPT).astimezone(zone).date()
        raise TooRecent(
            f"{day} is too recent: schedules look at the last {KEPT.days} days. The latest day possible is {latest}"
        )
    return instant
