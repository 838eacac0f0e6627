"""The sensor that polls the queue. It only looks; what is owed and who may deliver it is decided in the store."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import dagster as dg

from writeback_pipeline.defs.jobs import deliver_opt_outs
from writeback_pipeline.defs.ports import Ledger, PlatformDatabase
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import LEASE, StoreBusy

NAME = "opt_out_queue_sensor"

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

FORGOTTEN_AFTER = LEASE
"""A run that began so long ago holds the sensor no longer: its host may be gone and its leases with it. If it is still
at work after all, the leases keep the two apart."""


def tick(ledger: Ledger, name: str, interval: timedelta, now: datetime) -> None:
    """Leave a sign of life in the ledger, where a look from outside of Dagster misses it; a tick never fails for it."""
    with suppress(StoreBusy):
        ledger.beat(name, interval, now)


def opt_out_queue_sensor(interval_seconds: int) -> dg.SensorDefinition:
    """A sensor that requests one run whenever something is due and no run of the job is unfinished.

    It asks for the level, not for the edge, and gives no run_key: a run that failed is simply followed by another
    while something is still owed.
    """

    @dg.sensor(
        name=NAME,
        job=deliver_opt_outs,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls the queue of opt-out changes and starts a delivery when something is due.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform_database: dg.ResourceParam[PlatformDatabase]
    ) -> dg.SkipReason | dg.RunRequest:
        ledger, now = platform_database.ledger(), datetime.now(UTC)
        tick(ledger, NAME, timedelta(seconds=interval_seconds), now)
        lately = now - FORGOTTEN_AFTER
        unfinished = dg.RunsFilter(job_name=deliver_opt_outs.name, statuses=UNFINISHED, updated_after=lately)
        if context.instance.get_run_records(unfinished, limit=1):
            return dg.SkipReason("a delivery is under way")
        try:
            due = ledger.due(now)
            hold = ledger.hold(Purpose.OPT_OUTS, now) if due else None
        except StoreBusy:
            return dg.SkipReason("the store is busy")
        if not due:
            return dg.SkipReason("nothing is due")
        if hold is not None:
            return dg.SkipReason(hold.words)
        return dg.RunRequest(tags={"writebacks/due": str(due)})

    return sensor
