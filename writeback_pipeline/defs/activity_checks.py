"""Standing checks over the mailing activity: no window is missing, and every summary is accounted for."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from writeback_pipeline.defs.metadata import table
from writeback_pipeline.defs.ports import MailingActivity, PlatformDatabase
from writeback_pipeline.delivery.owed_windows import window_states
from writeback_pipeline.domain.settings import Frequency, Occurrence
from writeback_pipeline.domain.windows import REACH_DAYS, WindowState, chosen_kinds
from writeback_pipeline.domain.writebacks import Kind

_LONGEST_DELAY = timedelta(days=16)
_COUNTED = ("events", "summaries", "written", "failed", "no_recipient", "open")


def no_window_is_missing(occurrence: Occurrence, kind: Kind, asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """The check that lists the closed windows in reach which are missing or changed: those to backfill."""

    @dg.asset_check(
        asset=asset,
        name="no_window_is_missing",
        description=f"Every closed window of the last {REACH_DAYS} days is delivered as its events stand.",
    )
    def check(
        platform_database: dg.ResourceParam[PlatformDatabase], mailing_activity: dg.ResourceParam[MailingActivity]
    ) -> dg.AssetCheckResult:
        ledger, now = platform_database.ledger(), datetime.now(UTC)
        settings = ledger.settings()
        chosen = settings.occurrence is occurrence and kind in chosen_kinds(settings) and settings.activity_enabled
        states = window_states(ledger, mailing_activity, occurrence, now)[kind]
        *closed, _open = states.items()
        owed = {name: state for name, state in closed if state in (WindowState.MISSING, WindowState.CHANGED)}
        automatic = chosen and settings.frequency is not Frequency.MANUAL
        return dg.AssetCheckResult(
            passed=not (chosen and owed),
            severity=dg.AssetCheckSeverity.ERROR if automatic and _overdue(owed, now) else dg.AssetCheckSeverity.WARN,
            description=_words(len(owed), chosen=chosen),
            metadata={
                "windows_to_backfill": len(owed),
                "windows": table({"window": name, "state": state} for name, state in owed.items()),
            },
        )

    return check


def _overdue(owed: Iterable[str], now: datetime) -> bool:
    """Whether one began so long ago that even a weekly delivery should have had it."""
    return any(now.date() - date.fromisoformat(name) > _LONGEST_DELAY for name in owed)


def _words(owed: int, *, chosen: bool) -> str:
    if not chosen:
        return "the settings do not choose these windows"
    return f"{owed} windows to backfill" if owed else "no window is missing"


def every_summary_is_accounted_for(
    occurrence: Occurrence, kind: Kind, asset: dg.AssetsDefinition
) -> dg.AssetChecksDefinition:
    """The check that what was counted equals what was written, failed, is owed or has no recipient."""

    @dg.asset_check(
        asset=asset,
        name="every_row_is_accounted_for",
        description="Summaries counted = Tasks written + failed + still open + without a recipient, in every window.",
    )
    def check(platform_database: dg.ResourceParam[PlatformDatabase]) -> dg.AssetCheckResult:
        ledger, now = platform_database.ledger(), datetime.now(UTC)
        windows = [
            each
            for each in ledger.delivered_windows(now - timedelta(days=REACH_DAYS), now)
            if each.kind is kind and each.occurrence == occurrence
        ]
        wrong = [each for each in windows if not each.adds_up]
        return dg.AssetCheckResult(
            passed=not wrong,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(windows)} windows, {len(wrong)} do not add up",
            metadata={
                "windows": len(windows),
                **{name: sum(getattr(each, name) for each in windows) for name in _COUNTED},
                "do_not_add_up": table({"window": each.name, "summaries": each.summaries} for each in wrong),
            },
        )

    return check
