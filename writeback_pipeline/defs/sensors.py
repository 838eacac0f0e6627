"""The sensor that polls the queue. It only looks; what is owed and who may deliver it is decided in the store."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import dagster as dg

from writeback_pipeline.defs.jobs import DELIVER_OPT_OUTS
from writeback_pipeline.defs.ports import Ledger, PlatformDatabase
from writeback_pipeline.defs.scope import ALONE, Scope
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import LEASE, StoreBusy

NAME = "opt_out_queue_sensor"

BEGUN = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]

UNFINISHED = [dg.DagsterRunStatus.QUEUED, *BEGUN]

SILENT_AFTER = LEASE
"""A run that has begun, and of which neither its record nor its log nor a lease in the ledger has told anything for so
long, holds the sensor no longer: its host is gone. Should it be at work after all, the leases keep the two apart."""

RUNS_LOOKED_AT = 20


def tick(ledger: Ledger, name: str, interval: timedelta, now: datetime) -> None:
    """Leave a sign of life in the ledger, where a look from outside of Dagster misses it; a tick never fails for it."""
    with suppress(StoreBusy):
        ledger.beat(name, interval, now)


def opt_out_queue_sensor(interval_seconds: int, scope: Scope = ALONE) -> dg.SensorDefinition:
    """A sensor that requests one run whenever something is due and no run of the job is unfinished.

    It asks for the level, not for the edge, and gives no run_key: a run that failed is simply followed by another
    while something is still owed.
    """

    @dg.sensor(
        name=NAME,
        job_name=DELIVER_OPT_OUTS,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Polls the queue of opt-out changes and starts a delivery when something is due.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, platform_database: dg.ResourceParam[PlatformDatabase]
    ) -> dg.SkipReason | dg.RunRequest:
        ledger, now = platform_database.ledger(), datetime.now(UTC)
        try:
            found = ledger.poll(NAME, timedelta(seconds=interval_seconds), Purpose.OPT_OUTS, now)
            if _is_under_way(context.instance, scope, ledger, now):
                return dg.SkipReason("a delivery is under way")
        except StoreBusy:
            return dg.SkipReason("the store is busy")
        if not found.due:
            return dg.SkipReason("nothing is due")
        if found.hold is not None:
            return dg.SkipReason(found.hold.words)
        return dg.RunRequest(tags={"writebacks/due": str(found.due)})

    return sensor


def _is_under_way(instance: dg.DagsterInstance, scope: Scope, ledger: Ledger, now: datetime) -> bool:
    """Whether a run of the job is unfinished, and not only because its host died."""
    if instance.get_run_records(scope.runs_of(DELIVER_OPT_OUTS, [dg.DagsterRunStatus.QUEUED]), limit=1):
        return True  # it begins by itself, whatever happened to a host
    begun = instance.get_run_records(scope.runs_of(DELIVER_OPT_OUTS, BEGUN), limit=RUNS_LOOKED_AT)
    return bool(begun) and (
        any(_last_heard_of(instance, record) > now - SILENT_AFTER for record in begun) or ledger.is_delivering(now)
    )


def _last_heard_of(instance: dg.DagsterInstance, record: dg.RunRecord) -> datetime:
    """When the run's record changed or its log grew; the record alone does not change while a run is at work."""
    newest = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return max([record.update_timestamp, *(datetime.fromtimestamp(each.timestamp, UTC) for each in newest)])
