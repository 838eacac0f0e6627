"""A ledger goes from one database to another, whole: everything in it but leases, counted on both sides.

The old database first says that it is being moved, and from then on lets nobody write; what it held is committed in the
new one all at once, together with a note of where it came from. So a move that was killed at any moment either has not
begun, is made anew, or only has to be ended; and nothing is ever owed by two databases.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from writeback_pipeline.domain.writebacks import utc_text
from writeback_pipeline.store.high_water import Mark, MarkFile, held_by, notice_restore
from writeback_pipeline.store.location import AnyDatabase
from writeback_pipeline.store.schema import (
    FILLED_FROM_THE_START,
    SEQUENCES,
    Departure,
    departure,
    outdate_older_snapshots,
    pass_over,
)
from writeback_pipeline.store.session import Session, as_columns, in_utc, unnested

BATCH = 20_000

_ITS_OWN = ("schema_version", "moves", "incarnation", "writeback_counts")
"""Tables that say something of one database, not of the ledger in it."""

_TYPES = (("timestamp", "TIMESTAMP"), ("bigint", "BIGINT"), ("integer", "INTEGER"), ("boolean", "BOOLEAN"))

Counts = dict[str, int]
"""Rows by table."""


class NotMovable(Exception):
    """The ledger cannot be moved so; the message says why and what to do. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Move:
    """From where to where, each with its high-water mark; opened so that a ledger which has left may be written."""

    source: AnyDatabase
    target: AnyDatabase
    source_mark: MarkFile
    target_mark: MarkFile


def look(move: Move, now: datetime) -> Counts:
    """What would be moved; raises NotMovable where it would be refused. Changes nothing."""
    with move.source.reading() as session:
        gone = departure(session)
        _check_source(move, session, gone, now)
        counts = _counts(session)
    with move.target.reading() as session:
        _check_target(move, session, gone)
    return counts


def carry(move: Move, now: datetime, tell: Callable[[str], object]) -> Counts:
    """Move the ledger, or go on with a move that was broken off; the rows that were carried, by table.

    Raises NotMovable.
    """
    look(move, now)
    mark = move.source_mark.read()
    with move.source.writing() as session:
        gone = departure(session)
        _check_source(move, session, gone, now)
        if gone is None:
            notice_restore(session, mark, now)
            gone = Departure(uuid4().hex, move.target.shown, None)
            _enter(session, gone.move_id, "to", gone.place, now)
            outdate_older_snapshots(session)
        held = held_by(session)
    with move.target.writing() as target, move.source.reading() as source:
        _check_target(move, target, gone)
        counts = _counts(source)
        if not _has_arrived(target, gone):
            _copy(source, target, mark, tell)
            _enter(target, gone.move_id, "from", move.source.shown, now)
            if counts != (arrived := _counts(target)):
                raise NotMovable(f"{move.target.shown} has {arrived} of {counts}; nothing of it was kept.")
    move.target_mark.raise_to(mark)
    # A backup of the old database knows nothing of the move: should it be put back, nothing is sent from it blindly.
    move.source_mark.raise_to(replace(mark, attempt_id=max(held.attempt_id, mark.attempt_id) + 1))
    with move.source.writing() as session:
        session.execute(
            "UPDATE moves SET ended_at = coalesce(ended_at, $2::TIMESTAMP) WHERE move_id = $1", [gone.move_id, now]
        )
    return counts


def cancel(move: Move) -> None:
    """Take a move back that has not arrived; raises NotMovable."""
    with move.source.writing() as session:
        gone = departure(session)
        if gone is None:
            raise NotMovable(f"{move.source.shown} is not being moved.")
        _check_place(move, gone)
        with move.target.reading() as target:
            if _has_arrived(target, gone):
                raise NotMovable(f"Everything has arrived in {gone.place}: run the move again, which ends it.")
        session.execute("DELETE FROM moves WHERE move_id = $1", [gone.move_id])


def _check_place(move: Move, gone: Departure) -> None:
    if gone.place != move.target.shown:
        raise NotMovable(
            f"{move.source.shown} was moved to {gone.place}, or is on its way there: finish that, or take it back with "
            "--cancel while it has not arrived."
        )


