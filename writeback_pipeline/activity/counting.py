"""The SQL that counts a window's events into tables, in as few passes over the files as will do.

A row of `events` is one event that names somebody, as few numbers as will do; a row of `people` is one person's events
of one kind, with their content: a number that changes whenever one of them does. A label is a mailing with the name and
subject that an event gave it. `repeated` and `kept` exist because a platform may deliver an event twice: one event id
counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.salesforce_ids import normal_id_sql
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

BY_A_MACHINE, OPENED = 1, 2
"""Bits of an event's moment: above them are the microseconds since the window's start."""

_FILES = """
FROM read_parquet($files, hive_partitioning = false)
WHERE occurred_at >= $start AND occurred_at < $end
"""
_MOMENT = f"""
(epoch_us(occurred_at) - epoch_us($start)) * 4 + (kind = 'opened')::BIGINT * {OPENED}
    + (is_machine_open IS TRUE)::BIGINT * {BY_A_MACHINE}
"""
_LABEL = "hash(mailing_id, mailing_name, subject)"
_ID_HASH = "CASE WHEN event_id <> '' THEN hash(event_id) END"
_TABLES = """
CREATE TABLE events (id_hash UBIGINT, kind VARCHAR, salesforce_id VARCHAR, label UBIGINT, moment BIGINT);
CREATE TABLE people (salesforce_id VARCHAR, opened BOOLEAN, content HUGEINT);
CREATE TABLE labels (label UBIGINT, mailing_id VARCHAR, name VARCHAR, subject VARCHAR);
CREATE TABLE nobody (subscriber_id VARCHAR, kind VARCHAR, events BIGINT, last_moment BIGINT);
"""
_READ = f"INSERT INTO events SELECT {_ID_HASH}, kind, salesforce_id, {_LABEL}, {_MOMENT} {_FILES}"
_FIND_REPEATED = """
CREATE TABLE repeated AS
SELECT id_hash, count(*) AS events FROM events WHERE id_hash IS NOT NULL GROUP BY id_hash HAVING events > 1
"""
_KEEP_ONE_EACH = f"""
CREATE TABLE kept AS
SELECT DISTINCT ON (event_id) * EXCLUDE (id_hash) FROM (
    SELECT event_id, {_ID_HASH} AS id_hash, kind, salesforce_id, {_LABEL} AS label, {_MOMENT} AS moment, subscriber_id,
        mailing_id, mailing_name, subject
    {_FILES}
) SEMI JOIN repeated USING (id_hash)
ORDER BY event_id, moment, kind, salesforce_id, mailing_id, mailing_name, subject, subscriber_id
"""
_PUT_ONE_EACH = f"""
DELETE FROM events USING repeated WHERE events.id_hash = repeated.id_hash;
INSERT INTO events SELECT {_ID_HASH}, kind, salesforce_id, label, moment FROM kept
"""
_FIND_LABELS = f"""
INSERT INTO labels
SELECT label, coalesce(mailing_id, ''), coalesce(mailing_name, ''), coalesce(subject, '')
FROM (SELECT DISTINCT ON (label) {_LABEL} AS label, mailing_id, mailing_name, subject {_FILES})
"""
_KNOWN_KIND = "kind IN ('sent', 'opened')"
_NAMES_NOBODY = "(salesforce_id <> '') IS NOT TRUE"
_SET_NOBODY_ASIDE = f"""
INSERT INTO nobody
SELECT coalesce(subscriber_id, ''), kind, count(*), max(moment)
FROM ({{events}})
WHERE {_NAMES_NOBODY} AND {_KNOWN_KIND}
GROUP BY ALL
"""
_EVERY_EVENT = f"SELECT subscriber_id, kind, salesforce_id, {_MOMENT} AS moment {_FILES}"
_EVERY_EVENT_ONCE = f"""
SELECT * EXCLUDE (id_hash)
FROM (SELECT subscriber_id, kind, salesforce_id, {_MOMENT} AS moment, {_ID_HASH} AS id_hash {_FILES})
ANTI JOIN repeated USING (id_hash)
UNION ALL
SELECT subscriber_id, kind, salesforce_id, moment FROM kept
"""
_LEAVE_THE_USEFUL = f"DELETE FROM events WHERE {_NAMES_NOBODY} OR ({_KNOWN_KIND}) IS NOT TRUE"
_IS_ODD = "length(salesforce_id) <> 18 OR suffix(salesforce_id, ' ')"
# In most windows every event is of a known kind and names somebody by an id in its normal form: one look tells that,
# and is quicker than counting by kind, or mending all ids.
_LOOK = f"SELECT count(*), count_if(kind = 'opened'), count_if({_KNOWN_KIND} AND NOT ({_IS_ODD})) FROM events"
_BY_KIND = "SELECT coalesce(kind, ''), count(*), count(*) FILTER (salesforce_id <> '') FROM events GROUP BY ALL"
_MEND_ODD_IDS = f"UPDATE events SET salesforce_id = {normal_id_sql('salesforce_id')} WHERE {_IS_ODD}"
_COUNT = f"""
INSERT INTO people
SELECT salesforce_id, moment & {OPENED} > 0, sum(hash(xor(label, moment::UBIGINT))) FROM events GROUP BY ALL
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
    """The empty tables `events`, `people`, `labels` and `nobody`, in the connection's schema."""
    connection.execute(_TABLES)


