"""The daily API request limit: calls counted per minute and user over the last 24 hours, shared by all processes."""

from __future__ import annotations

import sqlite3

from writeback_pipeline.local_org import records
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.settings import OrgSettings

_WINDOW_MINUTES = 24 * 60
_OTHERS = ""
"""Stands for the user of other integrations."""


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table of calls per minute and user."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _calls "
        "(minute INTEGER, user_id TEXT, calls INTEGER NOT NULL, PRIMARY KEY (minute, user_id)) WITHOUT ROWID"
    )


def used(connection: sqlite3.Connection, seconds: float) -> int:
    """Calls in the 24 hours that end at that instant."""
    (calls,) = connection.execute("SELECT total(calls) FROM _calls WHERE minute > ?", (_oldest(seconds),)).fetchone()
    return int(calls)


def by_user(connection: sqlite3.Connection, seconds: float) -> list[tuple[str, int]]:
    """Who made them, by name, and how many; most first."""
    return connection.execute(
        "SELECT coalesce(User.Name || ' (' || User.Username || ')', 'Other integrations'), sum(calls) "
        "FROM _calls LEFT JOIN User ON User.Id = user_id WHERE minute > ? GROUP BY user_id ORDER BY 2 DESC, 1",
        (_oldest(seconds),),
    ).fetchall()


def count(connection: sqlite3.Connection, settings: OrgSettings, user_id: str, seconds: float) -> int:
    """Count one call and return how many there are now; ApiError, and no count, when the limit is reached."""
    with records.atomic(connection):
        before = used(connection, seconds)
        if before >= settings.daily_api_requests:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        connection.execute("DELETE FROM _calls WHERE minute <= ?", (_oldest(seconds),))
        _add(connection, user_id, 1, seconds)
    return before + 1


def add(connection: sqlite3.Connection, calls: int, seconds: float) -> None:
    """Pretend that other integrations have made that many calls just before that instant."""
    _add(connection, _OTHERS, calls, seconds)


def _add(connection: sqlite3.Connection, user_id: str, calls: int, seconds: float) -> None:
    connection.execute(
        "INSERT INTO _calls VALUES (?1, ?2, ?3) ON CONFLICT (minute, user_id) DO UPDATE SET calls = calls + ?3",
        (int(seconds // 60), user_id, calls),
    )


def _oldest(seconds: float) -> int:
    return int(seconds // 60) - _WINDOW_MINUTES
