"""Eight processes queue while two workers deliver, on PostgreSQL: what is lost, and how long anybody waits for a lock.

The workers do to the ledger all that a delivery does, and call nobody in between. Locks are looked at every 20 ms, as
the server tells them.
"""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows import Row
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import answered, contact, intent, opted_out, settled, unsubscribe
from writeback_pipeline_tests.postgres import PostgresServer, own_server

PRODUCERS, WORKERS, BATCH, PEOPLE_AT_A_TIME = 8, 2, 100, 1_000
LOOK_EVERY = 0.02
LONGEST_WAIT = 1.0


def produce(url: str, home: str, number: int, rows: int) -> None:
    """Queue that many changes, a batch at a time."""
    store = Store(url, Path(home))
    for first in range(0, rows, BATCH):
        people = [contact(number * 1_000_000 + n) for n in range(first, min(first + BATCH, rows))]
        store.enqueue([unsubscribe(person) for person in people], datetime.now(UTC))


def deliver(url: str, home: str, number: int, queued: Event) -> None:
    """Claim, journal and record until everything is queued and nothing is due."""
    store = Store(url, Path(home))
    while True:
        over = queued.is_set()
        claims = store.claim(f"worker {number}", datetime.now(UTC), limit=PEOPLE_AT_A_TIME)
        if not claims:
            if over:
                break
            continue
        now = datetime.now(UTC)
        rows = [(claim, row) for claim in claims for row in claim.taken]
        ids = store.journal([intent(claim, row=row, at=now) for claim, row in rows])
        outcomes = [answered(id_) for id_ in ids if id_ is not None]
        assert len(outcomes) == len(rows)
        settlements = [settled(claim, row=row) for claim, row in rows]
        origins = [opted_out(claim, row=row) for claim, row in rows]
        assert store.record(outcomes, settlements, origins, now, release=True) == 0


@contextmanager
def watched(server: PostgresServer) -> Iterator[list[timedelta]]:
    """Collects, for the length of the block, how long whoever waits for a lock has waited."""
    waits: list[timedelta] = []
    over = threading.Event()

    def look() -> None:
        with server.administration() as session:
            while not over.wait(LOOK_EVERY):
                rows = session.execute(
                    "SELECT clock_timestamp() - waitstart FROM pg_locks WHERE NOT granted"
                ).fetchall()
                waits.extend(wait for (wait,) in rows if wait is not None)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()


def rows(*, long: bool) -> Iterator[Row]:
    """Queue and deliver; an error if a row is missing."""
    number = 100_000 if long else 8_000
    with own_server() as server, TemporaryDirectory() as home:
        url, queued = server.new_url(), multiprocessing.Event()
        Store(url, Path(home)).depth()
        each = number // PRODUCERS
        producers = [multiprocessing.Process(target=produce, args=(url, home, n, each)) for n in range(PRODUCERS)]
        workers = [multiprocessing.Process(target=deliver, args=(url, home, n, queued)) for n in range(WORKERS)]
        began = time.perf_counter()
        with watched(server) as waits:
            for process in (*producers, *workers):
                process.start()
            for process in producers:
                process.join()
            queued_after = time.perf_counter() - began
            queued.set()
            for process in workers:
                process.join()
        seconds = time.perf_counter() - began
        written = Store(url, Path(home)).count(WritebackFilter(statuses=(Status.WRITTEN,)))
    longest = max(waits, default=timedelta()).total_seconds()
    assert not any(process.exitcode for process in (*producers, *workers))
    yield Row(f"changes lost of {number:,}", each * PRODUCERS - written, "", 0)
    yield Row("longest wait for a lock", longest, "s", LONGEST_WAIT)
    yield Row(f"{number:,} changes queued by {PRODUCERS} processes meanwhile", queued_after, "s")
    yield Row(f"{number:,} changes settled in the ledger by {WORKERS} workers", seconds, "s")
