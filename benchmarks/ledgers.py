"""Ledgers with a long history, made by the database itself: years of opt-outs and activity, an attempt of each."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import psycopg

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.counts import COUNT_ALL
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.postgres import PostgresDatabase
from writeback_pipeline.store.postgres_url import parse
from writeback_pipeline.store.schema import pass_over
from writeback_pipeline.store.store import Store

# Three years up to now: opt-outs and activity in turns of 5,000, a window for each day of activity; nine in a thousand
# need a person, are refused or wait.
_ROWS = """
INSERT INTO writebacks (id, kind, object_type, salesforce_id, subscriber_id, email, occurred_at, reason, window_start,
    window_end, delivery_key, status, flag_result, attempts, next_attempt_at, error_code, error_message, advice,
    note_id, run_id, created_at, written_at, settled_at, person_id)
SELECT n, kind, CASE WHEN n % 3 = 0 THEN 'Lead' ELSE 'Contact' END, who, 'S' || person,
    'person.' || person || '@newsletter.example', happened,
    CASE WHEN kind = 'unsubscribe' AND n % 2 = 0 THEN 'Too many e-mails, merci d''arrêter ' || n % 1000 END,
    day, day + INTERVAL 1 DAY, lpad(n::TEXT, 10, '0') || '/' || kind, status,
    CASE WHEN kind = 'unsubscribe' THEN 'set' END, 1, CASE status WHEN 'waiting' THEN $2::TIMESTAMP END,
    CASE status WHEN 'failed' THEN 'CODE_' || n % 7 WHEN 'refused' THEN 'ORIGIN' WHEN 'waiting' THEN 'LOCKED' END,
    CASE status WHEN 'failed' THEN 'Salesforce said no to record ' || who END,
    CASE status WHEN 'failed' THEN 'Do something about it, then retry.' END,
    CASE WHEN status = 'written' AND day IS NULL THEN '002' || lpad(n::TEXT, 15, '0') END, 'run-' || n // 5000,
    happened + INTERVAL 20 SECOND, CASE status WHEN 'written' THEN happened + INTERVAL 60 SECOND END,
    CASE WHEN status <> 'waiting' THEN happened + INTERVAL 60 SECOND END,
    CASE WHEN day IS NULL THEN who ELSE kind || ':daily:' || strftime(day, '%Y-%m-%d') END
FROM (
    SELECT *, CASE WHEN kind IN ('sent', 'opened') THEN date_trunc('day', happened) END AS day FROM (
        SELECT n, hash(n, 7) % 400000 AS person, (CASE WHEN n % 3 = 0 THEN '00Q' ELSE '003' END)
                || lpad((hash(n, 7) % 400000)::TEXT, 15, '0') AS who,
            CASE WHEN n // 5000 % 2 = 0 THEN (['unsubscribe', 'unsubscribe', 'resubscribe'])[1 + n % 3]
                ELSE (['sent', 'opened'])[1 + n % 2] END AS kind,
            $2::TIMESTAMP - to_seconds(($1 - n) * 3 * 365 * 86400.0 / $1 + hash(n) % 3600) AS happened,
            CASE WHEN hash(n, 2) % 200 = 0 THEN 'failed' WHEN hash(n, 3) % 300 = 0 THEN 'refused'
                WHEN hash(n, 4) % 2000 = 0 THEN $3 ELSE 'written' END AS status
        FROM generate_series(1, $1) numbers(n)
    )
)
"""
_ATTEMPTS = """
INSERT INTO delivery_attempts (id, person_id, epoch, writeback_id, operation, target_id, batch_id, lane, call_number,
    intent_at, send_deadline, payload_hash, outcome, answered_at)
SELECT id, person_id, 1, id, 'create_note', salesforce_id, run_id, 'composite', 1, created_at, created_at, 'hash', 'ok',
    created_at
