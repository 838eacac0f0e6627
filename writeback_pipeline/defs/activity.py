"""The mailing-activity assets: summaries per person and window, and the Tasks that show them in Salesforce.

One partition is one window, named by its first day. Re-running a window writes only what changed since it was last
written, and says so. The summaries are counted anew whenever they are asked for; nothing is kept of them but numbers.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg
from pydantic import Field

from writeback_pipeline.defs.failures import failing_in_words
from writeback_pipeline.defs.metadata import TABLE_ROWS, cost_metadata, table, writeback_table
from writeback_pipeline.defs.ports import CountedWindow, Ledger, MailingActivity, PlatformDatabase, SalesforceConnector
from writeback_pipeline.defs.runs import is_manual, is_repeat
from writeback_pipeline.defs.scope import beside
from writeback_pipeline.delivery.activity import PROGRESS, ActivityDelivery, ActivityReport
from writeback_pipeline.delivery.report import PROBLEMS
from writeback_pipeline.delivery.window_plan import WindowPlan, plan_window
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import LEASE, QUIET, WritebackFilter
from writeback_pipeline.domain.partitions import FIRST_DAY, window_of_partition
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.settings import Frequency, Occurrence, WritebackSettings
from writeback_pipeline.domain.window_ledger import scope_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, OPEN_STATUSES, Kind, Status, Writeback

GROUP = "mailing_activity"
OWNERS = ["team:email-platform"]
DISABLED = "The mailing activity writeback is disabled; writebacks settings set activity_enabled=true turns it on."
NOBODY_COMES_BACK = "With the frequency manual that takes somebody: materialise the window again."
MOST_WAITS = 3
"""How often a repeated run waits: for the lease of the one that died, for its last call, and once more for a third."""

_WINDOW_WORD = {Occurrence.DAILY: "day", Occurrence.WEEKLY: "week"}


class DeliverActivity(dg.Config):
    """How a window of activity is delivered by hand."""

    dry_run: bool = Field(default=False, description="Show how many Tasks and API calls it would take; write nothing.")


def partitions(occurrence: Occurrence, zone: str) -> dg.TimeWindowPartitionsDefinition:
    """Days or weeks of the bridge's zone, the open one included: an hourly delivery refreshes it."""
    if occurrence is Occurrence.DAILY:
        # Two: when the location was loaded in UTC and the setting says Tokyo now, tomorrow is already open there.
        return dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone=zone, end_offset=2)
    return dg.WeeklyPartitionsDefinition(start_date=FIRST_DAY, timezone=zone, end_offset=1, day_offset=1)


def summaries_asset(occurrence: Occurrence, zone: str) -> dg.AssetsDefinition:
    """The asset that counts a window's events; a range of windows is one run."""
    with catch_warnings():
        simplefilter("ignore", dg.BetaWarning)  # backfill policies are still called beta

        @dg.asset(
            name=_summaries(occurrence),
            partitions_def=partitions(occurrence, zone),
            backfill_policy=dg.BackfillPolicy.single_run(),
            group_name=GROUP,
            owners=OWNERS,
            kinds={"duckdb", "parquet"},
            tags={"domain": "mailing-activity"},
            description=f"Sent and opened mailings per person and {_WINDOW_WORD[occurrence]}, counted from the events.",
        )
        @failing_in_words
        def asset(
            context: dg.AssetExecutionContext,
            platform_database: dg.ResourceParam[PlatformDatabase],
            mailing_activity: dg.ResourceParam[MailingActivity],
        ) -> dg.MaterializeResult[None]:
            settings = platform_database.ledger().activity_settings()
            keys = context.partition_keys
            events, begun = 0, monotonic()
            windows = [window_of_partition(key, occurrence, settings) for key in keys]
            with closing(mailing_activity.counted_each(windows, _presentation(settings))) as each:
                for number, (key, counted) in enumerate(zip(keys, each, strict=True), 1):
                    metadata = _counted(counted)
                    context.add_asset_metadata(metadata, asset_key=context.asset_key, partition_key=key)
                    events += metadata["events"]
                    context.log.info(
                        "%s: %d events; %d of %d windows, %d events a second",
                        *(key, metadata["events"], number, len(keys), _rate(events, begun)),
                    )
            return dg.MaterializeResult(metadata={"windows": len(keys)})

    return asset


def _summaries(occurrence: Occurrence) -> str:
    return f"{occurrence}_activity_summaries"


def _presentation(settings: WritebackSettings) -> Presentation:
    return Presentation(settings.platform_name, settings.zone)


def _counted(window: CountedWindow) -> dict[str, int]:
    numbers = {"events": 0, "repeated_events": window.repeated, "events_of_no_kind": window.of_no_kind}
    for kind in ACTIVITY_KINDS:
        events = window.of(kind).events
        numbers["events"] += events
        numbers[f"{kind}_events"] = events
        numbers[f"{kind}_summaries"] = window.summaries(kind)
        numbers[f"{kind}_without_recipient"] = window.without_recipient(kind)
    return numbers


