"""Writes the files that are missing: rows that the store wrote just now, as far as the version has their columns."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from writeback_pipeline.domain.ledger import Asked, OperatorAction
from writeback_pipeline.store import schema
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.dialect import DUCKDB
from writeback_pipeline.store.schema import MIGRATIONS
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    NOW,
    claim_one,
    contact,
    intent,
    journalled,
    lead,
    resubscribe,
    unsubscribe,
    written,
)
from writeback_pipeline_tests.store.homes import VERSIONS, Rows, columns, digest, file_of

NOT_ROWS = ("schema_version", "subscriber_status", "incarnation", "moves")


def story(path: Path) -> Rows:
    """A ledger with one person of each kind: written, opted in again, in doubt, owed, moved, unknown to Salesforce."""
    store = Store(path)
    store.enqueue([unsubscribe(contact(1), reason="Ünïcode 🎉", email="one@example.org")], NOW)
    written(store, claim_one(store))
    store.enqueue([resubscribe(contact(1), NOW + timedelta(hours=1))], NOW + timedelta(hours=1))
    store.enqueue([unsubscribe(lead(2))], NOW)
    journalled(store, [intent(claim_one(store, NOW + timedelta(minutes=1)))])
    store.enqueue([unsubscribe(contact(3), subscriber_id="s-3")], NOW + timedelta(hours=2))
    store.redirect({lead(4).salesforce_id: contact(4)}, NOW)
    store.change_settings({"platform_name": "Mailer"}, "olga", NOW)
    store.enter_action(OperatorAction(Asked("olga", NOW), "retry", "back to pending", (1, 2)))
    store.pin_organisation("00D000000000001AAA")
    with Database(path).reading() as session:
        return {table: _rows(session, table, names) for table, names in _tables(session).items()}


def _tables(session: Session) -> dict[str, list[str]]:
    tables: dict[str, list[str]] = {}
    for table, column, _ in columns(session):
        if table not in NOT_ROWS:
            tables.setdefault(table, []).append(column)
    return tables


def _rows(session: Session, table: str, names: list[str]) -> list[dict[str, Any]]:
    found = session.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY ALL").fetchall()
    return [
        {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in found
    ]


def as_of(version: int, rows: Rows) -> Rows:
    """The rows, as far as that version has their tables, columns and settings."""
    with duckdb.connect() as connection:
        session = Session(connection, DUCKDB)
        schema.migrate(session, 0, MIGRATIONS[:version])
        known = {name for (name,) in session.execute("SELECT name FROM settings").fetchall()}
        return {
            table: [
                {name: row[name] for name in names}
                for row in rows[table]
                if table != "settings" or row["name"] in known
            ]
            for table, names in _tables(session).items()
            if rows[table]
        }


def main() -> None:
    """Write the files of all versions that have none."""
    with TemporaryDirectory() as folder:
        rows = story(Path(folder) / "writebacks.duckdb")
    for version in VERSIONS:
        if not file_of(version).exists():
            home = {"migration": digest(version), "rows": as_of(version, rows)}
            file_of(version).write_text(json.dumps(home, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
