"""Values of the domain as Dagster metadata: integers that plot, tables that read; of a person the record id only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import dagster as dg

from writeback_pipeline.delivery.report import DeliveryReport, PlannedChange
from writeback_pipeline.domain.latency import Latency, LatencyByDay
from writeback_pipeline.domain.ledger import QueueDepth
from writeback_pipeline.domain.listing import ErrorGroup
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline.domain.writebacks import FlagResult, Status, Writeback

TABLE_ROWS = 50
"""Longest table shown in the UI; the Writeback List has them all."""

Metadata = Mapping[str, Any]


def table(rows: Iterable[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """A table of at most TABLE_ROWS rows; values are shown as text."""
    records = [
        dg.TableRecord({name: "" if value is None else str(value) for name, value in row.items()})
        for row in list(rows)[:TABLE_ROWS]
    ]
    columns = list(records[0].data) if records else ["nothing"]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in columns]))


def writeback_table(rows: Iterable[Writeback]) -> dg.TableMetadataValue:
    """Writebacks that need attention: what, who, why and what to do."""
    return table(
        {
            "id": row.id,
            "kind": row.kind,
            "record": row.salesforce_id,
            "occurred at": _minute(row.occurred_at),
            "status": row.status,
            "error": row.error_code,
            "message": row.error_message,
            "what to do": row.advice,
        }
        for row in rows
    )


def error_table(groups: Iterable[ErrorGroup], examples: Iterable[Writeback]) -> dg.TableMetadataValue:
    """What needs a person, an error a row: how many have it, what to do, and the one of them that was queued last."""
    by_id = {row.id: row for row in examples}
    return table(
        {
            "error": group.error_code,
            "rows": group.count,
            "what to do": group.advice,
            "example": row.id,
            "record": row.salesforce_id,
            "message": row.error_message,
        }
        for group in groups
        if (row := by_id.get(group.newest))
    )


def depth_metadata(depth: QueueDepth, now: datetime) -> Metadata:
    """Counts by status and the age of what is owed, in minutes."""
    oldest = depth.oldest_created_at
    return {
        "owed": depth.owed,
        **{status.value: depth.by_status.get(status, 0) for status in Status},
        "oldest_owed_minutes": int((now - oldest).total_seconds() // 60) if oldest else 0,
    }


def latency_metadata(latency: Latency | None) -> Metadata:
    """How long the opt-outs took, in whole seconds: nine numbers that plot; nothing where none was written."""
    if latency is None:
        return {}
    return {f"{name}_seconds": round(seconds) for name, seconds in _spreads(latency).items()}


def latency_table(by_day: LatencyByDay) -> dg.TableMetadataValue:
    """The same day by day, newest first."""
    return table(
        {"day": day, "written": each.written} | {name: round(seconds) for name, seconds in _spreads(each).items()}
        for day, each in by_day.items()
    )


def _spreads(latency: Latency) -> dict[str, float]:
    stretches = {
        "event_to_queued": latency.event_to_queued,
        "queued_to_written": latency.queued_to_written,
        "event_to_written": latency.event_to_written,
    }
    return {
        f"{stretch}_{name}": seconds
        for stretch, spread in stretches.items()
        for name, seconds in (("p50", spread.p50), ("p95", spread.p95), ("max", spread.longest))
    }


def report_metadata(report: DeliveryReport, problems: Sequence[Writeback], calls_left: int) -> Metadata:
    """What a delivery did and what it cost."""
    return {
        "settled": report.settled,
        **{status.value: report.statuses[status] for status in Status if status is not Status.PENDING},
        **{f"flag_{result.value}": report.flags[result] for result in FlagResult},
        "redirected": report.redirected,
        "flags_set_again": report.reopened,
        "left_to_another_run": report.fenced,
        **cost_metadata(report.usage, report.settled, calls_left),
        "needs_attention": writeback_table(problems),
    }


def cost_metadata(usage: ApiUsage, settled: int, calls_left: int) -> Metadata:
    """API calls: made, left of our budget for this purpose, per 1,000 writebacks; and the organisation's own count."""
    known = {"api_requests_used": usage.used, "api_requests_limit": usage.limit}
    return {
        "api_calls": usage.calls,
        "api_calls_left": calls_left,
        "api_calls_per_1000_writebacks": round(1000 * usage.calls / settled, 1) if settled else 0.0,
        **{name: value for name, value in known.items() if value is not None},
    }


def plan_metadata(report: DeliveryReport) -> Metadata:
    """What a dry run found."""
    return {
        "dry_run": True,
        "planned_writebacks": len(report.planned),
        "planned_api_calls": report.planned_calls,
        "plan": table(asdict(change) for change in report.planned),
    }


def planned_line(change: PlannedChange) -> str:
    """One planned writeback as a log line."""
    flag = f"Email Opt Out {_box(change.flag_before)} -> {_box(change.flag_after)} ({change.flag_result or 'no write'})"
    note = f"note {change.note_title!r}" if change.note_title else "no note"
    return f"{change.kind} {change.object_type} {change.salesforce_id}: {change.status}; {flag}; {note}"


def _box(flag: bool | None) -> str:
    return {True: "checked", False: "unchecked", None: "unread"}[flag]


def _minute(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%d %H:%M UTC")
