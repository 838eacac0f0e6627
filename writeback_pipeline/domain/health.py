"""What is known of the whole pipeline at one moment: the facts that alerts are drawn from.

Values only. The ledger's part is read by the store, Dagster's by its shell; what is wrong about them is said in
`alerts`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, OPT_OUT_KINDS, Kind, Status

TICKS_MISSED = 3
LEAST_SILENCE = timedelta(minutes=10)
"""A sensor or schedule may miss some of its ticks, and be silent for that long, before anybody is told."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When something that ticks has ticked last, and by when it has to tick again."""

    at: datetime
    due_by: datetime


def heartbeat(now: datetime, interval: timedelta) -> Heartbeat:
    """A tick now of what ticks at that interval."""
    return Heartbeat(now, now + max(LEAST_SILENCE, TICKS_MISSED * interval))


@dataclass(frozen=True, slots=True)
class LedgerHealth:
    """The ledger's part.

    `owed` are the open and the failed writebacks, but for those undone, by kind and status; `oldest_opt_out` when the
    oldest open opt-out was queued. `calls_made` in the last 24 hours, of `calls_ours`. `hold` is set while the breaker
    is open.
    """

    owed: Mapping[tuple[Kind, Status], int] = field(default_factory=dict)
    oldest_opt_out: datetime | None = None
    calls_made: int = 0
    calls_ours: int = 0
    hold: Hold | None = None
    heartbeats: Mapping[str, Heartbeat] = field(default_factory=dict)
    restored_at: datetime | None = None

    def open_opt_outs(self) -> int:
        """Opt-outs in which something is still to be done."""
        return sum(self.owed.get((kind, status), 0) for kind in OPT_OUT_KINDS for status in OPEN_STATUSES)


@dataclass(frozen=True, slots=True)
class FailedRun:
    """The last run of a job, or of one of its partitions, that failed and was followed by no success.

    `words` are our own of what went wrong, empty where nobody foresaw it; `passing` whether a later run may succeed by
    itself.
    """

    job: str
    run_id: str
    words: str
    passing: bool
    partition: str | None = None
    wrong_organisation: bool = False


@dataclass(frozen=True, slots=True)
class RedCheck:
    """A standing check whose last evaluation is an error."""

    asset: str
    name: str
    words: str


@dataclass(frozen=True, slots=True)
class DagsterHealth:
    """Dagster's part."""

    failed_runs: Sequence[FailedRun] = ()
    red_checks: Sequence[RedCheck] = ()
