"""Old activity: which rows may go, read whole for the archive, and removed in batches once they are archived.

Opt-outs and their attempts never match. The newest row and the newest attempt stay too, whatever they are: their ids
are what tells that no backup was put back (`high_water`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from writeback_pipeline.domain.retention import Prunable
from writeback_pipeline.store.session import Session, in_utc

_OLD = (
    "w.kind IN ('sent', 'opened') AND w.status IN ('written', 'refused', 'no_recipient') "
    "AND w.window_end <= $1::TIMESTAMP AND coalesce(w.written_at, w.created_at) < $1::TIMESTAMP "
    "AND w.id < (SELECT max(n.id) FROM writebacks n) "
    "AND NOT EXISTS (SELECT 1 FROM people p WHERE p.person_id = w.person_id AND p.lease_until > $2::TIMESTAMP) "
    "AND NOT EXISTS (SELECT 1 FROM delivery_attempts a WHERE a.writeback_id = w.id "
    "AND a.id = (SELECT max(n.id) FROM delivery_attempts n))"
)
"""Settled, of a window that ended before $1, not written since, and of no window that somebody delivers at $2."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one table with the names and types of all its columns, in its order."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]


def prunable(session: Session, before: datetime, now: datetime) -> Prunable:
    """How much may go."""
    rows = session.execute(
        "SELECT w.kind, count(*), min(w.window_start), max(w.window_end) FROM writebacks w "
        f"WHERE {_OLD} GROUP BY w.kind",
        [before, now],
    ).fetchall()
    [(attempts,)] = session.execute(
        f"SELECT count(*) FROM delivery_attempts o JOIN writebacks w ON w.id = o.writeback_id WHERE {_OLD}",
        [before, now],
    ).fetchall()
    return Prunable(
        rows={kind: count for kind, count, _, _ in sorted(rows)},
        attempts=attempts,
        first=in_utc(min((first for _, _, first, _ in rows), default=None)),
        last=in_utc(max((last for _, _, _, last in rows), default=None)),
    )


def oldest(session: Session, before: datetime, now: datetime, limit: int) -> tuple[Table, Table]:
    """Up to `limit` rows that may go, those queued first, and all of their attempts."""
    first = f"t.id IN (SELECT w.id FROM writebacks w WHERE {_OLD} ORDER BY w.id LIMIT $3)"
    writebacks = _table(session, "writebacks", first, [before, now, limit])
    ids = [row[0] for row in writebacks.rows]
    attempts = _table(session, "delivery_attempts", "t.writeback_id IN (SELECT unnest($1::BIGINT[]))", [ids])
    return writebacks, attempts


def remove(session: Session, before: datetime, now: datetime, ids: Collection[int]) -> int:
    """Remove those of the rows that still may go, with their attempts; returns how many rows."""
    still = session.execute(
        f"SELECT w.id FROM writebacks w WHERE {_OLD} AND w.id IN (SELECT unnest($3::BIGINT[]))",
        [before, now, list(ids)],
    ).fetchall()
    gone = [id_ for (id_,) in still]
    for table, column in (("delivery_attempts", "writeback_id"), ("writebacks", "id")):
        session.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT unnest($1::BIGINT[]))", [gone])
    return len(gone)


def _table(session: Session, name: str, condition: str, values: list[object]) -> Table:
    # Whatever columns there are by now: an archive that forgot one could not be put back.
    columns = dict(
        session.execute(
            "SELECT c.column_name, c.data_type FROM information_schema.columns c WHERE c.table_name = $1 "
            "AND c.table_schema = current_schema() ORDER BY c.ordinal_position",
            [name],
        ).fetchall()
    )
    listed = ", ".join(f"t.{column}" for column in columns)
    rows = session.execute(f"SELECT {listed} FROM {name} t WHERE {condition} ORDER BY t.id", values).fetchall()
    return Table(columns, rows)
