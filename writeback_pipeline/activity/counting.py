"""The SQL that counts a window's events into tables, in as few passes over the files as will do.

A row of `people` is one person with, for each kind, the number of events and their content: a number that changes
whenever one of them does. Both are in one column, which is quicker to sum and to keep than two. `nobody` are those
without a record to write to. `repeated` and `kept` exist because a platform may deliver an event twice: one event id
counts once. The events themselves are read, into `events` and `labels`, only for those who ask what a summary lists. A
label is a mailing with the name and subject that an event gave it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.salesforce_ids import normal_id_sql, not_people
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

BY_A_MACHINE, OPENED = 1, 2
"""Bits of an event's moment: above them are the microseconds since the window's start."""

_CONTENT_BITS = 96
"""The sum of the contents, which have 64 bits, is below these bits of a person's number, that of the events above."""

_IN_THE_WINDOW = """
(FROM read_parquet($files, hive_partitioning = false) WHERE occurred_at >= $start AND occurred_at < $end)
"""
_MOMENT = f"""
(epoch_us(occurred_at) - epoch_us($start)) * 4 + (kind = 'opened')::BIGINT * {OPENED}
    + (is_machine_open IS TRUE)::BIGINT * {BY_A_MACHINE}
"""
_LABEL = "hash(mailing_id, mailing_name, subject)"
_CONTENT = "hash(xor(label, moment::UBIGINT))"
_EVENTS = f"SELECT kind, salesforce_id, {_LABEL} AS label, {_MOMENT} AS moment FROM {{rows}}"
_ID_HASH = "CASE WHEN event_id <> '' THEN hash(event_id) END"
_TABLES = """
CREATE TABLE people (salesforce_id VARCHAR, sent HUGEINT, opened HUGEINT);
CREATE TABLE no_person (salesforce_id VARCHAR);
CREATE TABLE nobody (who VARCHAR, kind VARCHAR, events BIGINT, last_moment BIGINT);
"""
_EVENT_TABLES = """
CREATE OR REPLACE TABLE events (kind VARCHAR, salesforce_id VARCHAR, label UBIGINT, moment BIGINT);
CREATE OR REPLACE TABLE labels (label UBIGINT, mailing_id VARCHAR, name VARCHAR, subject VARCHAR);
"""
_COLUMNS = (
    "event_id, kind, occurred_at, mailing_id, mailing_name, subject, subscriber_id, salesforce_id, is_machine_open"
)
# In most windows no id is repeated; that they are as many as the events is found quicker than which are repeated.
_ID_HASHES = f"SELECT {_ID_HASH} AS id_hash FROM {_IN_THE_WINDOW}"
_COUNT_IDS = f"SELECT count(*), count(id_hash) - count(DISTINCT id_hash) FROM ({_ID_HASHES})"
SORTED_AT_ONCE = 5_000_000
"""Hashes of ids that are sorted in memory, 85 MB at most, which takes a third of what it does to count them."""
_FIND_REPEATED = f"""
CREATE TABLE repeated AS
SELECT {_ID_HASH} AS id_hash, count(*) AS events FROM {_IN_THE_WINDOW}
WHERE event_id <> '' GROUP BY id_hash HAVING events > 1
"""
_KEEP_ONE_EACH = f"""
CREATE TABLE kept AS
SELECT DISTINCT ON (event_id) {_COLUMNS}
FROM (SELECT {_COLUMNS}, {_ID_HASH} AS id_hash FROM {_IN_THE_WINDOW}) SEMI JOIN repeated USING (id_hash)
ORDER BY event_id, {_MOMENT}, kind, salesforce_id, mailing_id, mailing_name, subject, subscriber_id
"""
_EACH_ONCE = f"""
(
    SELECT {_COLUMNS}
    FROM (SELECT {_COLUMNS}, {_ID_HASH} AS id_hash FROM {_IN_THE_WINDOW}) ANTI JOIN repeated USING (id_hash)
    UNION ALL FROM kept
)
"""
_BY_KIND = "SELECT coalesce(kind, ''), count(*) FROM {rows} GROUP BY ALL"
_COUNT = f"""
INSERT INTO people
SELECT salesforce_id, sum(CASE WHEN kind = 'sent' THEN number ELSE 0 END),
    sum(CASE WHEN kind = 'opened' THEN number ELSE 0 END)
FROM (SELECT kind, salesforce_id, {_CONTENT} + {1 << _CONTENT_BITS} AS number FROM ({_EVENTS}))
GROUP BY salesforce_id
"""


def events_sql(kind: Kind) -> str:
    """How many events of one kind some rows of `people` have together."""
    return f"(coalesce(sum({kind}), 0) >> {_CONTENT_BITS})::BIGINT"


def content_sql(kind: Kind) -> str:
    """The content of the events of one kind in a row of `people`; 0 without any."""
    return f"({kind} & {(1 << _CONTENT_BITS) - 1})"