FROM writebacks
"""
_PEOPLE = """
INSERT INTO people (person_id, object_type, epoch)
SELECT person_id, CASE WHEN min(window_start) IS NULL THEN min(object_type) ELSE 'Window' END, 1
FROM writebacks GROUP BY person_id ORDER BY person_id
"""
_WINDOWS = """
INSERT INTO activity_windows (scope, kind, occurrence, name, window_start, window_end, fingerprint, events,
    events_in_rows, summaries, without_recipient, withdrawn, delivered_at)
SELECT person_id, kind, 'daily', strftime(window_start, '%Y-%m-%d'), window_start, window_end, 'as it was', count(*),
    count(*), count(*), 0, 0, window_end + INTERVAL 1 HOUR
FROM writebacks WHERE window_start IS NOT NULL GROUP BY ALL
"""
_TABLES = ("writebacks", "delivery_attempts", "people", "activity_windows")
_SEQUENCES = ("writeback_ids", "attempt_ids")
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes i WHERE schemaname = %s AND tablename = %s
AND NOT EXISTS (
    SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname AND c.connamespace = schemaname::regnamespace
)
"""
_AT_ONCE, _READ = 2, 1 << 20


def fill(home: Path, rows: int, *, waiting: str = Status.WAITING) -> Store:
    """The home's DuckDB file, which is new, with so many writebacks; `waiting` is the status of what would wait."""
    path = home / "writebacks.duckdb"
    store = Store(path, home)
    store.depth()
    with Database(path).writing() as session:
        session.execute(_ROWS, [rows, datetime.now(UTC), waiting])
        session.execute(_ATTEMPTS)
        session.execute(_PEOPLE)
        session.execute(_WINDOWS)
        for sequence in _SEQUENCES:
            pass_over(session, sequence, rows)
    return store


def carry_over(home: Path, url: str) -> Store:
    """The same rows in a new schema of a PostgreSQL server, analysed as its own daemon would do some time."""
    file, store = home / "writebacks.duckdb", Store(url, home)
    store.depth()
    with ThreadPoolExecutor(_AT_ONCE) as tables:
        list(tables.map(partial(_carry_over, file, url), _TABLES))
    with PostgresDatabase(url).writing() as session, duckdb.connect(str(file), read_only=True) as made:
        session.execute(COUNT_ALL)
        (rows,) = made.execute("SELECT count(*) FROM writebacks").fetchone() or (0,)
        for sequence in _SEQUENCES:
            session.execute(f"SELECT setval('{sequence}', $1)", [max(rows, 1)])
    return store


def _carry_over(file: Path, url: str, table: str) -> None:
    """All rows of an empty table at once: no trigger is asked row by row, and the indexes are made in the end."""
    server = parse(url)
    with TemporaryDirectory() as folder, psycopg.connect(server.conninfo, autocommit=True) as session:
        rows = Path(folder) / "rows.csv"
        with duckdb.connect(str(file), read_only=True) as made:
            columns = ", ".join(name for name, *_ in made.execute(f"DESCRIBE {table}").fetchall())
            made.execute(f"COPY {table} TO '{rows}' (HEADER false)")
        session.execute(f"SET search_path = {server.schema}; SET maintenance_work_mem = '512MB'")
        indexes = session.execute(_INDEXES, [server.schema, table]).fetchall()
        with session.transaction():
            session.execute(f"TRUNCATE {table}")  # what is copied after that is frozen, and in no log
            session.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for name, _ in indexes:
                session.execute(f"DROP INDEX {name}")
            into = f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, FREEZE)"
            with session.cursor().copy(into) as copy, rows.open("rb") as csv:
                while part := csv.read(_READ):
                    copy.write(part)
            for _, definition in indexes:
                session.execute(definition)
            session.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        session.execute(f"VACUUM ANALYZE {table}")


@contextmanager
def made(rows: int) -> Iterator[tuple[Path, Store]]:
    """A home with such a DuckDB file in which nothing is owed."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        yield home, fill(home, rows, waiting=Status.WRITTEN)
