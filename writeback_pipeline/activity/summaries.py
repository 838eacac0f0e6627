"""A window's summaries: one per person and kind, with a revision that changes whenever its events do.

An event belongs to the window in which it occurred: an open, however long after the mailing was sent, to the window
of the open. Neither the order of events and files nor the machine plays a part. Everything that was counted stays in
DuckDB; Python sees the summaries that are asked for, such as those whose revision is not the one last written. What
these list is read from the files once more, when the first of them is asked for: most countings end without.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache, partial
from itertools import groupby
from typing import Any
from uuid import uuid4

from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.counting import (
    BY_A_MACHINE,
    Totals,
    content_sql,
    count_events,
    create_event_tables,
    create_tables,
    events_sql,
    no_events,
    read_events,
)
from writeback_pipeline.activity.database import ActivityDataError, naming_the_file
from writeback_pipeline.activity.files import fingerprint, window_files_with_footers
from writeback_pipeline.activity.schema import COLUMNS, check_files
from writeback_pipeline.domain.activity import MailingActivity, Presentation, Summary, task_key
from writeback_pipeline.domain.people import PersonRef, object_type_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

_BATCH = 2_000
_REVISION = "printf('%016x', hash(content, $digest::UBIGINT))"
_SUMMARIES = {
    kind: f"SELECT salesforce_id, {content_sql(kind)} AS content FROM people WHERE {kind} > 0"
    for kind in ACTIVITY_KINDS
}
_READ_EVERYTHING = f"SELECT max(hash({', '.join(COLUMNS)})) FROM read_parquet($files, hive_partitioning = false)"

Cursor = Callable[[], DuckDBPyConnection]

Event = tuple[str, str, str, int]
"""Mailing id, name and subject, and the moment."""


class WindowSummaries:
    """What was counted in one window; readable inside the `summarise` block, by several iterators at once."""

    def __init__(
        self,
        window: Window,
        presentation: Presentation,
        totals: Totals,
        fingerprint: str,
        cursor: Cursor,
        read_events: Callable[[], None],
    ) -> None:
        self.window = window
        self.totals = totals
        self.fingerprint = fingerprint
        self._digest = presentation.digest
        self._cursor = cursor
        self._read_events = cache(read_events)

    def revisions(self, kind: Kind) -> Iterator[tuple[str, str]]:
        """Key and revision of every summary, in no order."""
        cursor = self._cursor()
        cursor.execute(
            f"SELECT $prefix || salesforce_id, {_REVISION} FROM ({_SUMMARIES[kind]})",
            {"prefix": task_key(kind, self.window, ""), "digest": self._digest},
        )
        yield from _fetched(cursor)

    def summaries(self, kind: Kind, keys: Collection[str] | None = None) -> Iterator[Summary]:
        """The summaries with these keys, or all, by Salesforce id; the first call reads what they list."""
        self._read_events()
        cursor = self._cursor()
        chosen = ""
        if keys is not None:
            prefix = task_key(kind, self.window, "")
            cursor.execute(
                "CREATE TEMP TABLE chosen AS SELECT unnest($ids::VARCHAR[]) AS salesforce_id",
                {"ids": [key.removeprefix(prefix) for key in keys]},
            )
            chosen = "SEMI JOIN chosen USING (salesforce_id)"
        cursor.execute(
            f"SELECT salesforce_id, {_REVISION}, mailing_id, name, subject, moment "
            f"FROM (FROM ({_SUMMARIES[kind]}) {chosen}) JOIN events USING (salesforce_id) JOIN labels USING (label) "
            "WHERE kind = $kind ORDER BY salesforce_id, moment, label",
            {"digest": self._digest, "kind": kind.value},
        )
        for (salesforce_id, revision), rows in groupby(_fetched(cursor), lambda row: row[:2]):
            mailings = _mailings([row[2:] for row in rows], self.window)
            yield Summary(_person(salesforce_id), kind, self.window, mailings, revision)

    def nobody(self, kind: Kind) -> list[tuple[str, datetime]]:
        """Whom events name that have no record to write to, with the time of the last one.

        That is the subscriber where there is no Salesforce id, else the id that no person can have.
        """
        query = "SELECT who, last_moment FROM nobody WHERE kind = $kind ORDER BY who"
        rows = self._cursor().execute(query, {"kind": kind.value}).fetchall()
        return [(who, _instant(moment, self.window)) for who, moment in rows]

    def events_in_rows(self, kind: Kind) -> int:
        """The events that summaries and `nobody` are made of."""
        query = f"""
            SELECT {events_sql(kind)} + (SELECT coalesce(sum(events), 0)::BIGINT FROM nobody WHERE kind = $kind)
            FROM people
        """
        row = self._cursor().execute(query, {"kind": kind.value}).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def summarise(
    connection: DuckDBPyConnection, location: str, window: Window, presentation: Presentation
) -> Iterator[WindowSummaries]:
    """Count a window's events, both kinds; raises ActivityDataError naming the file that cannot be used.

    The connection is the block's own: its schema is the window's.
    """
    found = window_files_with_footers(connection, location, window)
    files = found.files
    print_ = fingerprint(connection, files)
    check_files(connection, found)
    schema = f"window_{uuid4().hex}"
    connection.execute(f"CREATE SCHEMA {schema}")
    try:
        connection.execute(f"USE {schema}")
        create_tables(connection)
        totals, rows = no_events(), None
        with naming_the_file(connection, files, _READ_EVERYTHING):
            if files:
                totals, rows = count_events(connection, files, window, found.events)

        def read() -> None:
            create_event_tables(connection)
            with naming_the_file(connection, files, _READ_EVERYTHING):
                if rows is not None and not read_events(connection, rows):
                    raise ActivityDataError(
                        location, f"files changed while {window.name} was counted", remedy="Run the window again."
                    )

        yield WindowSummaries(window, presentation, totals, print_, partial(in_schema, connection, schema), read)
    finally:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


def in_schema(database: DuckDBPyConnection, schema: str) -> DuckDBPyConnection:
    """A cursor of its own, so that one result can be read while another is asked for."""
    cursor = database.cursor()
    cursor.execute(f"USE {schema}")
    return cursor


def _fetched(cursor: DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := cursor.fetchmany(_BATCH):
        yield from rows


def _person(salesforce_id: str) -> PersonRef:
    """The person by the id's own prefix, which is what Salesforce goes by."""
    object_type = object_type_of(salesforce_id)
    assert object_type is not None
    return PersonRef(object_type, salesforce_id)


def _mailings(events: Sequence[Event], window: Window) -> tuple[MailingActivity, ...]:
    """One person's events, which come in order of time, by mailing, in the order of each one's first."""
    by_mailing: dict[str, list[Event]] = {}
    for event in events:
        by_mailing.setdefault(event[0], []).append(event)
    return tuple(_mailing(of_mailing, window) for of_mailing in by_mailing.values())


def _mailing(events: Sequence[Event], window: Window) -> MailingActivity:
    """One mailing's events, in order of time; the latest has the last word on name and subject."""
    mailing_id, name, subject, last = events[-1]
    by_machine = sum(moment & BY_A_MACHINE for *_, moment in events)
    first = events[0][-1]
    return MailingActivity(
        mailing_id, name, subject, len(events), by_machine, _instant(first, window), _instant(last, window)
    )


def _instant(moment: int, window: Window) -> datetime:
    return window.start + timedelta(microseconds=moment >> 2)