def count_events(connection: DuckDBPyConnection, files: Sequence[str], window: Window) -> Totals:
    """Fill the tables with the window's events and say where each went."""
    bound = {
        "files": list(files),
        "start": window.start.replace(tzinfo=None),
        "end": window.end.replace(tzinfo=None),
    }
    connection.execute(_READ, bound)
    in_kinds, named, usual = _by_kind(connection)
    events_read = sum(in_kinds.values())
    duplicates = _set_duplicates_aside(connection, bound)
    if duplicates:
        in_kinds, named, usual = _by_kind(connection)
    connection.execute(_FIND_LABELS, bound)
    useful = sum(named.get(kind, 0) for kind in ACTIVITY_KINDS)
    if useful < sum(in_kinds.get(kind, 0) for kind in ACTIVITY_KINDS):
        events = _EVERY_EVENT_ONCE if duplicates else _EVERY_EVENT
        connection.execute(_SET_NOBODY_ASIDE.format(events=events), bound)
    if useful < sum(in_kinds.values()):
        connection.execute(_LEAVE_THE_USEFUL)
    if not usual and _row(connection, f"SELECT count(*) FROM events WHERE {_IS_ODD}")[0]:
        connection.execute(_MEND_ODD_IDS)
    connection.execute(_COUNT)
    return _totals(connection, events_read, duplicates, in_kinds)


def _by_kind(connection: DuckDBPyConnection) -> tuple[dict[str, int], dict[str, int], bool]:
    """Events of each kind, those of them that name somebody, and whether all are as they usually are."""
    events, opened, usual = _row(connection, _LOOK)
    if usual == events:
        in_kinds: dict[str, int] = {Kind.SENT: events - opened, Kind.OPENED: opened}
        return in_kinds, in_kinds, True
    rows = connection.execute(_BY_KIND).fetchall()
    return {kind: events for kind, events, _ in rows}, {kind: named for kind, _, named in rows}, False


def _set_duplicates_aside(connection: DuckDBPyConnection, bound: dict[str, Any]) -> int:
    """Keep one event, the earliest, of each id that occurs several times; the number of the others."""
    (ids,) = _row(connection, _FIND_REPEATED)
    if not ids:
        return 0
    (repeated,) = _row(connection, "SELECT sum(events)::BIGINT FROM repeated")
    connection.execute(_KEEP_ONE_EACH, bound)
    connection.execute(_PUT_ONE_EACH)
    (kept,) = _row(connection, "SELECT count(*) FROM kept")
    return int(repeated - kept)


def _totals(connection: DuckDBPyConnection, events_read: int, duplicates: int, in_kinds: Mapping[str, int]) -> Totals:
    rows = connection.execute("SELECT kind, count(*), sum(events)::BIGINT FROM nobody GROUP BY kind").fetchall()
    nobody = {kind: WithoutRecipient(subscribers, events) for kind, subscribers, events in rows}
    people = dict(connection.execute("SELECT opened, count(*) FROM people GROUP BY opened").fetchall())
    by_kind = {}
    for kind in ACTIVITY_KINDS:
        without = nobody.get(kind, WithoutRecipient())
        in_kind = people.get(kind is Kind.OPENED, 0)
        by_kind[kind] = KindTotals(in_kind, in_kinds.get(kind, 0) - without.events, without)
    unknown_kinds = {kind: number for kind, number in in_kinds.items() if kind not in ACTIVITY_KINDS}
    return Totals(events_read, duplicates, by_kind, unknown_kinds)


def _row(connection: DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(query).fetchone()
    assert row is not None
    return row