def writebacks_asset(occurrence: Occurrence, kind: Kind, zone: str) -> dg.AssetsDefinition:
    """The asset that writes a window's Tasks of one kind; a window is a run of its own."""

    @dg.asset(
        name=f"{occurrence}_{kind}_writebacks",
        deps=[_summaries(occurrence)],
        partitions_def=partitions(occurrence, zone),
        group_name=GROUP,
        owners=OWNERS,
        kinds={"salesforce"},
        tags={"domain": "mailing-activity"},
        output_required=False,
        description=(
            f"One completed Task per person and {_WINDOW_WORD[occurrence]} in the Activity History, listing the "
            f"mailings {kind}. Only what changed since it was last written is sent. The {_WINDOW_WORD[occurrence]} is "
            "counted on the way: no summaries have to be materialised before, whatever a warning says of missing ones."
        ),
    )
    @failing_in_words
    def asset(
        context: dg.AssetExecutionContext,
        config: DeliverActivity,
        platform_database: dg.ResourceParam[PlatformDatabase],
        salesforce: dg.ResourceParam[SalesforceConnector],
        mailing_activity: dg.ResourceParam[MailingActivity],
    ) -> Iterator[dg.MaterializeResult[None]]:
        ledger = platform_database.ledger()
        settings = ledger.activity_settings()
        if not settings.activity_enabled:
            raise dg.Failure(DISABLED, metadata={"passing": False}, allow_retries=False)
        window = window_of_partition(context.partition_key, occurrence, settings)
        with (
            _saying_who_comes_back(settings),
            mailing_activity.counted(window, _presentation(settings)) as counted,
            salesforce.connect(Purpose.ACTIVITY, manual=is_manual(context.run)) as organisation,
        ):
            events = counted.of(kind)
            # The window was counted on the way: its summaries are as fresh as its Tasks.
            summaries = beside(context.asset_key, _summaries(occurrence))
            context.log_event(
                dg.AssetMaterialization(summaries, partition=context.partition_key, metadata=_counted(counted))
            )
            if config.dry_run:
                known = ledger.known_summaries(scope_of(kind, window))
                plan = plan_window(known, events, ledger.settings().bulk_threshold)
                context.log_event(dg.AssetObservation(context.asset_key, metadata=_planned(plan)))
                return
            delivery = ActivityDelivery(
                ledger,
                organisation,
                now=lambda: datetime.now(UTC),
                run_id=context.run.run_id,
                progress=_progress(context, window.name),
            )
            report = delivery.run(kind, window, events)
        if is_repeat(context.run) and context.retry_number < MOST_WAITS and (pause := _worth_waiting(report)):
            raise dg.RetryRequested(MOST_WAITS, seconds_to_wait=pause.total_seconds())
        cost = cost_metadata(
            report.usage, report.statuses.total(), ledger.calls_left(Purpose.ACTIVITY, datetime.now(UTC))
        )
        problems = _problems(ledger, kind, window)
        due = [row.next_attempt_at for row in problems if row.next_attempt_at is not None]
        if due and settings.frequency is Frequency.MANUAL:
            context.log.warning(
                f"{_owed(report):,} rows are still owed, from {min(due):%H:%M} UTC on. {NOBODY_COMES_BACK}"
            )
        yield dg.MaterializeResult(
            metadata={**_delivered(report), **cost, "needs_attention": writeback_table(problems)}
        )

    return asset


def _owed(report: ActivityReport) -> int:
    return sum(became[status] for became in (report.statuses, report.left) for status in OPEN_STATUSES)


def _problems(ledger: Ledger, kind: Kind, window: Window) -> list[Writeback]:
    """Rows of the window that wait or need a person, whichever run left them so."""
    only = WritebackFilter(
        statuses=PROBLEMS, kinds=(kind,), since=window.start, until=window.end, limit=2 * TABLE_ROWS
    )  # those of windows of the other occurrence have events of the same days
    rows = ledger.writebacks(only)
    return [row for row in rows if (row.window_start, row.window_end) == (window.start, window.end)]


@contextmanager
def _saying_who_comes_back(settings: WritebackSettings) -> Iterator[None]:
    """Trouble that passes is said to be tried again by itself; of a window that only holds where a schedule does."""
    try:
        yield
    except OrganisationUnavailable as error:
        if not error.passing or settings.frequency is not Frequency.MANUAL:
            raise
        advice = f"{error.advice} {NOBODY_COMES_BACK}"
        raise OrganisationUnavailable(error.code, error.message, advice, passing=True) from error


def _worth_waiting(report: ActivityReport) -> timedelta | None:
    """For a run in place of one that died: how long until what that one left is free, None when it left nothing.

    Nobody else may come back to it: with the frequency `manual` no schedule does.
    """
    if report.busy:
        return LEASE
    return QUIET if report.left[Status.UNKNOWN] else None


def _progress(context: dg.AssetExecutionContext, window: str) -> Callable[[int, int], None]:
    """Log lines with done, total and rate, in the run's log and for whoever listens in this process."""
    begun = monotonic()

    def progress(done: int, total: int) -> None:
        line = ("%s: %d of %d Tasks, %d a second", window, done, total, _rate(done, begun))
        context.log.info(*line)
        logging.getLogger(PROGRESS).info(*line)

    return progress


def _rate(done: int, begun: float) -> int:
    return round(done / max(monotonic() - begun, 0.001))


def _planned(plan: WindowPlan) -> dict[str, Any]:
    return {
        "dry_run": True,
        "summaries": plan.counts.summaries,
        "planned_tasks": len(plan.due),
        "planned_api_calls": plan.calls,
        "tasks": table({"key": key, "withdrawn": key in plan.withdrawn} for key in plan.due),
    }


def _delivered(report: ActivityReport) -> dict[str, Any]:
    both = report.statuses + report.left
    return {
        "events": report.counts.events,
        "summaries": report.counts.summaries,
        "withdrawn": report.counts.withdrawn,
        "unchanged": report.left[Status.WRITTEN],
        "written": report.statuses[Status.WRITTEN],
        **{status.value: both[status] for status in (Status.FAILED, Status.WAITING, Status.UNKNOWN)},
        "no_recipient": report.counts.without_recipient,
        "redirected": report.redirected,
        "left_to_another_run": int(report.busy),
        "key_in_text": int(report.key_in_text),
    }
