"""Storage: one SQLite file that several processes and threads share, one table per sObject.

A column is named like its API field. Ids are 18 characters, booleans 0/1, dates and datetimes the text that the API
prints, so that SOQL can compare them as they stand. Deleted rows stay (IsDeleted = 1) until they are purged.
Whether a write is allowed is decided in `dml`; nothing here validates.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from writeback_pipeline.local_org import ids
from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.schema import OBJECTS

_BUSY_TIMEOUT_SECONDS = 60.0
_FIRST_NUMBER = 62**4  # the first ids look like those of an organisation that has been in use
_NUMERIC = {"boolean": "INTEGER", "int": "INTEGER", "double": "REAL", "currency": "REAL"}
_CASELESS = {"string", "picklist", "combobox", "textarea", "email", "phone", "url"}


class UnusableFile(Exception):
    """The file holds no organisation that this version of the program can serve, or not one that it may write."""


class _Connection(sqlite3.Connection):
    """A connection that knows which lock this process's writers to its file take."""

    writer: threading.Lock


_writers: dict[Path, threading.Lock] = {}


def connect(database: Path) -> sqlite3.Connection:
    """Open the organisation's file in autocommit mode, rows by name; one thread at a time may use it."""
    connection = sqlite3.connect(
        database,
        timeout=_BUSY_TIMEOUT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.writer = _writers.setdefault(database.resolve(), threading.Lock())
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def create_tables(connection: sqlite3.Connection) -> None:
    """Make every record table and index that is not there yet; UnusableFile when one is of another make."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS _numbers (prefix TEXT PRIMARY KEY, next INTEGER)")
    with atomic(connection):
        for described in OBJECTS.values():
            _create_table(connection, described)
            connection.execute("INSERT OR IGNORE INTO _numbers VALUES (?, ?)", (described.key_prefix, _FIRST_NUMBER))


def _create_table(connection: sqlite3.Connection, described: SObject) -> None:
    table = described.name
    columns = ", ".join(_column(f) for f in described.fields)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns})")
    if [row[1] for row in connection.execute(f"PRAGMA table_info({table})")] != [f.name for f in described.fields]:
        raise UnusableFile(
            f"the embedded organisation's {table} table was made by another version of this program: "
            "start again with `writebacks org reset`"
        )
    for names in described.indexes:
        name = "_".join((table, *names))
        connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {table} ({', '.join(names)})")
    for f in described.fields:
        if f.unique:  # a record in the recycle bin does not hold on to its value
            connection.execute(
                f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_{f.name} ON {table} ({f.name}) WHERE IsDeleted = 0"
            )


def _column(f: Field) -> str:
    if f.name == "Id":
        return "Id TEXT PRIMARY KEY"
    collation = " COLLATE NOCASE" if f.type in _CASELESS and not f.case_sensitive else ""
    return f"{f.name} {_NUMERIC.get(f.type, 'TEXT')}{collation}"


@contextmanager
def atomic(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block's writes or, when it raises, none; inside another such block it is a savepoint of it.

    Threads of one process wait for one another in memory: SQLite would have each of them sleep between its tries.
    """
    if connection.in_transaction:
        with _all_or_nothing(connection, nested=True):
            yield
    else:
        assert isinstance(connection, _Connection)
        with connection.writer, _all_or_nothing(connection, nested=False):
            yield


@contextmanager
def _all_or_nothing(connection: sqlite3.Connection, *, nested: bool) -> Iterator[None]:
    connection.execute("SAVEPOINT block" if nested else "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        numbers = connection.execute("SELECT next, prefix FROM _numbers").fetchall()
        connection.execute("ROLLBACK TO block" if nested else "ROLLBACK")
        if nested:
            connection.execute("RELEASE block")
        # An id that was once told to a client is never given to another record, even if its own was undone; and what
        # has been counted has happened, undone or not.
        connection.executemany(
            "INSERT INTO _numbers (next, prefix) VALUES (?, ?) "
            "ON CONFLICT (prefix) DO UPDATE SET next = max(next, excluded.next)",
            numbers,
        )
        raise
    connection.execute("RELEASE block" if nested else "COMMIT")


@contextmanager
def reading(connection: sqlite3.Connection) -> Iterator[None]:
    """One consistent view of the data for several reads; writers are not held up."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def new_id(connection: sqlite3.Connection, key_prefix: str) -> str:
    """A record id that no other record has or had, in any process."""
    return ids.make(key_prefix, count(connection, key_prefix, _FIRST_NUMBER))


def count(connection: sqlite3.Connection, name: str, first: int = 1) -> int:
    """One more of what is counted under that name, shared by all processes; an undone transaction does not undo it."""
    counted: int = connection.execute(
        "INSERT INTO _numbers (prefix, next) VALUES (?, ?) "
        "ON CONFLICT (prefix) DO UPDATE SET next = next + 1 RETURNING next",
        (name, first),
    ).fetchone()[0]
    return counted


def counted(connection: sqlite3.Connection, name: str) -> int:
    """How often `count` was called with that name."""
    row = connection.execute("SELECT next FROM _numbers WHERE prefix = ?", (name,)).fetchone()
    return row[0] if row else 0


def insert(connection: sqlite3.Connection, described: SObject, values: Mapping[str, Any]) -> None:
    """Add one row; columns that are not named stay null."""
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {described.name} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))


def update(connection: sqlite3.Connection, described: SObject, record_id: str, values: Mapping[str, Any]) -> None:
    """Change the named columns of one row."""
    assignments = ", ".join(f"{name} = ?" for name in values)
    connection.execute(f"UPDATE {described.name} SET {assignments} WHERE Id = ?", (*values.values(), record_id))


def fetch(connection: sqlite3.Connection, described: SObject, record_id: str) -> sqlite3.Row | None:
    """The stored row of that 18-character id, deleted or not; None when there is none."""
    row: sqlite3.Row | None = connection.execute(
        f"SELECT * FROM {described.name} WHERE Id = ?", (record_id,)
    ).fetchone()
    return row


def find(connection: sqlite3.Connection, described: SObject, f: Field, value: Any) -> list[sqlite3.Row]:
    """The rows, not deleted, whose field has that value; text compares as the field's own case rule says."""
    alive = "AND IsDeleted = 0" if described.has("IsDeleted") else ""
    return connection.execute(
        f"SELECT * FROM {described.name} WHERE {f.name} = ? {alive} ORDER BY Id", (value,)
    ).fetchall()
