"""The jobs that run by name: what a sensor requests, a person launches and the command line executes."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from writeback_pipeline.defs.scope import Scope
from writeback_pipeline.domain.settings import Occurrence

AssetJob = Any
"""What define_asset_job makes; dagster has no public name for it."""

DELIVER_OPT_OUTS = "deliver_opt_outs"


def opt_out_job(scope: Scope) -> AssetJob:
    """Deliver what the queue holds."""
    return dg.define_asset_job(
        name=DELIVER_OPT_OUTS,
        selection=dg.AssetSelection.assets(scope.key("pending_queue"), scope.key("opt_out_writebacks")),
        description="Write every unsubscribe and resubscribe that is due to Salesforce.",
        tags=scope.tags,
        executor_def=dg.in_process_executor,
    )


def activity_job_name(occurrence: Occurrence) -> str:
    """The job that delivers windows of that occurrence."""
    return f"deliver_{occurrence}_activity"


def activity_job(occurrence: Occurrence, assets: Sequence[dg.AssetsDefinition], scope: Scope) -> AssetJob:
    """Count one window and write its Tasks."""
    return dg.define_asset_job(
        name=activity_job_name(occurrence),
        selection=dg.AssetSelection.assets(*assets),
        description=f"Write the sent and opened mailings of one {occurrence} window to Salesforce.",
        tags=scope.tags,
        executor_def=dg.in_process_executor,
    )
