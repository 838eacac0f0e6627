"""Results of large queries, kept so that the pages fetched later show what the first page belonged to.

A result lives for a quarter of an hour, in the organisation's file, so any process can serve the next page.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from writeback_pipeline.local_org import records

_LIFETIME_SECONDS = 15 * 60
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Page:
    """Records of one page; `next_locator` is None on the last one."""

    total_size: int
    records: list[Any]
    next_locator: str | None


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table of kept pages."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS _query_pages "
        "(locator TEXT PRIMARY KEY, total INTEGER, records TEXT, next TEXT, expires REAL)"
    )


def keep(connection: sqlite3.Connection, found: Sequence[Any], page_size: int, now: float) -> Page:
    """The first page of a result; the others, if any, are kept under their locators."""
    if len(found) <= page_size:
        return Page(len(found), list(found), None)
    name = "0r8" + "".join(secrets.choice(_DIGITS) for _ in range(15))
    with records.atomic(connection):
        connection.execute("DELETE FROM _query_pages WHERE expires < ?", (now,))
        connection.executemany(
            "INSERT INTO _query_pages VALUES (?, ?, ?, ?, ?)",
            _rows(found, page_size, name, now + _LIFETIME_SECONDS),
        )
    return Page(len(found), list(found[:page_size]), f"{name}-{page_size}")


def fetch(connection: sqlite3.Connection, locator: str, now: float) -> Page | None:
    """The kept page of that locator, or None when it is unknown or too old."""
    row = connection.execute(
        "SELECT total, records, next FROM _query_pages WHERE locator = ? AND expires >= ?", (locator, now)
    ).fetchone()
    return Page(row["total"], json.loads(row["records"]), row["next"]) if row else None


def _rows(found: Sequence[Any], page_size: int, name: str, expires: float) -> Iterator[tuple[Any, ...]]:
    for start in range(page_size, len(found), page_size):
        after = start + page_size
        following = f"{name}-{after}" if after < len(found) else None
        page = json.dumps(found[start:after], ensure_ascii=False)
        yield f"{name}-{start}", len(found), page, following, expires
