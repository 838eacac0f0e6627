"""The sensor that looks at the pipeline's health every minute: what Dagster knows of it, beside what the ledger knows.

It launches nothing. A sensor cannot notice that nothing ticks any more: `writebacks alerts check` and the console look,
too, at what the ticks left in the ledger.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from writeback_pipeline.defs.failures import WRONG_ORGANISATION
from writeback_pipeline.defs.ports import AlertChannels, PlatformDatabase
from writeback_pipeline.defs.schedules import PARTITION
from writeback_pipeline.defs.scope import ALONE, Scope
from writeback_pipeline.defs.sensors import tick
from writeback_pipeline.delivery.watching import watch
from writeback_pipeline.domain.health import DagsterHealth, FailedRun, RedCheck
from writeback_pipeline.domain.ledger import StoreBusy

NAME = "alert_sensor"
INTERVAL = timedelta(minutes=1)
REACH = timedelta(days=35)
"""How far back failed runs are looked for; windows of activity are asked for again as long."""

FAILURES_LOOKED_AT = SUCCESSES_LOOKED_AT = 200
_OF_ASSETS = "__ASSET_JOB"
"""What the job of a run is called, or begins with, that is started from an asset's page."""

UNFORESEEN = "an error that nobody foresaw"


def alert_sensor(scope: Scope = ALONE) -> dg.SensorDefinition:
    """The sensor that looks at this bridge."""

    @dg.sensor(
        name=NAME,
        minimum_interval_seconds=int(INTERVAL.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Looks for what is wrong with the pipeline, and tells the channels, once per incident.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        platform_database: dg.ResourceParam[PlatformDatabase],
        alert_channels: dg.ResourceParam[AlertChannels],
    ) -> dg.SkipReason:
        """One look; the reason for skipping says what it found."""
        ledger, now = platform_database.ledger(), datetime.now(UTC)
        tick(ledger, NAME, INTERVAL, now)
        assert context.repository_def is not None
        checks = list(context.repository_def.asset_checks_defs_by_key)
        runs = failed_runs(context.instance, now, scope)
        health = DagsterHealth(list(runs), list(red_checks(context.instance, checks)))
        try:
            found = watch(ledger, alert_channels.teller(), lambda: datetime.now(UTC), health)
        except StoreBusy:
            return dg.SkipReason("the store is busy")
        untold = "".join(f"; not told by {channel}: {why}" for channel, why in found.trouble.items())
        return dg.SkipReason(f"{len(found.incidents)} incidents are open, {found.told} notices were told{untold}")

    return sensor


def failed_runs(instance: dg.DagsterInstance, now: datetime, scope: Scope = ALONE) -> Iterator[FailedRun]:
    """The last failed run of each job, and of each partition of one, that no success followed.

    A run that somebody starts from an asset's page is of no job of ours, and is called by its assets.
    """
    seen = set()
    failed = [dg.DagsterRunStatus.FAILURE]
    for record in _records(instance, scope, FAILURES_LOOKED_AT, statuses=failed, updated_after=now - REACH):
        run = record.dagster_run
        name, partition = _name(run), run.tags.get(PARTITION)
        if (name, partition) in seen:
            continue
        seen.add((name, partition))
        if not (_job_succeeded_since(instance, scope, record) or _assets_were_made_since(instance, record)):
            words, passing, elsewhere = _failure(instance, run.run_id)
            yield FailedRun(name, run.run_id, words, passing, partition, elsewhere)


def _name(run: dg.DagsterRun) -> str:
    if not run.job_name.startswith(_OF_ASSETS):
        return run.job_name
    return ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())) or "checks"


def _job_succeeded_since(instance: dg.DagsterInstance, scope: Scope, record: dg.RunRecord) -> bool:
    run, partition = record.dagster_run, record.dagster_run.tags.get(PARTITION)
    later = _records(
        instance,
        scope,
        SUCCESSES_LOOKED_AT if run.job_name.startswith(_OF_ASSETS) else 1,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        job_name=run.job_name,
        created_after=record.create_timestamp,
        tags={} if partition is None else {PARTITION: partition},
    )
    return any(_name(each.dagster_run) == _name(run) for each in later)


def _assets_were_made_since(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether other runs, of whatever job, have made what this one was to make and did not, in the same window."""
    run, partition = record.dagster_run, record.dagster_run.tags.get(PARTITION)
    planned, made = (
        {each.asset_key for each in instance.get_records_for_run(run.run_id, of_type=event).records}
        for event in (dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, dg.DagsterEventType.ASSET_MATERIALIZATION)
    )
    missing = [key for key in planned - made if key is not None]
    after = record.create_timestamp.timestamp()
    partitions = None if partition is None else [partition]
    return bool(missing) and all(
        instance.fetch_materializations(dg.AssetRecordsFilter(key, partitions, after_timestamp=after), limit=1).records
        for key in missing
    )


def _records(
    instance: dg.DagsterInstance, scope: Scope, limit: int, *, tags: Mapping[str, str] | None = None, **only: Any
) -> list[dg.RunRecord]:
    """The latest runs of this bridge that the filter shows, newest first."""
    found = {
        record.storage_id: record
        for mark in scope.marks
        for record in instance.get_run_records(dg.RunsFilter(tags={**(tags or {}), **mark}, **only), limit=limit)
    }
    return [found[id_] for id_ in sorted(found, reverse=True)]


def red_checks(instance: dg.DagsterInstance, keys: list[dg.AssetCheckKey]) -> Iterator[RedCheck]:
    """Those of the checks whose last finished evaluation is an error."""
    for key, record in instance.event_log_storage.get_asset_check_summary_records(keys).items():
        last = record.last_completed_check_execution_record
        found = last.evaluation if last is not None else None
        if found is not None and not found.passed and found.severity is dg.AssetCheckSeverity.ERROR:
            yield RedCheck(key.asset_key.to_user_string(), key.name, found.description or "")


def _failure(instance: dg.DagsterInstance, run_id: str) -> tuple[str, bool, bool]:
    """What the run failed with in our own words, whether that may pass, and whether it met another organisation."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1).records
    event = records[0].event_log_entry.dagster_event if records else None
    told = event.step_failure_data.user_failure_data if event is not None else None
    if told is None:
        return UNFORESEEN if records else "", True, False
    passing, elsewhere = (told.metadata.get(name) for name in ("passing", WRONG_ORGANISATION))
    return (
        told.description or "",
        passing is None or passing.value is True,
        elsewhere is not None and elsewhere.value is True,
    )
