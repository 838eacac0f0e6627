"""The jobs that run by name: what a sensor requests, a person launches and the command line executes."""

import dagster as dg

from writeback_pipeline.defs.assets import opt_out_writebacks, pending_queue

deliver_opt_outs = dg.define_asset_job(
    name="deliver_opt_outs",
    selection=dg.AssetSelection.assets(pending_queue, opt_out_writebacks),
    description="Write every unsubscribe and resubscribe that is due to Salesforce.",
    executor_def=dg.in_process_executor,
)
