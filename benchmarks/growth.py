"""What the ledger takes, by how much history it holds, on DuckDB and on PostgreSQL: cost follows what is pending.

Milliseconds are those of the middle of several rounds, in turns with an empty ledger; the ratio is to that. The
sensor's tick is all that it asks of the ledger, by a new Store each time, as in Dagster; a claim takes the 100 people
to whom something is owed, whatever the history, and gives them back. A page is the list's first 50 rows, with the count
of all. The history is three years long, so a window of activity has the more rows the more there are. Between rounds
DuckDB's engine is kept and nothing of the file: each opens it.
"""

import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.ledgers import carry_over, made
from benchmarks.organisation import people
from benchmarks.rows import Row
from writeback_pipeline.activity.source import MailingEvents
from writeback_pipeline.delivery.owed_windows import window_states
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.postgres import PostgresServer, own_server

SIZES, LONG_SIZES = (0, 1_000_000), (0, 10_000, 1_000_000, 10_000_000)
ROUNDS = 9
TICK, WITHIN = 20.0, 1.5
PENDING = 100
PRODUCERS, BATCH, QUEUED = 8, 100, 4_000


def rows(*, long: bool) -> Iterator[Row]:
    """Both databases at each size, in turns with an empty ledger; then how fast changes are queued."""
    with own_server() as server:
        pages: dict[int, float] = {}
        for size in LONG_SIZES if long else SIZES:
            with made(size) as (home, duckdb), made(0) as (empty_home, empty):
                url, empty_url = server.new_url(), server.new_url()
                places = {
                    "DuckDB": (duckdb.shown, empty.shown),
                    "PostgreSQL": (url, empty_url),
                }
                carry_over(home, url)
                carry_over(empty_home, empty_url)
                with server.administration() as session:
                    session.execute("CHECKPOINT")  # not while anything is measured
                for name, (place, empty_place) in places.items():
                    beside = _works(empty_place, empty_home)
                    for what, work in _works(place, home).items():
                        took, first = _middles(work, beside[what])
                        limit, reference = None, first if size else None
                        if what == "sensor tick" and size:
                            limit = min(TICK, WITHIN * first)
                        if what == "list page" and size >= 1_000_000 and name == "PostgreSQL":
                            limit = reference = pages[size]
                        if what == "list page" and name == "DuckDB":
                            pages[size] = took
                        label = f"{what}, {name}, {size:,} rows"
                        yield Row(label, took, "ms", limit, reference, f"{what}, {name}", max(size, 1))
        yield from _queueing(server)


def _works(place: str, home: Path) -> dict[str, Callable[[], object]]:
    store, now = Store(place, home), datetime.now(UTC)
    events = MailingEvents(str(home / "mailing_activity"))

    def tick() -> None:
        Store(place, home).poll("sensor", timedelta(seconds=30), Purpose.OPT_OUTS, datetime.now(UTC))

    def claim() -> None:
        claims = store.claim("benchmark", datetime.now(UTC), limit=10_000)
        assert len(claims) == PENDING, len(claims)
        store.release("benchmark", [claim.lease for claim in claims])

    new = iter(people((ROUNDS + 2) * PENDING))

    def queue() -> None:
        store.enqueue([_unsubscribe(person, now) for person in itertools.islice(new, PENDING)], now)

    queue()
    delivered = store.delivered_windows(now - timedelta(days=60), now)
    scope = ":".join((delivered[-1].kind, delivered[-1].occurrence, delivered[-1].name)) if delivered else "none"
    return {
        "sensor tick": tick,
        "due": lambda: store.due(datetime.now(UTC)),
        "claim": claim,
        "list page": lambda: store.page(WritebackFilter(), 50),
        "list page, failed": lambda: store.page(WritebackFilter(statuses=(Status.FAILED,)), 50),
        "changed since written": lambda: store.known_summaries(scope),
        "gap finder": lambda: window_states(store, events, Occurrence.DAILY, now, now=now),
        f"{PENDING} queued": queue,
    }


def _middles(*works: Callable[[], object]) -> list[float]:
    """Milliseconds of each; they take turns, so that whatever else the machine does slows them alike."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(ROUNDS + 1):
        for work, taken in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
    return [1000 * statistics.median(taken[1:]) for taken in times]


def _unsubscribe(person: str, at: datetime) -> Change:
    return Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, at, reason="Too many e-mails")


def _queueing(server: PostgresServer) -> Iterator[Row]:
    with made(0) as (home, _):
        for name, url in (("DuckDB", str(home / "writebacks.duckdb")), ("PostgreSQL", server.new_url())):
            Store(url, home).depth()
            for producers in (1, PRODUCERS):
                each = QUEUED // producers
                work = [
                    multiprocessing.Process(target=_queue, args=(url, home, 1 + producers * 10 + n, each))
                    for n in range(producers)
                ]
                started = time.perf_counter()
                for process in work:
                    process.start()
                for process in work:
                    process.join()
                assert not any(process.exitcode for process in work)
                seconds = time.perf_counter() - started
                yield Row(
                    f"{QUEUED:,} changes queued on {name} by {producers} process(es), {BATCH} at a time",
                    1000 * seconds / QUEUED * 1000,
                    "ms for 1,000 changes",
                )


def _queue(url: str, home: Path, number: int, rows: int) -> None:
    store, now = Store(url, home), datetime.now(UTC)
    everybody = people((number + 1) * QUEUED)[-rows:]
    for first in range(0, rows, BATCH):
        store.enqueue([_unsubscribe(person, now) for person in everybody[first : first + BATCH]], now)
