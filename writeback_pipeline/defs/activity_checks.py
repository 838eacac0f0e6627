"""Standing checks over the mailing activity: no window is missing, none is late, every summary is accounted for.

Freshness is a check of our own because Dagster's policies are fixed when the code loads, and count any partition: under
`frequency=manual` nothing is ever late, and a backfilled old window makes nothing fresh.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from writeback_pipeline.defs.failures import failing_in_words
from writeback_pipeline.defs.metadata import table
from writeback_pipeline.defs.ports import Ledger, MailingActivity, PlatformDatabase
from writeback_pipeline.delivery.owed_windows import window_states
from writeback_pipeline.domain.settings import Frequency, Occurrence, WritebackSettings
from writeback_pipeline.domain.windows import REACH_DAYS, Calendar, WindowState, chosen_kinds, window_named
from writeback_pipeline.domain.writebacks import Kind

GRACE = {
    Frequency.HOURLY: timedelta(hours=3),
    Frequency.DAILY: timedelta(days=2),
    Frequency.WEEKLY: timedelta(days=9),
}
"""How long after its end a window may be missing; two ticks or more."""

_TO_BACKFILL = (WindowState.MISSING, WindowState.CHANGED)
_COUNTED = ("events", "events_in_rows", "summaries", "withdrawn", "without_recipient")
_BECAME = ("written", "failed", "refused", "no_recipient", "open")


def no_window_is_missing(occurrence: Occurrence, kind: Kind, asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """The check that lists the closed windows in reach which are missing or changed: those to backfill."""

    @dg.asset_check(
        asset=asset,
        name="no_window_is_missing",
        description=f"Every closed window of the last {REACH_DAYS} days that has events is delivered as they stand.",
    )
    @failing_in_words
    def check(
        platform_database: dg.ResourceParam[PlatformDatabase], mailing_activity: dg.ResourceParam[MailingActivity]
    ) -> dg.AssetCheckResult:
        ledger = platform_database.ledger()
        chosen = _chosen(ledger.settings(), occurrence, kind)
        closed = _closed(ledger, mailing_activity, occurrence, kind, datetime.now(UTC))
        owed = {name: state for name, state in closed.items() if state in _TO_BACKFILL}
        return dg.AssetCheckResult(
            passed=not (chosen and owed),
            severity=dg.AssetCheckSeverity.WARN,
            description=_words(len(owed), chosen=chosen),
            metadata={
                "windows_to_backfill": len(owed),
                "windows": table({"window": name, "state": state} for name, state in owed.items()),
            },
        )

    return check


def is_fresh(occurrence: Occurrence, kind: Kind, asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """The check that is red while a window is missing for longer than the chosen frequency explains."""

    @dg.asset_check(
        asset=asset,
        name="is_fresh",
        description="No closed window is missing for longer than the chosen frequency explains; never, under manual.",
    )
    @failing_in_words
    def check(
        platform_database: dg.ResourceParam[PlatformDatabase], mailing_activity: dg.ResourceParam[MailingActivity]
    ) -> dg.AssetCheckResult:
        ledger, now = platform_database.ledger(), datetime.now(UTC)
        settings = ledger.settings()
        if settings.frequency is Frequency.MANUAL or not _chosen(settings, occurrence, kind):
            why = "frequency is manual" if _chosen(settings, occurrence, kind) else _words(0, chosen=False)
            return dg.AssetCheckResult(passed=True, description=why, metadata={"hours_behind": 0})
        calendar = Calendar(occurrence, settings.zone, settings.week_starts_on)
        closed = _closed(ledger, mailing_activity, occurrence, kind, now)
        missing = (window_named(name, calendar) for name, state in closed.items() if state is WindowState.MISSING)
        behind = now - min((window.end for window in missing), default=now)
        return dg.AssetCheckResult(
            passed=behind <= GRACE[settings.frequency],
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"the oldest missing window ended {behind // timedelta(hours=1)} hours ago"
            if behind
            else "no window is missing",
            metadata={"hours_behind": behind // timedelta(hours=1)},
        )

    return check


def _chosen(settings: WritebackSettings, occurrence: Occurrence, kind: Kind) -> bool:
    return settings.activity_enabled and settings.occurrence is occurrence and kind in chosen_kinds(settings)


def _closed(
    ledger: Ledger, files: MailingActivity, occurrence: Occurrence, kind: Kind, now: datetime
) -> Mapping[str, WindowState]:
    *closed, _open = window_states(ledger, files, occurrence, now, now=now)[kind].items()
    return dict(closed)


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
        description=(
            "In every window: events in = events in its rows, and summaries + withdrawn + without a recipient = "
            "Tasks written + failed + refused + no recipient + still open."
        ),
    )
    @failing_in_words
    def check(platform_database: dg.ResourceParam[PlatformDatabase]) -> dg.AssetCheckResult:
        ledger = platform_database.ledger()
        windows = [
            each
            for each in ledger.window_accounts(datetime.now(UTC) - timedelta(days=REACH_DAYS))
            if each.kind is kind and each.occurrence == occurrence
        ]
        wrong = [each for each in windows if not each.adds_up]
        return dg.AssetCheckResult(
            passed=not wrong,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(windows)} windows, {len(wrong)} do not add up",
            metadata={
                "windows": len(windows),
                **{name: sum(getattr(each.counts, name) for each in windows) for name in _COUNTED},
                **{name: sum(getattr(each, name) for each in windows) for name in _BECAME},
                "do_not_add_up": table(
                    {"window": each.name}
                    | {name: getattr(each.counts, name) for name in _COUNTED}
                    | {name: getattr(each, name) for name in _BECAME}
                    for each in wrong
                ),
            },
        )

    return check
