"""The SQL that counts a window's events into tables, in one pass over the files.

A row of `people` holds all events that one person has of one kind, each packed into one number: which label, when,
and whether by a machine; so that millions of events stay small. A label is a mailing with the name and subject that
an event gave it. `repeated` and `kept` exist because a platform may deliver an event twice: one event id counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.salesforce_ids import normal_id_sql
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

LABEL_SHIFT = 42
"""Bits of a packed event below its label; they are its moment: microseconds since the window's start, and whether a
machine made it in the lowest bit."""

_EVENTS_AT_ONCE = 3_000_000
"""Events packed in one go: their lists are the one thing here that DuckDB cannot spill to disk."""

_EVENTS = """
SELECT event_id, kind, mailing_id, mailing_name, subject, subscriber_id, salesforce_id,
       (epoch_us(occurred_at) - epoch_us($start)) * 2 + (is_machine_open IS TRUE)::BIGINT AS moment
FROM read_parquet($files, hive_partitioning = false)
WHERE occurred_at >= $start AND occurred_at < $end
"""
_ONCE = f"""
SELECT * FROM ({_EVENTS}) AS event ANTI JOIN repeated ON repeated.id_hash = hash(event.event_id)
UNION ALL
SELECT * FROM kept
"""
_FIND_REPEATED = f"""
CREATE TABLE repeated AS
SELECT hash(event_id) AS id_hash, count(*) AS events FROM ({_EVENTS}) WHERE event_id <> '' GROUP BY id_hash
HAVING events > 1
"""
_KEEP_ONE_EACH = f"""
CREATE TABLE kept AS
SELECT DISTINCT ON (event.event_id) event.*
FROM ({_EVENTS}) AS event SEMI JOIN repeated ON repeated.id_hash = hash(event.event_id)
ORDER BY event_id, moment, kind, salesforce_id, mailing_id, mailing_name, subject, subscriber_id
"""
_LABEL = "hash(mailing_id, mailing_name, subject)"
_FIND_LABELS = f"""
INSERT INTO labels
SELECT {_LABEL}, coalesce(mailing_id, ''), coalesce(mailing_name, ''), coalesce(subject, '')
FROM (SELECT DISTINCT mailing_id, mailing_name, subject FROM ({_EVENTS}))
"""
_KNOWN_KINDS = ", ".join(f"'{kind}'" for kind in ACTIVITY_KINDS)
_DELIVERABLE = f"salesforce_id <> '' AND kind IN ({_KNOWN_KINDS})"
_ODD_ID = "length(salesforce_id) <> 18 OR suffix(salesforce_id, ' ')"
_SHARE = "hash(left(trim(salesforce_id), 15))"
_TABLES = """
CREATE TABLE people (salesforce_id VARCHAR, kind VARCHAR, events HUGEINT[], content HUGEINT);
CREATE TABLE labels (label UBIGINT, mailing_id VARCHAR, name VARCHAR, subject VARCHAR);
CREATE TABLE nobody (subscriber_id VARCHAR, kind VARCHAR, events BIGINT, last_moment BIGINT);
"""
_PACK = f"""
INSERT INTO people
SELECT {{person}}, kind,
       list({_LABEL}::HUGEINT * {1 << LABEL_SHIFT} + moment),
       sum(hash(xor({_LABEL}, moment::UBIGINT)))
FROM ({{events}})
WHERE {_DELIVERABLE} {{part}}
GROUP BY ALL
"""
_COUNT_PACKED = "SELECT kind, count(*), sum(len(events))::BIGINT FROM people GROUP BY kind"
_SET_NOBODY_ASIDE = f"""
INSERT INTO nobody
SELECT coalesce(subscriber_id, ''), kind, count(*), max(moment)
FROM ({{events}})
WHERE ({_DELIVERABLE}) IS NOT TRUE
GROUP BY ALL
"""
_COUNT_NOBODY = "SELECT kind, count(*), sum(events)::BIGINT FROM nobody GROUP BY kind"


@dataclass(frozen=True, slots=True)
class WithoutRecipient:
    """Subscribers who have no Salesforce id, and their events."""

    subscribers: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class KindTotals:
    """One kind in one window: people and the events that name them, and those that name nobody.

    Some of the `people` may have an id that no person can have; which ones is not known before the ids are checked.
    """

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
    return _totals(0, 0, [], [])


def create_tables(connection: DuckDBPyConnection) -> None:
    """The empty tables `people`, `labels` and `nobody`, in the connection's schema."""
    connection.execute(_TABLES)


def count_events(connection: DuckDBPyConnection, files: Sequence[str], window: Window) -> Totals:
    """Fill the tables with the window's events and say where each went."""
    bound = {
        "files": list(files),
        "start": window.start.replace(tzinfo=None),
        "end": window.end.replace(tzinfo=None),
    }
    events_read, odd_ids = _row(connection, f"SELECT count(*), count_if({_ODD_ID}) FROM ({_EVENTS})", bound)
    person = normal_id_sql("salesforce_id") if odd_ids else "salesforce_id"  # a long expression takes long to plan
    duplicates = _set_duplicates_aside(connection, bound)
    events = _ONCE if duplicates else _EVENTS
    connection.execute(_FIND_LABELS, bound)
    parts = ceil(events_read / _EVENTS_AT_ONCE)
    for part in range(parts):
        share = f"AND {_SHARE} % {parts} = {part}" if parts > 1 else ""
        connection.execute(_PACK.format(person=person, events=events, part=share), bound)
    packed = connection.execute(_COUNT_PACKED).fetchall()
    if events_read > duplicates + sum(in_kind for _, _, in_kind in packed):
        connection.execute(_SET_NOBODY_ASIDE.format(events=events), bound)
    return _totals(events_read, duplicates, packed, connection.execute(_COUNT_NOBODY).fetchall())


def _set_duplicates_aside(connection: DuckDBPyConnection, bound: dict[str, Any]) -> int:
    """Keep one event, the earliest, of each id that occurs several times; the number of the others."""
    connection.execute(_FIND_REPEATED, bound)
    (repeated,) = _row(connection, "SELECT coalesce(sum(events), 0)::BIGINT FROM repeated")
    if not repeated:
        return 0
    connection.execute(_KEEP_ONE_EACH, bound)
    (kept,) = _row(connection, "SELECT count(*) FROM kept")
    return int(repeated - kept)


def _totals(events_read: int, duplicates: int, packed: list[Any], nobody: list[Any]) -> Totals:
    named = {kind: (people, events) for kind, people, events in packed}
    without = {kind: WithoutRecipient(subscribers, events) for kind, subscribers, events in nobody}
    return Totals(
        events_read,
        duplicates,
        {kind: KindTotals(*named.get(kind, (0, 0)), without.get(kind, WithoutRecipient())) for kind in ACTIVITY_KINDS},
        {kind or "": events for kind, _, events in nobody if kind not in ACTIVITY_KINDS},
    )


def _row(connection: DuckDBPyConnection, query: str, bound: dict[str, Any] | None = None) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query, bound).fetchone()
    assert row is not None
    return row
