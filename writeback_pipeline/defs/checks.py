"""Standing checks over the whole ledger: what an operator looks at first.

They are unpartitioned on purpose: a red check stays red until the trouble is gone, however many runs come after it.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from writeback_pipeline.defs.assets import opt_out_writebacks
from writeback_pipeline.defs.failures import failing_in_words
from writeback_pipeline.defs.metadata import TABLE_ROWS, error_table
from writeback_pipeline.defs.ports import PlatformDatabase
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.listing import NEEDS_A_PERSON
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS

WARN_AFTER = timedelta(hours=1)
FAIL_AFTER = timedelta(hours=48)
"""The large mailbox providers ask for two days, the law for ten."""


@dg.asset_check(
    asset=opt_out_writebacks,
    description="No opt-out needs a person: each error is listed here, the rows in the Writeback List.",
)
@failing_in_words
def nothing_failed(platform_database: dg.ResourceParam[PlatformDatabase]) -> dg.AssetCheckResult:
    """Red while a failed opt-out waits for somebody to act; what was undone on purpose does not."""
    ledger = platform_database.ledger()
    _, tally = ledger.page(WritebackFilter(kinds=OPT_OUT_KINDS), 1)
    errors = tally.error_groups(NEEDS_A_PERSON)
    count = sum(each.count for each in errors)
    newest = WritebackFilter(ids=tuple(each.newest for each in errors[:TABLE_ROWS]))
    return dg.AssetCheckResult(
        passed=count == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{count} opt-outs need a person" if count else "no opt-out failed",
        metadata={"failed": count, "errors": error_table(errors, ledger.writebacks(newest))},
    )


@dg.asset_check(
    asset=opt_out_writebacks, description="No opt-out is owed for longer than 1 hour (warning) or 48 hours."
)
@failing_in_words
def no_opt_out_is_older_than(platform_database: dg.ResourceParam[PlatformDatabase]) -> dg.AssetCheckResult:
    """Yellow, then red, while the oldest owed opt-out is over its limit."""
    depth, now = platform_database.ledger().depth(), datetime.now(UTC)
    age = now - depth.oldest_created_at if depth.oldest_created_at else timedelta()
    return dg.AssetCheckResult(
        passed=age <= WARN_AFTER,
        severity=dg.AssetCheckSeverity.ERROR if age > FAIL_AFTER else dg.AssetCheckSeverity.WARN,
        description=f"the oldest owed opt-out was queued {int(age.total_seconds() // 60)} minutes ago",
        metadata={"owed": depth.owed, "oldest_owed_minutes": int(age.total_seconds() // 60)},
    )


@dg.asset_check(asset=opt_out_writebacks, description="Every queued opt-out has ended or is visibly owed.")
@failing_in_words
def every_row_is_accounted_for(platform_database: dg.ResourceParam[PlatformDatabase]) -> dg.AssetCheckResult:
    """Red when a row contradicts itself: written without a Note, sent long ago without an outcome."""
    ledger = platform_database.ledger()
    depth, contradictory = ledger.depth(), ledger.unaccounted(datetime.now(UTC))
    queued = sum(depth.by_status.values())
    return dg.AssetCheckResult(
        passed=not contradictory,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{queued} queued: {queued - depth.owed} ended, {depth.owed} owed, "
        f"{len(contradictory)} contradict themselves",
        metadata={
            "queued": queued,
            "owed": depth.owed,
            "unaccounted": len(contradictory),
            "ids": ", ".join(map(str, contradictory[:TABLE_ROWS])) or "none",
        },
    )
