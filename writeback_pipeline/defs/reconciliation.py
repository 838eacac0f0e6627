"""The daily comparison of what was written with what Salesforce holds: an asset, its job and its schedule."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from writeback_pipeline.defs.assets import GROUP, OWNERS
from writeback_pipeline.defs.failures import failing_in_words
from writeback_pipeline.defs.jobs import AssetJob
from writeback_pipeline.defs.metadata import report_metadata, writeback_table
from writeback_pipeline.defs.ports import PlatformDatabase, SalesforceConnector
from writeback_pipeline.defs.runs import is_manual
from writeback_pipeline.defs.scope import Scope
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.reconciling import reconcile
from writeback_pipeline.domain.budget import Purpose

DAILY_AT = "30 4 * * *"


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"salesforce"}, tags={"domain": "opt-outs"}, output_required=False)
@failing_in_words
def opt_out_reconciliation(
    context: dg.AssetExecutionContext,
    platform_database: dg.ResourceParam[PlatformDatabase],
    salesforce: dg.ResourceParam[SalesforceConnector],
) -> Iterator[dg.MaterializeResult[None]]:
    """Opt-outs of the last 30 days as Salesforce holds them: flags that are gone are set again, lost Notes listed."""
    ledger = platform_database.ledger()
    with salesforce.connect(Purpose.OPT_OUTS, manual=is_manual(context.run)) as organisation:
        delivery = OptOutDelivery(ledger, organisation, now=lambda: datetime.now(UTC), run_id=context.run.run_id)
        found = reconcile(delivery, ledger, organisation)
    context.log.info(
        f"{found.people} people compared, {found.delivery.reopened} flags set again, "
        f"{len(found.without_note)} Notes are gone"
    )
    yield dg.MaterializeResult(
        metadata={
            **report_metadata(found.delivery, [], ledger.calls_left(Purpose.OPT_OUTS, datetime.now(UTC))),
            "people_compared": found.people,
            "notes_gone": len(found.without_note),
            "without_note": writeback_table(found.without_note),
        }
    )


def reconciliation_job(scope: Scope) -> AssetJob:
    """Compare what was written lately."""
    return dg.define_asset_job(
        name="reconcile_opt_outs",
        selection=dg.AssetSelection.assets(scope.key("opt_out_reconciliation")),
        description="Compare the opt-outs of the last 30 days with Salesforce; set flags again that are gone.",
        tags=scope.tags,
        executor_def=dg.in_process_executor,
    )


def daily_reconciliation(zone: str, job: AssetJob) -> dg.ScheduleDefinition:
    """Once a night, in that zone."""
    return dg.ScheduleDefinition(
        name="daily_reconciliation",
        job=job,
        cron_schedule=DAILY_AT,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares the opt-outs of the last 30 days with what Salesforce holds.",
    )
