"""The Writeback List page by page, and how much there is in it. Nothing here changes anything.

A page begins beside a row, not after so many of them: what arrives meanwhile moves nothing, and the last page costs no
more than the first. DuckDB needs no index: it knows the least and greatest value of every 100,000 rows or so, and reads
two narrow columns of a million rows in milliseconds. PostgreSQL has one for the order of the list and one that tells
all of what is in trouble, and keeps counts. Only the rows that are shown are read whole.
"""

from collections import Counter
from dataclasses import replace

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.listing import NEEDS_A_PERSON, WAITS, Cell, Page, Position, Tally, Trouble
from writeback_pipeline.domain.writebacks import Kind, Status, Writeback
from writeback_pipeline.store import listing
from writeback_pipeline.store.counts import counted
from writeback_pipeline.store.filtering import where
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session, in_utc

FEW = 10_000
"""Rows that a filter may name."""

ALL = WritebackFilter()

_TROUBLED = (*NEEDS_A_PERSON, *WAITS)
_IS_TROUBLED = "w.status IN (" + ", ".join(f"'{status}'" for status in _TROUBLED) + ")"
_IS_ODD = "(w.status <> 'written' OR w.error_code IS NOT NULL)"
"""What few rows are. The others, nearly all, are counted as all less these, which takes a fraction of grouping all."""


def page(
    session: Session,
    only: WritebackFilter,
    size: int,
    *,
    older_than: Position | None = None,
    newer_than: Position | None = None,
) -> Page:
    """Up to `size` rows beside that place, the newest of all without one; less than a page newer is the first page."""
    if newer_than is not None:
        rows = _beside(session, only, newer_than, size + 1, newer=True)
        if len(rows) > size:
            shown = tuple(reversed(rows[:size]))
            return Page(shown, newer=_place(shown[0]), older=_place(shown[-1]))
        older_than = None
    rows = _beside(session, only, older_than, size + 1, newer=False)
    shown = tuple(rows[:size])
    return Page(
        shown,
        newer=_place(shown[0]) if shown and older_than else None,
        older=_place(shown[-1]) if len(rows) > size else None,
    )


def _place(row: Writeback) -> Position:
    return Position(row.occurred_at, row.id)


def _beside(
    session: Session, only: WritebackFilter, place: Position | None, limit: int, *, newer: bool
) -> list[Writeback]:
    conditions, values = where(only)
    further, direction = (">", "ASC") if newer else ("<", "DESC")
    if place is not None:
        at, id_ = f"${len(values) + 1}::TIMESTAMP", f"${len(values) + 2}"
        values += place
        # The first comparison says nothing new; it lets DuckDB leave out what the second alone would have it read.
        conditions += (
            f" AND w.occurred_at {further}= {at} AND (w.occurred_at {further} {at} OR w.id {further} {id_}::BIGINT)"
        )
    order = f"ORDER BY w.occurred_at {direction}, w.id {direction}"
    ids = f"SELECT w.id FROM writebacks w WHERE {conditions} {order} LIMIT {limit}"
    return writebacks_from(
        session.execute(f"SELECT {WRITEBACK} FROM writebacks w WHERE w.id IN ({ids}) {order}", values).fetchall()
    )


def tally(session: Session, only: WritebackFilter) -> Tally:
    """All rows of the filter, whatever status and error code it asks for, counted by these."""
    whatever = replace(only, statuses=(), error_codes=())
    conditions, values = where(whatever)
    countable = WritebackFilter(kinds=only.kinds, object_types=only.object_types, limit=only.limit)
    kept = session.dialect.keeps_counts and whatever == countable
    rows = session.execute(
        "SELECT w.status, w.error_code, w.kind, count(*), max(w.id), max(w.occurred_at), min(w.next_attempt_at) "
        f"FROM writebacks w WHERE {conditions} AND {_IS_TROUBLED if kept else _IS_ODD} "
        "GROUP BY w.status, w.error_code, w.kind",
        values,
    ).fetchall()
    troubles = tuple(
        Trouble(Status(status), code, Kind(kind), count, newest, in_utc(last), in_utc(due))
        for status, code, kind, count, newest, last, due in rows
        if status in _TROUBLED
    )
    newest = [each.newest for each in troubles]
    advice = session.execute(
        "SELECT w.id, w.advice FROM writebacks w WHERE w.id IN (SELECT unnest($1::BIGINT[]))", [newest]
    ).fetchall()
    if kept:
        counts = {(status, code): n for status, code, n in counted(session, "w.status, w.error_code", conditions)}
    else:
        counts = Counter()
        for status, code, _, n, *_ in rows:
            counts[status, code] += n
        counts[Status.WRITTEN, None] = listing.count(session, whatever) - counts.total()
    cells = tuple(Cell(Status(status), code, n) for (status, code), n in counts.items() if n)
    return Tally(cells, troubles, dict(advice))


def narrowed(session: Session, only: WritebackFilter) -> WritebackFilter:
    """The same filter; one that is about few rows names them.

    Looking into a million rows' texts takes most of the time of such a page, and a page and its tally look twice. And
    PostgreSQL would seek few rows in the order of the list, past all the others.
    """
    whatever = replace(only, statuses=(), error_codes=())
    if whatever == replace(ALL, limit=only.limit):
        return only
    conditions, values = where(whatever)
    found = session.execute(f"SELECT w.id FROM writebacks w WHERE {conditions} LIMIT {FEW + 1}", values).fetchall()
    if len(found) > FEW:
        return only
    ids = tuple(id_ for (id_,) in found)
    return replace(ALL, statuses=only.statuses, error_codes=only.error_codes, limit=only.limit, ids=ids)


def listed(session: Session, only: WritebackFilter) -> list[int]:
    """The ids of all rows of the filter, newest event first."""
    conditions, values = where(only)
    [(found,)] = session.execute(
        f"SELECT array_agg(w.id ORDER BY w.occurred_at DESC, w.id DESC) FROM writebacks w WHERE {conditions}",
        values,
    ).fetchall()
    return found or []
