"""What an administrator can switch in the organisation while it runs; kept in its file, so every process sees it.

Reading and changing only; what a switch does is done where it matters.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypedDict, Unpack

from writeback_pipeline.local_org import records


@dataclass(frozen=True, slots=True)
class OrgSettings:
    """`hidden` and `read_only` are field-level security: `Contact.HasOptedOutOfEmail`, or an object's name."""

    daily_api_requests: int = 100_000
    session_seconds: float = 7_200
    hidden: frozenset[str] = field(default_factory=frozenset)
    read_only: frozenset[str] = field(default_factory=frozenset)
    lead_assignment_owner: str | None = None  # the user who gets every Lead that the assignment rule sees
    soap_login: bool = False
    bulk_seconds: float = 0.0  # a Bulk job is left alone for so long after it was closed,
    bulk_polls: int = 0  # and until it was asked about so often


class Changes(TypedDict, total=False):
    """Any of the settings, by name."""

    daily_api_requests: int
    session_seconds: float
    hidden: frozenset[str]
    read_only: frozenset[str]
    lead_assignment_owner: str | None
    soap_login: bool
    bulk_seconds: float
    bulk_polls: int


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table that holds the settings, with the defaults in it."""
    connection.execute("CREATE TABLE IF NOT EXISTS _settings (one INTEGER PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute("INSERT OR IGNORE INTO _settings VALUES (1, '{}')")


def load(connection: sqlite3.Connection) -> OrgSettings:
    """The settings as they are now."""
    (text,) = connection.execute("SELECT value FROM _settings").fetchone()
    return _parse(text)


def change(connection: sqlite3.Connection, **changes: Unpack[Changes]) -> OrgSettings:
    """Set the named settings and return them all."""
    with records.atomic(connection):
        changed = replace(load(connection), **changes)
        connection.execute("UPDATE _settings SET value = ?", (_print(changed),))
    return changed


@lru_cache(maxsize=64)
def _parse(text: str) -> OrgSettings:
    stored: dict[str, Any] = json.loads(text)
    sets: dict[str, Any] = {name: frozenset(stored.pop(name)) for name in ("hidden", "read_only") if name in stored}
    return OrgSettings(**stored | sets)


def _print(settings: OrgSettings) -> str:
    return json.dumps(
        {
            "daily_api_requests": settings.daily_api_requests,
            "session_seconds": settings.session_seconds,
            "hidden": sorted(settings.hidden),
            "read_only": sorted(settings.read_only),
            "lead_assignment_owner": settings.lead_assignment_owner,
            "soap_login": settings.soap_login,
            "bulk_seconds": settings.bulk_seconds,
            "bulk_polls": settings.bulk_polls,
        }
    )
