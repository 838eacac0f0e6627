"""Small ledgers as each schema version left them, one file a version, with a digest of the migration that leads to it.

A migration that was released is never edited: its digest would tell. After appending one, write the file of the version
before it: `python -m writeback_pipeline_tests.store.homes`. A file that is there is never written again.
"""

import itertools
import json
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from writeback_pipeline.store import schema
from writeback_pipeline.store.schema import MIGRATIONS
from writeback_pipeline.store.session import Session

FOLDER = Path(__file__).parent
VERSIONS = range(1, len(MIGRATIONS))
"""The versions that have been left behind."""

GIVEN_AWAY = 100
"""Ids that each sequence has given away: more than the rows have."""

Rows = dict[str, list[dict[str, Any]]]


def file_of(version: int) -> Path:
    return FOLDER / f"{version:03}.json"


def digest(version: int) -> str:
    """Of the migration that leads to that version."""
    return sha256("\n;\n".join(MIGRATIONS[version - 1]).encode()).hexdigest()


def rows_of(version: int) -> Rows:
    rows: Rows = json.loads(file_of(version).read_text())["rows"]
    return rows


def fill(session: Session, version: int) -> None:
    """Put the rows into a database of that version."""
    for table, rows in rows_of(version).items():
        if table in schema.FILLED_FROM_THE_START:
            session.execute(f"DELETE FROM {table}")
        for row in rows:
            places = ", ".join(f"${number}{cast(value)}" for number, value in enumerate(row.values(), 1))
            session.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))
    for statement in itertools.chain(*MIGRATIONS[:version]):
        if statement.startswith("CREATE SEQUENCE "):
            schema.next_ids(session, statement.removeprefix("CREATE SEQUENCE "), GIVEN_AWAY)


def cast(value: object) -> str:
    return "::TIMESTAMP" if isinstance(value, str) and is_instant(value) else ""


def is_instant(text: str) -> bool:
    try:
        return len(text) >= len("2026-11-23T12:00:00") and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def columns(session: Session) -> Iterator[tuple[str, str, str]]:
    """Every table's columns with their types, as the database tells them."""
    yield from session.execute(
        "SELECT c.table_name, c.column_name, c.data_type FROM information_schema.columns c "
        "WHERE c.table_schema = current_schema() ORDER BY 1, 2"
    ).fetchall()
