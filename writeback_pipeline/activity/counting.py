"""The SQL that counts a window's events into tables, in as few passes over the files as will do.

A row of `people` holds all events of one person, each packed into one number, so that millions of events stay small.
A label is a mailing with the name and subject that an event gave it. `repeated` and `kept` exist because a platform
may deliver an event twice: one event id counts once.
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
"""Bits of a packed event below its label's number: its moment, which are microseconds since the window's start, one
bit for opened, one for made by a machine."""

_EVENTS_AT_ONCE = 3_000_000
"""Events packed in one go: their lists are the one thing here that DuckDB cannot spill to disk."""

_EVENTS = """
SELECT event_id, kind, mailing_id, mailing_name, subject, subscriber_id, salesforce_id,
       (epoch_us(occurred_at) - epoch_us($start)) * 4 + (kind = 'opened')::BIGINT * 2
       + (is_machine_open IS TRUE)::BIGINT AS moment
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
_KNOWN_KIND = "kind IN ('sent', 'opened')"
_TABLES = """
CREATE TABLE people (salesforce_id VARCHAR, events HUGEINT[], sent HUGEINT, opened HUGEINT);
CREATE TABLE labels (label UBIGINT, mailing_id VARCHAR, name VARCHAR, subject VARCHAR);
CREATE TABLE nobody (subscriber_id VARCHAR, kind VARCHAR, events BIGINT, last_moment BIGINT);
"""
_CONTENT = f"sum(hash(xor({_LABEL}, moment::UBIGINT)))"
_PACK = f"""
INSERT INTO people
SELECT salesforce_id, list({_LABEL}::HUGEINT * {1 << LABEL_SHIFT} + moment),
       {_CONTENT} FILTER (WHERE kind = 'sent'), {_CONTENT} FILTER (WHERE kind = 'opened')
FROM ({{events}})
WHERE salesforce_id <> '' AND {_KNOWN_KIND} AND {{share}}
GROUP BY salesforce_id
"""
_ODD_IDS = "SELECT count(*) FROM people WHERE length(salesforce_id) <> 18 OR suffix(salesforce_id, ' ')"
_MERGE = f"""
INSERT INTO merged
SELECT {normal_id_sql("salesforce_id")} AS normal_id, flatten(list(events)), sum(sent), sum(opened)
FROM people
WHERE {{share}}
GROUP BY normal_id
"""
_SET_NOBODY_ASIDE = f"""
INSERT INTO nobody
SELECT coalesce(subscriber_id, ''), kind, count(*), max(moment)
FROM ({{events}})
WHERE (salesforce_id <> '') IS NOT TRUE AND {_KNOWN_KIND}
GROUP BY ALL
"""


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
    return Totals(0, 0, {kind: KindTotals() for kind in ACTIVITY_KINDS}, {})


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
    in_kinds = _by_kind(connection, _EVENTS, bound)
    events_read = sum(in_kinds.values())
    duplicates = _set_duplicates_aside(connection, bound)
    events = _ONCE if duplicates else _EVENTS
    if duplicates:
        in_kinds = _by_kind(connection, events, bound)
    connection.execute(_FIND_LABELS, bound)
    _pack(connection, events, events_read, bound)
    packed, *people = _row(
        connection, "SELECT coalesce(sum(len(events)), 0)::BIGINT, count(sent), count(opened) FROM people"
    )
    if packed < sum(in_kinds.get(kind, 0) for kind in ACTIVITY_KINDS):
        connection.execute(_SET_NOBODY_ASIDE.format(events=events), bound)
    return _totals(connection, events_read, duplicates, in_kinds, people)


def _by_kind(connection: DuckDBPyConnection, events: str, bound: dict[str, Any]) -> dict[str, int]:
    rows = connection.execute(f"SELECT coalesce(kind, ''), count(*) FROM ({events}) GROUP BY ALL", bound).fetchall()
    return dict(rows)


def _set_duplicates_aside(connection: DuckDBPyConnection, bound: dict[str, Any]) -> int:
    """Keep one event, the earliest, of each id that occurs several times; the number of the others."""
    connection.execute(_FIND_REPEATED, bound)
    (repeated,) = _row(connection, "SELECT coalesce(sum(events), 0)::BIGINT FROM repeated")
    if not repeated:
        return 0
    connection.execute(_KEEP_ONE_EACH, bound)
    (kept,) = _row(connection, "SELECT count(*) FROM kept")
    return int(repeated - kept)


def _pack(connection: DuckDBPyConnection, events: str, number: int, bound: dict[str, Any]) -> None:
    """Fill `people`. Ids that are not in their normal form, of which most windows have none, are mended afterwards."""
    parts = ceil(number / _EVENTS_AT_ONCE)
    shares = (
        [f"hash(left(trim(salesforce_id), 15)) % {parts} = {part}" for part in range(parts)] if parts > 1 else ["true"]
    )
    for share in shares:
        connection.execute(_PACK.format(events=events, share=share), bound)
    if not _row(connection, _ODD_IDS)[0]:
        return
    connection.execute("CREATE TABLE merged AS FROM people LIMIT 0")
    for share in shares:
        connection.execute(_MERGE.format(share=share))
    connection.execute("DROP TABLE people; ALTER TABLE merged RENAME TO people")


def _totals(
    connection: DuckDBPyConnection, events_read: int, duplicates: int, in_kinds: Mapping[str, int], people: list[int]
) -> Totals:
    rows = connection.execute("SELECT kind, count(*), sum(events)::BIGINT FROM nobody GROUP BY kind").fetchall()
    nobody = {kind: WithoutRecipient(subscribers, events) for kind, subscribers, events in rows}
    by_kind = {}
    for kind, in_kind in zip(ACTIVITY_KINDS, people, strict=True):
        without = nobody.get(kind, WithoutRecipient())
        by_kind[kind] = KindTotals(in_kind, in_kinds.get(kind, 0) - without.events, without)
    unknown_kinds = {kind: number for kind, number in in_kinds.items() if kind not in ACTIVITY_KINDS}
    return Totals(events_read, duplicates, by_kind, unknown_kinds)


def _row(connection: DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None
    return row
