"""Eight processes queue while two workers deliver, on PostgreSQL: what is lost, and how long anybody waits for a lock.

Run `python benchmarks/shared_ledger.py [--rows N]`. The workers do to the ledger all that a delivery does, and call
nobody in between. Locks are looked at every 20 ms, as the server tells them. Not a test.
"""

import argparse
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import answered, contact, intent, opted_out, settled, unsubscribe
from writeback_pipeline_tests.postgres import PostgresServer, own_server

PRODUCERS, WORKERS, BATCH, PEOPLE_AT_A_TIME = 8, 2, 100, 1_000
LOOK_EVERY = 0.02


def produce(url: str, home: str, number: int, rows: int) -> None:
    """Queue that many changes, a batch at a time; prints the longest that a batch took."""
    store, longest = Store(url, Path(home)), 0.0
    for first in range(0, rows, BATCH):
        people = [contact(number * 1_000_000 + n) for n in range(first, min(first + BATCH, rows))]
        began = time.perf_counter()
        store.enqueue([unsubscribe(person) for person in people], datetime.now(UTC))
        longest = max(longest, time.perf_counter() - began)
    print(f"  producer {number}: longest batch of {BATCH} {longest:.3f} s", flush=True)


def deliver(url: str, home: str, number: int, queued: Event) -> None:
    """Claim, journal and record until everything is queued and nothing is due; prints the longest step."""
    store, longest, done = Store(url, Path(home)), 0.0, 0
    while True:
        over, began = queued.is_set(), time.perf_counter()
        claims = store.claim(f"worker {number}", datetime.now(UTC), limit=PEOPLE_AT_A_TIME)
        longest = max(longest, time.perf_counter() - began)
        if not claims:
            if over:
                break
            continue
        now = datetime.now(UTC)
        rows = [(claim, row) for claim in claims for row in claim.taken]
        began = time.perf_counter()
        ids = store.journal([intent(claim, row=row, at=now) for claim, row in rows])
        outcomes = [answered(id_) for id_ in ids if id_ is not None]
        assert len(outcomes) == len(rows)
        settlements = [settled(claim, row=row) for claim, row in rows]
        origins = [opted_out(claim, row=row) for claim, row in rows]
        assert store.record(outcomes, settlements, origins, now, release=True) == 0
        longest = max(longest, time.perf_counter() - began)
        done += len(rows)
    print(f"  worker {number}: {done:,} rows, longest step of {PEOPLE_AT_A_TIME:,} people {longest:.3f} s", flush=True)


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


def run(server: PostgresServer, home: str, rows: int) -> None:
    """Queue and deliver that many rows; prints what was counted, and ends with an error if a row is missing."""
    url, queued = server.new_url(), multiprocessing.Event()
    Store(url, Path(home)).depth()
    each = rows // PRODUCERS
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
    print(
        f"{each * PRODUCERS:,} rows queued in {queued_after:.1f} s, delivered in {seconds:.1f} s: {written:,} written"
    )
    print(f"longest wait for a lock {longest:.3f} s, {len(waits):,} waits seen")
    if written != each * PRODUCERS or any(process.exitcode for process in (*producers, *workers)):
        raise SystemExit("rows are missing, or a process failed")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    with own_server() as server, TemporaryDirectory() as home:
        run(server, home, parser.parse_args().rows)


if __name__ == "__main__":
    main()