_PEOPLE = ", ".join(f"count(*) FILTER ({kind} > 0)" for kind in ACTIVITY_KINDS)
# In most windows every id has 18 bytes and is in its normal form, and what finds ids that no person can have finds the
# others, too: that is quicker than mending the ids of all events.
_LOOK = f"""
SELECT {events_sql(Kind.SENT)}, {events_sql(Kind.OPENED)}, {_PEOPLE},
    count(*) FILTER ((salesforce_id <> '') IS NOT TRUE), count(*) FILTER (strlen(salesforce_id) = 18), count(*),
    coalesce(max(rowid) + 1, 0)
FROM people
"""
_NORMAL_ID = normal_id_sql("salesforce_id")
_MEND_ODD_IDS = f"""
CREATE TABLE mended AS
SELECT {_NORMAL_ID} AS salesforce_id, sum(sent) AS sent, sum(opened) AS opened FROM people GROUP BY ALL;
DROP TABLE people;
ALTER TABLE mended RENAME TO people;
TRUNCATE no_person;
"""
_FIND_OTHERS = "INSERT INTO no_person SELECT salesforce_id FROM people WHERE strlen(salesforce_id) IS DISTINCT FROM 18"
_IDS_AT_ONCE = 122_880
"""A row group of DuckDB's."""
_IDS = """
SELECT encode(string_agg(salesforce_id, '')) FROM people
WHERE rowid >= $first AND rowid < $end AND strlen(salesforce_id) = 18
"""
_FIND_NO_PERSON = "INSERT INTO no_person SELECT unnest($ids::VARCHAR[])"
_LEAVE_PEOPLE = (
    "DELETE FROM people WHERE salesforce_id IS NULL OR salesforce_id IN (SELECT salesforce_id FROM no_person)"
)
_SET_NOBODY_ASIDE = f"""
INSERT INTO nobody
SELECT CASE WHEN salesforce_id <> '' THEN normal_id ELSE coalesce(subscriber_id, '') END AS who,
    kind, count(*), max(moment)
FROM (SELECT kind, salesforce_id, subscriber_id, {_NORMAL_ID} AS normal_id, {_MOMENT} AS moment FROM {{rows}})
WHERE kind IN ('sent', 'opened')
    AND ((salesforce_id <> '') IS NOT TRUE OR normal_id IN (SELECT salesforce_id FROM no_person))
GROUP BY ALL
"""
_NOBODY = "SELECT kind, count(DISTINCT who), sum(events)::BIGINT FROM nobody GROUP BY kind"
_READ_EVENTS = f"""
INSERT INTO events
SELECT kind, salesforce_id, label, moment
FROM (SELECT * REPLACE ({_NORMAL_ID} AS salesforce_id) FROM ({_EVENTS})) SEMI JOIN people USING (salesforce_id)
WHERE kind IN ('sent', 'opened')
"""
_FIND_LABELS = f"""
INSERT INTO labels
SELECT label, coalesce(mailing_id, ''), coalesce(mailing_name, ''), coalesce(subject, '')
FROM (SELECT DISTINCT ON (label) {_LABEL} AS label, mailing_id, mailing_name, subject FROM {{rows}})
"""
_ARE_AS_COUNTED = f"""
SELECT (SELECT coalesce(sum({_CONTENT}), 0) FROM events JOIN labels USING (label))
    = (SELECT coalesce(sum({content_sql(Kind.SENT)} + {content_sql(Kind.OPENED)}), 0) FROM people)
"""


@dataclass(frozen=True, slots=True)
class WithoutRecipient:
    """Subscribers without a Salesforce id, or with one that no person can have, and their events."""

    subscribers: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class KindTotals:
    """One kind in one window: people and the events that name them, and those that name nobody."""

    people: int = 0
    events: int = 0
    without_recipient: WithoutRecipient = WithoutRecipient()


@dataclass(frozen=True, slots=True)
class Totals:
    """Where every event of a window went: `events_read` are the sum of all the others.

    `unknown_kinds` counts events by a kind that is neither sent nor opened.
    """

    events_read: int
    duplicates: int
    by_kind: Mapping[Kind, KindTotals]
    unknown_kinds: Mapping[str, int]


def no_events() -> Totals:
    """The totals of a window without any file."""
    return Totals(0, 0, {kind: KindTotals() for kind in ACTIVITY_KINDS}, {})


@dataclass(frozen=True, slots=True)
class Rows:
    """A window's rows in the files: what to select from, and what is bound there."""

    sql: str
    bound: Mapping[str, Any]


def create_tables(connection: DuckDBPyConnection) -> None:
    """The empty tables `people` and `nobody`, in the connection's schema."""
    connection.execute(_TABLES)


def create_event_tables(connection: DuckDBPyConnection) -> None:
    """The empty tables `events` and `labels`."""
    connection.execute(_EVENT_TABLES)


