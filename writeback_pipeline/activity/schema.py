"""What an event file must look like, and the check that says so before a single event is counted."""

import re
from datetime import UTC, datetime, timedelta

from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.database import ActivityDataError, naming_the_file
from writeback_pipeline.activity.files import NO_EVENTS, Span, WindowFiles, footer_from_events

_TEXT = ("VARCHAR",)
_TIME = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S")

COLUMNS: dict[str, tuple[str, ...]] = {
    "event_id": _TEXT,
    "kind": _TEXT,
    "occurred_at": _TIME,
    "mailing_id": _TEXT,
    "mailing_name": _TEXT,
    "subject": _TEXT,
    "subscriber_id": _TEXT,
    "object_type": _TEXT,
    "salesforce_id": _TEXT,
    "is_machine_open": ("BOOLEAN",),
}
"""Name and accepted types of an event's columns, the usual type first; further columns are ignored."""

_DAY = timedelta(days=1)
_PARTITION = re.compile(r"date=(\d{4}-\d\d-\d\d)/[^/]*$")

_COLUMNS_FOUND = "SELECT file_name, name, duckdb_type FROM parquet_schema($files) WHERE duckdb_type IS NOT NULL"


def check_files(database: DuckDBPyConnection, found: WindowFiles) -> None:
    """Raise ActivityDataError for the first file whose schema or dates are not those of events."""
    files = found.files
    if not files:
        return
    with naming_the_file(database, files, _COLUMNS_FOUND):
        columns = database.execute(_COLUMNS_FOUND, {"files": files}).fetchall()
    types = {(file, column): found_type for file, column, found_type in columns}
    for file in files:
        for column, accepted in COLUMNS.items():
            _check_type(file, column, types.get((file, column)), accepted)
    for file in files:
        footer = found.footers.get(file, NO_EVENTS)
        if not footer.complete:
            footer = footer_from_events(database, file)
        for column, without in (("event_id", footer.without_id), ("occurred_at", footer.without_time)):
            if without:
                raise ActivityDataError(file, f"{without} events have no {column}", column)
        if footer.span is not None:
            _check_dates(file, footer.span)


def _check_type(file: str, column: str, found: str | None, accepted: tuple[str, ...]) -> None:
    if found is None:
        raise ActivityDataError(file, f"column {column} is missing, it must be {accepted[0]}", column)
    if found not in accepted:
        raise ActivityDataError(file, f"column {column} is {found}, it must be {accepted[0]}", column)


def _check_dates(file: str, span: Span) -> None:
    match = _PARTITION.search(file)
    if match is None:
        return
    day = datetime.fromisoformat(match[1]).replace(tzinfo=UTC)
    if span[0] < day - _DAY or span[1] >= day + 2 * _DAY:
        raise ActivityDataError(
            file,
            f"holds events from {span[0]:%Y-%m-%d} to {span[1]:%Y-%m-%d}, which no window would find there: "
            "an event belongs to the date of its occurred_at in UTC",
            "occurred_at",
        )
