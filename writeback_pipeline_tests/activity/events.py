"""Event files made for one test, what is read of them, and an independent count of events in plain Python."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from writeback_pipeline.activity.database import event_database
from writeback_pipeline.activity.summaries import WindowSummaries, summarise
from writeback_pipeline.domain.activity import Presentation, Summary
from writeback_pipeline.domain.people import InvalidSalesforceId, normalise_id, object_type_of
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, Window, window_named
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
ANNA, BEN, LEAD = "003wb000000CaR6AAK", "003wb000000CaRDAA0", "00Qwb000000CaR6EAK"
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("kind", pa.string()),
        ("occurred_at", pa.timestamp("us")),
        ("mailing_id", pa.string()),
        ("mailing_name", pa.string()),
        ("subject", pa.string()),
        ("subscriber_id", pa.string()),
        ("object_type", pa.string()),
        ("salesforce_id", pa.string()),
        ("is_machine_open", pa.bool_()),
    ]
)


def event(event_id: str, at: str, **changes: Any) -> dict[str, Any]:
    """An event of ANNA's: a mailing sent, at an ISO 8601 instant in UTC."""
    return {
        "event_id": event_id,
        "kind": "sent",
        "occurred_at": datetime.fromisoformat(at),
        "mailing_id": "m-1",
        "mailing_name": "Newsletter",
        "subject": "What is new",
        "subscriber_id": "sub-1",
        "object_type": "Contact",
        "salesforce_id": ANNA,
        "is_machine_open": None,
    } | changes


def write(folder: Path, events: Iterable[dict[str, Any]], name: str = "events", schema: pa.Schema = SCHEMA) -> None:
    """One file per UTC date of the events; aware times where the schema's are."""
    by_date: dict[str, list[dict[str, Any]]] = {}
    for each in events:
        by_date.setdefault(each["occurred_at"].date().isoformat(), []).append(each)
    for day, rows in by_date.items():
        write_file(folder / f"date={day}" / f"{name}.parquet", rows, schema)


def write_file(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema = SCHEMA, **options: Any) -> None:
    """One file, wherever that is; the options are pyarrow's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path, **options)


def window(name: str, zone: str = "UTC", occurrence: Occurrence = Occurrence.DAILY) -> Window:
    """The window of that name."""
    return window_named(name, Calendar(occurrence, ZoneInfo(zone)))


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of a window: its totals are those of `summarise`."""

    counted: WindowSummaries
    summaries: dict[Kind, list[Summary]]
    revisions: dict[Kind, dict[str, str]]
    nobody: dict[Kind, list[tuple[str, datetime]]]

    def only(self, kind: Kind = Kind.SENT) -> Summary:
        """The one summary of that kind."""
        (summary,) = self.summaries[kind]
        return summary


def read(location: Path | str, of: Window, presentation: Presentation | None = None) -> Found:
    """Everything about one window."""
    shown = presentation or Presentation("Informz", ZoneInfo("UTC"))
    with event_database() as database, summarise(database, str(location), of, shown) as counted:
        return Found(
            counted,
            {kind: list(counted.summaries(kind)) for kind in ACTIVITY_KINDS},
            {kind: dict(counted.revisions(kind)) for kind in ACTIVITY_KINDS},
            {kind: counted.nobody(kind) for kind in ACTIVITY_KINDS},
        )


@cache
def rows_of(location: Path) -> list[dict[str, Any]]:
    """Every row of every file, as they are."""
    return [
        row for file in sorted(location.glob("date=*/*.parquet")) for row in pq.ParquetFile(file).read().to_pylist()
    ]


def counted_by_hand(rows: Iterable[dict[str, Any]], of: Window) -> Counter[tuple[str, str, str]]:
    """Events by kind, person and mailing, one event id once, counted without any of the code under test."""
    seen: set[str] = set()
    events: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        if of.start <= row["occurred_at"].replace(tzinfo=UTC) < of.end and row["event_id"] not in seen:
            seen.add(row["event_id"])
            events[row["kind"], _whose(row), row["mailing_id"]] += 1
    return events


def _whose(row: dict[str, Any]) -> str:
    try:
        salesforce_id = normalise_id(row["salesforce_id"] or "")
    except InvalidSalesforceId:
        return ""
    return salesforce_id if object_type_of(salesforce_id) else ""
