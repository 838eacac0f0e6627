"""The schedules of mailing activity: fixed ticks that obey the settings as they are at the tick.

All are on. A tick whose cadence the settings do not choose skips, and says so in words; the others ask for every closed
window in reach that is missing or changed, oldest first. Nothing is remembered between ticks, so the first tick after
days without a daemon asks for what those days left out. Of the occurrence that is not chosen only what was begun under
it is asked for.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from writeback_pipeline.defs.jobs import AssetJob, activity_job_name
from writeback_pipeline.defs.ports import Ledger, MailingActivity, PlatformDatabase
from writeback_pipeline.defs.scope import Scope
from writeback_pipeline.defs.sensors import UNFINISHED, tick
from writeback_pipeline.delivery.owed_windows import window_states
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.partitions import partition_of_window, window_of_partition
from writeback_pipeline.domain.settings import Frequency, Occurrence
from writeback_pipeline.domain.ticks import TICKS
from writeback_pipeline.domain.windows import (
    Calendar,
    Skip,
    WindowRequest,
    requests_of_tick,
    settings_forbid,
    window_of,
)

SIGN_OF_LIFE = "schedules"
"""What the hourly ticks, which are never off, are called as signs of life."""

PARTITION = "dagster/partition"
"""The tag of a run that names its partition."""

FAILURES_LOOKED_AT = 200


def activity_schedule(
    occurrence: Occurrence, cadence: Frequency, job: AssetJob, zone: str, scope: Scope
) -> dg.ScheduleDefinition:
    """The schedule that delivers windows of that occurrence when the settings choose that cadence."""

    @dg.schedule(
        name=f"{cadence}_delivery_of_{occurrence}_activity",
        job=job,
        cron_schedule=TICKS[cadence].cron,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Delivers {occurrence} windows of mailing activity, if the settings say {cadence}.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext,
        platform_database: dg.ResourceParam[PlatformDatabase],
        mailing_activity: dg.ResourceParam[MailingActivity],
    ) -> dg.SkipReason | list[dg.RunRequest]:
        at, job_name = context.scheduled_execution_time, activity_job_name(occurrence)
        ledger = platform_database.ledger()
        if cadence is Frequency.HOURLY:
            tick(ledger, SIGN_OF_LIFE, timedelta(hours=1), datetime.now(UTC))
        try:
            answer = _requests(
                ledger,
                mailing_activity,
                occurrence,
                cadence,
                at,
                _failures(context.instance, scope, job_name),
            )
        except StoreBusy:
            return dg.SkipReason("the store is busy")
        if isinstance(answer, Skip):
            return dg.SkipReason(answer.reason)
        under_way = _partitions_under_way(context.instance, scope, job_name)
        requests = [_run(request, occurrence, scope) for request in answer]
        return [each for each in requests if each.partition_key not in under_way] or dg.SkipReason(
            "every window that is owed is being delivered"
        )

    return schedule


def _requests(
    ledger: Ledger,
    activity: MailingActivity,
    occurrence: Occurrence,
    cadence: Frequency,
    at: datetime,
    failures: Mapping[str, datetime],
) -> Skip | list[WindowRequest]:
    settings = ledger.activity_settings()
    if skip := settings_forbid(settings, cadence):
        return skip  # and no file is looked at
    if hold := ledger.hold(Purpose.ACTIVITY, datetime.now(UTC)):
        return Skip(hold.words)
    now = at
    if cadence is Frequency.WEEKLY:
        at = window_of(at, Calendar(Occurrence.WEEKLY, settings.zone, settings.week_starts_on)).start
    states = window_states(ledger, activity, occurrence, at, now=now)
    failed = {window_of_partition(key, occurrence, settings).name: when for key, when in failures.items()}
    return requests_of_tick(settings, occurrence, cadence, at, states, failed=failed)


def _run(request: WindowRequest, occurrence: Occurrence, scope: Scope) -> dg.RunRequest:
    key = partition_of_window(request.window)
    assets = [scope.key(f"{occurrence}_{kind}_writebacks") for kind in request.kinds]
    return dg.RunRequest(run_key=key, partition_key=key, asset_selection=assets)


def _failures(instance: dg.DagsterInstance, scope: Scope, job_name: str) -> dict[str, datetime]:
    """When the partitions failed last, as far as the latest failures tell."""
    failed = scope.runs_of(job_name, [dg.DagsterRunStatus.FAILURE])
    records = instance.get_run_records(failed, limit=FAILURES_LOOKED_AT)
    return {
        record.dagster_run.tags[PARTITION]: record.create_timestamp
        for record in reversed(records)
        if PARTITION in record.dagster_run.tags
    }


def _partitions_under_way(instance: dg.DagsterInstance, scope: Scope, job_name: str) -> set[str]:
    unfinished = instance.get_run_records(scope.runs_of(job_name, UNFINISHED))
    tags: list[Mapping[str, str]] = [record.dagster_run.tags for record in unfinished]
    return {each[PARTITION] for each in tags if PARTITION in each}
