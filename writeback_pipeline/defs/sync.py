"""Salesforce's own opt-outs: the asset that reads them, the nightly audit of both sides, their jobs and schedules."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from writeback_pipeline.defs.assets import GROUP, OWNERS
from writeback_pipeline.defs.failures import failing_in_words
from writeback_pipeline.defs.jobs import AssetJob
from writeback_pipeline.defs.metadata import table
from writeback_pipeline.defs.ports import PlatformDatabase, SalesforceConnector
from writeback_pipeline.defs.runs import is_manual
from writeback_pipeline.defs.scope import Scope
from writeback_pipeline.delivery.auditing import audit
from writeback_pipeline.delivery.synchronising import synchronise
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.sync import Finding

DAILY_AT = "0 5 * * *"
EVERY_15_MINUTES = "*/15 * * * *"


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"salesforce"}, tags={"domain": "opt-outs"}, output_required=False)
@failing_in_words
def salesforce_opt_outs(
    context: dg.AssetExecutionContext,
    platform_database: dg.ResourceParam[PlatformDatabase],
    salesforce: dg.ResourceParam[SalesforceConnector],
) -> Iterator[dg.MaterializeResult[None]]:
    """Opt-outs that were made or taken back in Salesforce, as the platform's table `subscriber_status` tells them."""
    ledger = platform_database.ledger()
    with salesforce.connect(Purpose.OPT_OUTS, manual=is_manual(context.run)) as organisation:
        report = synchronise(ledger, organisation, datetime.now(UTC))
    standing = ledger.standing_counts()
    context.log.info(f"{report.read} people read, " + ", ".join(f"{report.news[each]} {each}" for each in Finding))
    yield dg.MaterializeResult(
        metadata={
            "people_read": report.read,
            **{finding.value: report.news[finding] for finding in Finding},
            "moved": report.moved,
            "api_calls": report.usage.calls,
            "standing": table({"origin": origin, "people": count} for origin, count in sorted(standing.items())),
            **{f"standing_{origin}": count for origin, count in standing.items()},
        }
    )


@dg.asset_check(
    asset=salesforce_opt_outs, description="The ledger and Salesforce agree about everybody who is opted out."
)
@failing_in_words
def flag_matches_ledger(
    platform_database: dg.ResourceParam[PlatformDatabase], salesforce: dg.ResourceParam[SalesforceConnector]
) -> dg.AssetCheckResult:
    """Red while somebody is opted out on one side only; nothing is repaired here."""
    with salesforce.connect(Purpose.OPT_OUTS, manual=False) as organisation:
        found = audit(platform_database.ledger(), organisation, datetime.now(UTC))
    here = [(each.salesforce_id, "only here", ", ".join(each.origins)) for each in found.only_here]
    there = [(each.person.salesforce_id, "only in Salesforce", each.changed_by) for each in found.only_there]
    differences = [{"record": id_, "opted out": where, "by": by} for id_, where, by in (*here, *there)]
    return dg.AssetCheckResult(
        passed=not differences,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{found.agree} agree, {len(differences)} differ",
        metadata={
            "agree": found.agree,
            "under_way": found.under_way,
            "gone": found.gone,
            "only_here": len(found.only_here),
            "only_there": len(found.only_there),
            "differences": table(differences),
        },
    )


def audit_job(scope: Scope) -> AssetJob:
    """Compare both sides."""
    return dg.define_asset_job(
        name="audit_opt_outs",
        selection=dg.AssetSelection.checks(scope.of(flag_matches_ledger)),
        description="Compare who stands opted out in the ledger with whom Salesforce shows opted out.",
        tags=scope.tags,
        executor_def=dg.in_process_executor,
    )


def daily_audit(zone: str, job: AssetJob) -> dg.ScheduleDefinition:
    """Once a night, in that zone, after the reconciliation."""
    return dg.ScheduleDefinition(
        name="daily_audit",
        job=job,
        cron_schedule=DAILY_AT,
        execution_timezone=zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares everybody who is opted out on one side with the other side.",
    )


def sync_job(scope: Scope) -> AssetJob:
    """Read what changed in Salesforce."""
    return dg.define_asset_job(
        name="sync_salesforce",
        selection=dg.AssetSelection.assets(scope.key("salesforce_opt_outs")).without_checks(),
        description="Bring opt-outs that were made or taken back in Salesforce to the platform.",
        tags=scope.tags,
        executor_def=dg.in_process_executor,
    )


def quarter_hourly_sync(job: AssetJob) -> dg.ScheduleDefinition:
    """Every quarter of an hour."""
    return dg.ScheduleDefinition(
        name="quarter_hourly_sync",
        job=job,
        cron_schedule=EVERY_15_MINUTES,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Reads what changed in Salesforce since the last reading.",
    )
