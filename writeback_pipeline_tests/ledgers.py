"""Where a test's ledger is: a DuckDB file in its home or, with TEST_STORE=postgresql, a schema of the tests' server.

A home leads to the same ledger every time, from every process that is given its variables.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.counts import counted
from writeback_pipeline.store.location import is_server
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline.store.rows import OPEN
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.postgres import server

STORE = os.environ.get("TEST_STORE") or "duckdb"
"""What a test's ledger is kept in."""

EVERY = (STORE,) if os.environ.get("TEST_STORE") else ("duckdb", "postgresql")
"""What tests marked `every_store` run on."""


def location(home: Path, store: str = STORE) -> str:
    """The database of that home."""
    if store == "duckdb":
        return str(home / "writebacks.duckdb")
    return server().url(schema=f"home_{hashlib.sha256(str(home).encode()).hexdigest()[:16]}")


def contradictory(session: Session) -> list[tuple[int, str]]:
    """Ids and statuses of the rows that are called settled while they are owed, or owed while they are settled."""
    told = f"SELECT w.id, w.status FROM writebacks w WHERE (w.settled_at IS NULL) <> (w.status IN ({OPEN}))"
    return session.execute(told).fetchall()


def miscounted(session: Session) -> list[tuple[str, str, str, str | None]]:
    """Kinds, object types, statuses and error codes of which another number is kept than there are rows."""
    columns = "w.kind, w.object_type, w.status, w.error_code"
    kept = set(counted(session, columns))
    there = session.execute(f"SELECT {columns}, count(*) FROM writebacks w GROUP BY {columns}").fetchall()
    return [tuple(row[:4]) for row in kept.symmetric_difference(there)]


def retried_by_a_person(ledger: Store) -> int:
    """Retry what was left to a person because one worker after the other ended just then; how many changes."""
    left = ledger.writebacks(WritebackFilter(statuses=(Status.FAILED,), error_codes=(WORKER_LOST,)))
    return len(ledger.retry(ids=[row.id for row in left]).retried)


def kind_of(database: str) -> str:
    """What that database is called in counts."""
    return "postgresql" if is_server(database) else "duckdb"


def variables(home: Path) -> dict[str, str]:
    """What a process of that home finds in its environment; a file is where it is unless somebody says otherwise."""
    return {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": "" if STORE == "duckdb" else location(home)}


def store_of(home: Path, **how: Any) -> Store:
    """The store of that home."""
    return Store(location(home), home, **how)
