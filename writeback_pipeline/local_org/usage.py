"""The daily API request limit: calls counted per minute, summed over the last 24 hours, shared by all processes."""

from __future__ import annotations

import sqlite3

from writeback_pipeline.local_org import records
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.settings import OrgSettings

_WINDOW_MINUTES = 24 * 60


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table of calls per minute."""
    connection.execute("CREATE TABLE IF NOT EXISTS _usage (minute INTEGER PRIMARY KEY, calls INTEGER NOT NULL)")


def used(connection: sqlite3.Connection, seconds: float) -> int:
    """Calls in the 24 hours that end at that instant."""
    oldest = int(seconds // 60) - _WINDOW_MINUTES
    (calls,) = connection.execute("SELECT total(calls) FROM _usage WHERE minute > ?", (oldest,)).fetchone()
    return int(calls)


def count(connection: sqlite3.Connection, settings: OrgSettings, seconds: float) -> int:
    """Count one call and return how many there are now; ApiError, and no count, when the limit is reached."""
    minute = int(seconds // 60)
    with records.atomic(connection):
        before = used(connection, seconds)
        if before >= settings.daily_api_requests:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        connection.execute("DELETE FROM _usage WHERE minute <= ?", (minute - _WINDOW_MINUTES,))
        connection.execute(
            "INSERT INTO _usage VALUES (?, 1) ON CONFLICT (minute) DO UPDATE SET calls = calls + 1", (minute,)
        )
    return before + 1


def add(connection: sqlite3.Connection, calls: int, seconds: float) -> None:
    """Pretend that other integrations have made that many calls just before that instant."""
    connection.execute(
        "INSERT INTO _usage VALUES (?1, ?2) ON CONFLICT (minute) DO UPDATE SET calls = calls + ?2",
        (int(seconds // 60), calls),
    )
