"""The opt-out assets: the pending queue, and what became of it in Salesforce.

An asset reads its resources, calls one use case and tells Dagster what happened. Rows that Salesforce refused are
metadata and colour the checks; only trouble that concerns everything fails the run.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic

import dagster as dg
from pydantic import Field

from writeback_pipeline.defs.failures import failing_in_words
from writeback_pipeline.defs.metadata import (
    TABLE_ROWS,
    depth_metadata,
    latency_metadata,
    latency_table,
    plan_metadata,
    planned_line,
    report_metadata,
    writeback_table,
)
from writeback_pipeline.defs.ports import PlatformDatabase, SalesforceConnector
from writeback_pipeline.defs.runs import is_manual
from writeback_pipeline.delivery.dry_run import dry_run
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.report import PROBLEMS
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, OPT_OUT_KINDS

GROUP = "opt_outs"
OWNERS = ["team:email-platform"]

LATENCY_DAYS = timedelta(days=14)
"""How far back the queue's metadata tells how long opt-outs took, day by day."""

SECONDS_BETWEEN_LINES = 2.0
"""How far apart a delivery's lines of progress are: Dagster opens its event log for each of them."""


class DeliverOptOuts(dg.Config):
    """How a delivery of opt-outs is run by hand."""

    dry_run: bool = Field(
        default=False, description="Show what would be written, before and after, and the API calls; write nothing."
    )
    limit: int | None = Field(
        default=None, ge=1, description="Serve at most this many people; a person's changes are never split."
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"duckdb"}, tags={"domain": "opt-outs"})
@failing_in_words
def pending_queue(
    context: dg.AssetExecutionContext, platform_database: dg.ResourceParam[PlatformDatabase]
) -> dg.MaterializeResult[None]:
    """Opt-out changes that the e-mail platform queued for Salesforce: how many are owed, and how old the oldest is."""
    ledger = platform_database.ledger()
    depth = ledger.depth()
    context.log.info(f"{depth.owed} writebacks are owed")
    oldest = ledger.writebacks(WritebackFilter(statuses=OPEN_STATUSES, kinds=OPT_OUT_KINDS, limit=TABLE_ROWS))
    now = datetime.now(UTC)
    by_day = ledger.latency_by_day(now - LATENCY_DAYS)
    return dg.MaterializeResult(
        metadata={
            **depth_metadata(depth, now),
            **latency_metadata(by_day.get(now.date())),
            "newest": writeback_table(oldest),
            "latency_by_day": latency_table(by_day),
        }
    )


@dg.asset(
    deps=[pending_queue],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"salesforce"},
    tags={"domain": "opt-outs"},
    output_required=False,
)
@failing_in_words
def opt_out_writebacks(
    context: dg.AssetExecutionContext,
    config: DeliverOptOuts,
    platform_database: dg.ResourceParam[PlatformDatabase],
    salesforce: dg.ResourceParam[SalesforceConnector],
) -> Iterator[dg.MaterializeResult[None]]:
    """Unsubscribes and resubscribes as Salesforce now holds them: the Email Opt Out flag and a Note on each person.

    Delivers everything that is due. Safe to start while another run is on: each person is leased to one run at a time.
    """
    ledger = platform_database.ledger()
    with salesforce.connect(Purpose.OPT_OUTS, manual=is_manual(context.run)) as organisation:
        if config.dry_run:
            report = dry_run(ledger, organisation, datetime.now(UTC), limit=config.limit)
            for change in report.planned:
                context.log.info(planned_line(change))
            context.log_event(dg.AssetObservation(context.asset_key, metadata=plan_metadata(report)))
            return
        delivery = OptOutDelivery(
            ledger,
            organisation,
            now=lambda: datetime.now(UTC),
            run_id=context.run.run_id,
            progress=_progress(context),
        )
        report = delivery.run(limit=config.limit)
    problems = ledger.writebacks(WritebackFilter(statuses=PROBLEMS, run_id=context.run.run_id, limit=TABLE_ROWS))
    left = ledger.calls_left(Purpose.OPT_OUTS, datetime.now(UTC))
    latency = latency_metadata(ledger.latency_of_run(context.run.run_id))
    yield dg.MaterializeResult(metadata={**report_metadata(report, problems, left), **latency})


def _progress(context: dg.AssetExecutionContext) -> Callable[[int], None]:
    """Lines in the run's log that tell how many writebacks were settled so far."""
    told_at = monotonic()

    def progress(settled: int) -> None:
        nonlocal told_at
        if monotonic() - told_at >= SECONDS_BETWEEN_LINES:
            told_at = monotonic()
            context.log.info(f"{settled} writebacks settled")

    return progress