def _check_source(move: Move, session: Session, gone: Departure | None, now: datetime) -> None:
    if gone is not None:
        _check_place(move, gone)
        return
    [(until,)] = session.execute(
        "SELECT max(p.lease_until) FROM people p WHERE p.lease_until > $1::TIMESTAMP", [now]
    ).fetchall()
    if until is not None:
        raise NotMovable(
            f"A delivery is under way in {move.source.shown}, until {utc_text(in_utc(until))} at the latest: stop the "
            "daemon, wait until then, and run the move again."
        )


def _check_target(move: Move, session: Session, gone: Departure | None) -> None:
    if gone is not None and _has_arrived(session, gone):
        return
    held = {table: count for table, count in _counts(session).items() if count and table not in FILLED_FROM_THE_START}
    if held:
        told = ", ".join(f"{count:,} rows in {table}" for table, count in held.items())
        raise NotMovable(f"{move.target.shown} is not empty ({told}): name a new database, or another schema in it.")


def _enter(session: Session, move_id: str, direction: str, place: str, now: datetime) -> None:
    session.execute(
        "INSERT INTO moves (move_id, direction, place, begun_at) VALUES ($1, $2, $3, $4::TIMESTAMP)",
        [move_id, direction, place, now],
    )


def _has_arrived(session: Session, gone: Departure) -> bool:
    return bool(
        session.execute("SELECT 1 FROM moves WHERE move_id = $1 AND direction = 'from'", [gone.move_id]).fetchall()
    )


def _tables(session: Session) -> list[str]:
    rows = session.execute(
        "SELECT t.table_name FROM information_schema.tables t WHERE t.table_schema = current_schema() "
        "AND t.table_type = 'BASE TABLE' ORDER BY t.table_name"
    ).fetchall()
    return [table for (table,) in rows if table not in _ITS_OWN]


def _counts(session: Session) -> Counts:
    return {
        table: count
        for table in _tables(session)
        for (count,) in session.execute(f"SELECT count(*) FROM {table}").fetchall()
    }


def _copy(source: Session, target: Session, mark: Mark, tell: Callable[[str], object]) -> None:
    highest = max(mark.attempt_id, mark.writeback_id)
    for table in _tables(target):
        columns = _columns(target, table)
        if table in FILLED_FROM_THE_START:
            target.execute(f"DELETE FROM {table}")
        rows = source.execute(f"SELECT {', '.join(columns)} FROM {table}")
        copied = 0
        while batch := rows.fetchmany(BATCH):
            _insert(target, table, columns, batch)
            copied += len(batch)
            tell(f"{table}: {copied:,} rows")
        if columns.get("id") == "BIGINT":
            [(last,)] = target.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchall()
            highest = max(highest, last)
    [(marked,)] = target.execute(
        "SELECT coalesce(max(greatest(marked_attempt, marked_writeback)), 0) FROM restores"
    ).fetchall()
    for sequence in SEQUENCES:  # an id that was given away once is not given to anything else
        pass_over(target, sequence, max(highest, marked))
    target.execute("UPDATE people SET lease_owner = NULL, lease_until = NULL")


def _columns(session: Session, table: str) -> dict[str, str]:
    """The table's columns with types that both databases know; lists are called LIST."""
    rows = session.execute(
        "SELECT c.column_name, c.data_type FROM information_schema.columns c WHERE c.table_name = $1 "
        "AND c.table_schema = current_schema() ORDER BY c.ordinal_position",
        [table],
    ).fetchall()
    return {name: _type(type_.lower()) for name, type_ in rows}


def _type(told: str) -> str:
    if told == "array" or told.endswith("[]"):
        return "LIST"
    return next((type_ for sign, type_ in _TYPES if sign in told), "TEXT")


def _insert(session: Session, table: str, columns: Mapping[str, str], rows: list[tuple[Any, ...]]) -> None:
    into = f"INSERT INTO {table} ({', '.join(columns)})"
    if "LIST" not in columns.values():
        session.execute(f"{into} {unnested(columns)}", as_columns(rows, len(columns)))
        return
    values = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    for row in rows:  # lists cannot be unnested beside other columns; what has any is what people did, and short
        session.execute(f"{into} VALUES ({values})", row)
