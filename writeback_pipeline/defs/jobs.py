"""The jobs that run by name: what a sensor requests, a person launches and the command line executes."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from writeback_pipeline.defs.assets import opt_out_writebacks, pending_queue
from writeback_pipeline.domain.settings import Occurrence

AssetJob = Any
"""What define_asset_job makes; dagster has no public name for it."""

deliver_opt_outs = dg.define_asset_job(
    name="deliver_opt_outs",
    selection=dg.AssetSelection.assets(pending_queue, opt_out_writebacks),
    description="Write every unsubscribe and resubscribe that is due to Salesforce.",
    executor_def=dg.in_process_executor,
)


def activity_job_name(occurrence: Occurrence) -> str:
    """The job that delivers windows of that occurrence."""
    return f"deliver_{occurrence}_activity"


def activity_job(occurrence: Occurrence, assets: Sequence[dg.AssetsDefinition]) -> AssetJob:
    """Count one window and write its Tasks."""
    return dg.define_asset_job(
        name=activity_job_name(occurrence),
        selection=dg.AssetSelection.assets(*assets),
        description=f"Write the sent and opened mailings of one {occurrence} window to Salesforce.",
        executor_def=dg.in_process_executor,
    )
