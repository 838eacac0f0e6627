"""Deletion, the way back, and the end: records go to the recycle bin with what hangs on them, and wait there.

Emptying the bin removes rows for good; an id that is gone is then as unknown as one that never was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from writeback_pipeline.local_org import dml, fault_rows, ids, records
from writeback_pipeline.local_org.errors import ApiError, invalid_cross_reference
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.rules import TWINS
from writeback_pipeline.local_org.schema import OBJECTS, by_key_prefix, children_of
from writeback_pipeline.local_org.session import Session


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table that remembers which deletion took a record along, so that undoing it brings all back."""
    connection.execute("CREATE TABLE IF NOT EXISTS _deletions (id TEXT PRIMARY KEY, root TEXT NOT NULL)")


def delete(session: Session, described: SObject, record_id: object) -> str:
    """Put a record and its dependants into the bin and return its 18-character id; ApiError if it is not there."""
    dml.refuse_unless_allowed(described, "delete")
    root: str = dml.existing(session.connection, described, record_id)["Id"]
    fault_rows.strike(session, described, "delete", root, {})
    for owner, dependant in _with_dependants(session.connection, described, root):
        _mark(session, owner, dependant, deleted=True)
        session.connection.execute("INSERT OR REPLACE INTO _deletions VALUES (?, ?)", (dependant, root))
    return root


def undelete(session: Session, record_id: str) -> None:
    """Bring a deleted record and what went with it back; ApiError when it is not in the bin."""
    root = ids.normalise(record_id) or record_id
    rows = session.connection.execute("SELECT id FROM _deletions WHERE root = ?", (root,)).fetchall()
    if not rows:
        raise ApiError(400, "UNDELETE_FAILED", "Entity is not in the recycle bin", [])
    for (restored,) in rows:
        for described in _objects_of(restored):
            _mark(session, described, restored, deleted=False)
            if described.mergeable:
                records.update(session.connection, described, restored, {"MasterRecordId": None})
    session.connection.execute("DELETE FROM _deletions WHERE root = ?", (root,))


def purge(connection: sqlite3.Connection, record_id: str | None = None) -> int:
    """Remove one deleted record, or all of them, for good; how many rows went."""
    chosen = ids.normalise(record_id) if record_id else None
    if record_id and chosen is None:
        raise invalid_cross_reference()
    gone = 0
    for described in OBJECTS.values():
        if described.has("IsDeleted"):
            gone += connection.execute(
                f"DELETE FROM {described.name} WHERE IsDeleted = 1 AND (?1 IS NULL OR Id = ?1)", (chosen,)
            ).rowcount
    connection.execute("DELETE FROM _deletions WHERE ?1 IS NULL OR id = ?1", (chosen,))
    return gone


def _with_dependants(
    connection: sqlite3.Connection, described: SObject, record_id: str
) -> Iterator[tuple[SObject, str]]:
    for same in _objects_of(record_id):
        yield same, record_id
    for child, f in children_of(described.name):
        if f.cascade:
            for row in records.find(connection, child, f, record_id):
                yield from _with_dependants(connection, child, row["Id"])


def _objects_of(record_id: str) -> list[SObject]:
    described = by_key_prefix(record_id[:3])
    assert described is not None, record_id
    twin = TWINS.get(described.name)
    return [described, OBJECTS[twin]] if twin else [described]


def _mark(session: Session, described: SObject, record_id: str, *, deleted: bool) -> None:
    told = {"LastModifiedDate": session.now, "LastModifiedById": session.user_id, "SystemModstamp": session.now}
    changes = {name: value for name, value in told.items() if described.has(name)}
    records.update(session.connection, described, record_id, {"IsDeleted": int(deleted), **changes})
