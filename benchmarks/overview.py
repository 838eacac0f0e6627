"""How long the overview takes of a ledger of many rows: reading it, and drawing each of its charts.

Rows are made by the database itself: 60 days of opt-outs and activity, each with an attempt. Milliseconds are the best
of the rounds.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows import Row
from writeback_pipeline.console.drawing import draw
from writeback_pipeline.console.pages.overview_charts import charts
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.store import Store

ROWS = 1_000_000
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

_ROWS = """
INSERT INTO writebacks (id, kind, object_type, salesforce_id, email, occurred_at, delivery_key, status, created_at,
    written_at, person_id, run_id, error_code, advice)
SELECT n, (['unsubscribe', 'resubscribe', 'sent', 'opened'])[1 + n % 4], 'Contact', '003' || lpad(n::TEXT, 15, '0'),
    'person.' || n || '@newsletter.example', made - INTERVAL 5 MINUTE, 'key ' || n, status, made,
    CASE WHEN status = 'written' THEN made + (n % 600) * INTERVAL 1 SECOND END, '003' || lpad(n::TEXT, 15, '0'),
    'run ' || n // 1000, CASE WHEN status = 'failed' THEN 'CODE_' || n % 7 END,
    CASE WHEN status = 'failed' THEN 'Do something about it.' END
FROM (
    SELECT n, $1::TIMESTAMP - to_seconds(n * 60 * 86400.0 / $2) AS made,
        CASE WHEN n % 500 = 0 THEN 'failed' WHEN n < 1000 THEN 'pending' ELSE 'written' END AS status
    FROM generate_series(1, $2) numbers(n)
)
"""
_ATTEMPTS = """
INSERT INTO delivery_attempts (id, person_id, epoch, writeback_id, operation, target_id, batch_id, lane, call_number,
    intent_at, send_deadline, payload_hash, outcome)
SELECT id, person_id, 1, id, 'create_note', salesforce_id, run_id, 'composite', 1, created_at, created_at, 'hash', 'ok'
FROM writebacks
"""


def fill(path: Path, rows: int) -> None:
    """Make a ledger with that many writebacks."""
    with Database(path).writing() as session:
        session.execute(_ROWS, [NOW, rows])
        session.execute(_ATTEMPTS)


def best(rounds: int, work: Callable[[], object]) -> float:
    """Milliseconds of the quickest round."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1000 * min(times)


def rows(*, long: bool) -> Iterator[Row]:
    """Reading, then each chart."""
    rounds = 15 if long else 3
    with TemporaryDirectory() as folder:
        path = Path(folder) / "writebacks.duckdb"
        fill(path, ROWS)
        store = Store(path)
        yield Row(f"read the overview of {ROWS:,} rows", best(rounds, lambda: store.overview(NOW)), "ms")
        for name, chart in charts(store.overview(NOW)).items():
            took = best(rounds, lambda chart=chart: draw.__wrapped__(chart, dark=False))  # type: ignore[misc]
            yield Row(f"draw {name}", took, "ms")