def count_events(
    connection: DuckDBPyConnection, files: Sequence[str], window: Window, at_most: int
) -> tuple[Totals, Rows]:
    """Fill `people` and `nobody` with the window's events and say where each went; the files have so many at most."""
    bound = {
        "files": list(files),
        "start": window.start.replace(tzinfo=None),
        "end": window.end.replace(tzinfo=None),
    }
    rows, number, duplicates = _each_once(connection, bound, at_most)
    connection.execute(_COUNT.format(rows=rows.sql), bound)
    sent, opened, *people, without, whole, everybody, end = _row(connection, _LOOK)
    in_kinds: dict[str, int] = {Kind.SENT: sent, Kind.OPENED: opened}
    if sent + opened != number:
        in_kinds = dict(connection.execute(_BY_KIND.format(rows=rows.sql), bound).fetchall())
    wrong, odd = _find_no_person(connection, end)
    if odd or without + whole < everybody:
        connection.execute(_MEND_ODD_IDS)
        _, _, *people, without, whole, everybody, end = _row(connection, _LOOK)
        wrong, _ = _find_no_person(connection, end)
    nobody: Sequence[tuple[str, int, int]] = []
    if wrong or whole < everybody:
        connection.execute(_FIND_OTHERS)
        connection.execute(_LEAVE_PEOPLE)
        connection.execute(_SET_NOBODY_ASIDE.format(rows=rows.sql), bound)
        people = list(_row(connection, f"SELECT {_PEOPLE} FROM people"))
        nobody = connection.execute(_NOBODY).fetchall()
    return _totals(in_kinds, people, nobody, duplicates), rows


def read_events(connection: DuckDBPyConnection, rows: Rows) -> bool:
    """Fill `events` and `labels` with the events of the people counted; whether they are those that were counted."""
    connection.execute(_READ_EVENTS.format(rows=rows.sql), rows.bound)
    connection.execute(_FIND_LABELS.format(rows=rows.sql), rows.bound)
    (are_as_counted,) = _row(connection, _ARE_AS_COUNTED)
    return bool(are_as_counted)


def _each_once(connection: DuckDBPyConnection, bound: Mapping[str, Any], at_most: int) -> tuple[Rows, int, int]:
    """The rows with one, the earliest, of those that share an event id; their number, and that of the others."""
    number, repeats = _count_ids(connection, bound, at_most)
    if not repeats:
        return Rows(_IN_THE_WINDOW, bound), number, 0
    connection.execute(_FIND_REPEATED, bound)
    (repeated,) = _row(connection, "SELECT coalesce(sum(events), 0)::BIGINT FROM repeated")
    (kept,) = _row(connection, _KEEP_ONE_EACH, bound)
    duplicates = repeated - kept
    return Rows(_EACH_ONCE, bound), number - duplicates, duplicates


def _count_ids(connection: DuckDBPyConnection, bound: Mapping[str, Any], at_most: int) -> tuple[int, int]:
    """How many events there are, and how many of them repeat the id of another."""
    if at_most > SORTED_AT_ONCE:
        number, repeats = _row(connection, _COUNT_IDS, bound)
        return number, repeats
    hashes = connection.execute(_ID_HASHES, bound).fetchnumpy()["id_hash"]
    known = np.ma.compressed(hashes)
    known.sort()
    return len(hashes), int((known[1:] == known[:-1]).sum())


def _find_no_person(connection: DuckDBPyConnection, end: int) -> tuple[bool, bool]:
    """Fill `no_person` with the ids of 18 bytes that no person can have.

    Whether there are any, and whether one of them may only be written oddly. Below `end` are the rows of `people`.
    """
    found = odd = False
    for first in range(0, end, _IDS_AT_ONCE):
        (ids,) = _row(connection, _IDS, {"first": first, "end": first + _IDS_AT_ONCE})
        if wrong := not_people(ids or b""):
            connection.execute(_FIND_NO_PERSON, {"ids": wrong})
            found = True
            odd = odd or any(len(each) < 18 or " " in (each[0], each[-1]) for each in wrong)
    return found, odd


def _totals(
    in_kinds: Mapping[str, int], people: Sequence[int], nobody: Sequence[tuple[str, int, int]], duplicates: int
) -> Totals:
    without = {kind: WithoutRecipient(subscribers, events) for kind, subscribers, events in nobody}
    by_kind = {}
    for kind, of_kind in zip(ACTIVITY_KINDS, people, strict=True):
        of_nobody = without.get(kind, WithoutRecipient())
        by_kind[kind] = KindTotals(of_kind, in_kinds.get(kind, 0) - of_nobody.events, of_nobody)
    unknown_kinds = {kind: number for kind, number in in_kinds.items() if kind not in ACTIVITY_KINDS}
    return Totals(sum(in_kinds.values()) + duplicates, duplicates, by_kind, unknown_kinds)


def _row(connection: DuckDBPyConnection, query: str, bound: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, bound).fetchone()
    assert row is not None
    return row
