"""The look at the organisation before the first write of a day, as a check that holds the delivery back.

What is looked at is the gateway's work. This only decides when it is done again, and how Dagster is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg

from writeback_pipeline.defs.assets import pending_queue
from writeback_pipeline.defs.failures import WRONG_ORGANISATION, failing_in_words
from writeback_pipeline.defs.metadata import table
from writeback_pipeline.defs.ports import PlatformDatabase, SalesforceConnector
from writeback_pipeline.defs.runs import is_manual
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.findings import Finding, blocking, failures, warnings

_SPEC = dg.AssetCheckSpec(
    name="organisation_is_ready",
    asset=pending_queue,
    blocking=True,
    description="Salesforce has everything that the delivery of opt-outs needs: looked at before the first one of each "
    "UTC day, and before every one after a failure was found.",
)


@dg.multi_asset_check(specs=[_SPEC])
@failing_in_words
def organisation_is_ready(
    context: dg.AssetCheckExecutionContext,
    platform_database: dg.ResourceParam[PlatformDatabase],
    salesforce: dg.ResourceParam[SalesforceConnector],
) -> Iterator[dg.AssetCheckResult]:
    """Red, and nothing is written, for what is set up wrongly for everybody; yellow for everything else.

    What may pass by itself, or concerns some people only, is met by the delivery, which does what can be done.
    """
    now = datetime.now(UTC)
    (spec,) = context.check_specs
    earlier = _earlier_today(context.instance, spec.key, now)
    if earlier is not None:
        yield earlier
        return
    ledger = platform_database.ledger()
    settings = replace(ledger.settings(), activity_enabled=False)  # what activity needs never holds an opt-out back
    with salesforce.connect(Purpose.OPT_OUTS, manual=is_manual(context.run)) as organisation:
        findings = organisation.preflight(settings, ledger.pinned_organisation(), now)
    yield _result(findings, now)
    if in_the_way := blocking(findings):
        # Said once, in words, for whoever started the run: the check alone would fail it without them.
        metadata = {"passing": False, WRONG_ORGANISATION: any(each.elsewhere for each in in_the_way)}
        raise dg.Failure(_told(in_the_way), metadata=metadata, allow_retries=False)


def _result(findings: Sequence[Finding], now: datetime) -> dg.AssetCheckResult:
    failed, warned, in_the_way = failures(findings), warnings(findings), blocking(findings)
    return dg.AssetCheckResult(
        passed=not failed and not warned,
        severity=dg.AssetCheckSeverity.ERROR if in_the_way else dg.AssetCheckSeverity.WARN,
        description=_told(in_the_way or failed or warned) or "everything that delivery needs is there",
        metadata={
            "failures": len(failed),
            "warnings": len(warned),
            "looked_on": now.date().isoformat(),
            "findings": table(
                {"what": each.subject, "level": each.level, "found": each.told, "what to do": each.remedy}
                for each in findings
            ),
        },
    )


def _told(findings: Sequence[Finding]) -> str:
    return " ".join(f"{each.subject}: {each.told}. {each.remedy}" for each in findings)


def _earlier_today(instance: dg.DagsterInstance, key: dg.AssetCheckKey, now: datetime) -> dg.AssetCheckResult | None:
    """The newest evaluation, if it was made today and found no failure."""
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=2):
        event = record.event.dagster_event if record.event else None
        if event is None or event.event_type is not dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            continue  # the run that asks is planned already
        found = event.asset_check_evaluation_data
        looked_on = found.metadata.get("looked_on")
        if looked_on is None or looked_on.value != now.date().isoformat() or found.metadata["failures"].value:
            return None
        return dg.AssetCheckResult(
            passed=found.passed, severity=found.severity, description=found.description, metadata=found.metadata
        )
    return None
