"""The Writeback List: which rows a filter shows, newest first. Nothing here changes anything.

JSON and CSV of the whole list are made of what the database itself has put into words: it takes a third of a second
for a hundred thousand rows, Python several seconds. Instants read as `domain.writebacks.utc_text` prints them.
"""

from typing import Any

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.listing import Became
from writeback_pipeline.domain.writebacks import FlagResult, Status, Writeback
from writeback_pipeline.store.dialect import Dialect
from writeback_pipeline.store.filtering import where
from writeback_pipeline.store.rows import INSTANTS, SELECTED, WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session, in_utc

_NEWEST_FIRST = "ORDER BY w.occurred_at DESC, w.id DESC"


def _as_shown(dialect: Dialect) -> dict[str, str]:
    return {name: dialect.instant.format(it) if name in INSTANTS else it for name, it in SELECTED.items()}


def writebacks(session: Session, only: WritebackFilter) -> list[Writeback]:
    """The rows that the filter shows, by the time of the event, newest first."""
    return writebacks_from(_newest(session, WRITEBACK, only))


def values(session: Session, only: WritebackFilter) -> list[tuple[Any, ...]]:
    """The same rows as plain values in the order of the columns: texts, whole numbers and None; instants as texts."""
    return _newest(session, ", ".join(_as_shown(session.dialect).values()), only)


def json_objects(session: Session, only: WritebackFilter) -> list[str]:
    """The same rows, each as the text of one JSON object on one line, its names in the order of the columns."""
    shown = session.dialect.json_object(_as_shown(session.dialect))
    return [text for (text,) in _newest(session, shown, only)]


def _newest(session: Session, selected: str, only: WritebackFilter) -> list[Any]:
    conditions, values = where(only)
    if only.limit is not None:  # only the rows shown are read whole
        values.append(only.limit)
        conditions = f"w.id IN (SELECT w.id FROM writebacks w WHERE {conditions} {_NEWEST_FIRST} LIMIT ${len(values)})"
    # Sorted before they are put into words: sorting the finished texts took as long again as making them.
    rows = f"(SELECT * FROM writebacks w WHERE {conditions} {_NEWEST_FIRST}) w"
    return session.execute(f"SELECT {selected} FROM {rows}", values).fetchall()


def became(session: Session, only: WritebackFilter) -> list[Became]:
    """The rows that the filter shows, whatever its limit, counted by status and flag result."""
    conditions, values = where(only)
    rows = session.execute(
        "SELECT w.status, w.flag_result, count(*), min(coalesce(w.next_attempt_at, w.created_at)) "
        f"FROM writebacks w WHERE {conditions} GROUP BY w.status, w.flag_result",
        values,
    ).fetchall()
    return [
        Became(Status(status), FlagResult(flag) if flag else None, count, in_utc(due_at))
        for status, flag, count, due_at in rows
    ]


def count(session: Session, only: WritebackFilter) -> int:
    """How many rows the filter shows, whatever its limit."""
    conditions, values = where(only)
    [(found,)] = session.execute(f"SELECT count(*) FROM writebacks w WHERE {conditions}", values).fetchall()
    return int(found)
