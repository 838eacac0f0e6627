"""Everything of one occurrence of mailing activity: its assets, their checks, the job and the schedules."""

from dataclasses import dataclass

import dagster as dg

from writeback_pipeline.defs.activity import summaries_asset, writebacks_asset
from writeback_pipeline.defs.activity_checks import every_summary_is_accounted_for, is_fresh, no_window_is_missing
from writeback_pipeline.defs.jobs import AssetJob, activity_job
from writeback_pipeline.defs.schedules import activity_schedule
from writeback_pipeline.defs.scope import ALONE, Scope
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.ticks import TICKS
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS


@dataclass(frozen=True, slots=True)
class ActivityDefinitions:
    """What the code location has of daily, or of weekly, activity."""

    assets: list[dg.AssetsDefinition]
    checks: list[dg.AssetChecksDefinition]
    job: AssetJob
    schedules: list[dg.ScheduleDefinition]


def activity_of(occurrence: Occurrence, zone: str, scope: Scope = ALONE) -> ActivityDefinitions:
    """The definitions of one occurrence, with partitions and ticks in that zone."""
    summaries = scope.of(summaries_asset(occurrence, zone))
    writebacks = {kind: scope.of(writebacks_asset(occurrence, kind, zone)) for kind in ACTIVITY_KINDS}
    job = activity_job(occurrence, list(writebacks.values()), scope)
    return ActivityDefinitions(
        assets=[summaries, *writebacks.values()],
        checks=[
            make(occurrence, kind, asset)
            for kind, asset in writebacks.items()
            for make in (no_window_is_missing, is_fresh, every_summary_is_accounted_for)
        ],
        job=job,
        schedules=[activity_schedule(occurrence, cadence, job, zone, scope) for cadence in TICKS],
    )
