"""Delivering unsubscribes to a far organisation: seconds, our own processor time, memory; beside other clients.

Seconds are those of the delivery as its own log tells them, without the start of Python and Dagster, as other clients'
are those of their work; the whole command stands below. The organisation's own time is what the same writes take it
from a client that does nothing else (`bare`), one call after the other. Its, ours and aio-sf's are the best of the
rounds, in which they take turns; the others run once.

Of our own processor time for 10,000 people, without Bulk, about a third are the 290 statements of the ledger: before
each call, and after it, something has to be on disk. Its file is opened some 20 times for 40 transactions. HTTP and
JSON are less than a tenth. The rest plans, journals and settles, two dozen objects a person. The statements alone take
more than the 15 % of the organisation's time that are asked for. And our own work is what holds the whole delivery:
eight calls at once instead of four are hardly quicker.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from benchmarks.calls import unsubscribes, work_of_peer
from benchmarks.commands import WRITEBACKS, Ran, run
from benchmarks.mailings import DAY, add_mailing
from benchmarks.organisation import LATENCY, Served, people, served
from benchmarks.rows import Row
from writeback_pipeline.store.store import Store

PEOPLE = 10_000
FAR = f"{1000 * LATENCY:.0f} ms a call"
ROUNDS = 3
AT_ONCE = 4
"""Calls of one delivery at a time, as it is by default."""

WITHIN = 1.5
OWN_SHARE = 0.15
COMMAND = [WRITEBACKS, "run", "opt-outs", "--format", "json"]
TASKS, TASKS_MEGABYTES = 100_000, 500
REQUESTS = 300
THRESHOLDS = {"composite": "1000000000", "bulk": "10000"}
"""The setting `bulk_threshold`: nothing by Bulk, or as it is by default."""


def rows(*, long: bool) -> Iterator[Row]:
    """The organisation, then deliveries to a far one."""
    with TemporaryDirectory() as folder, served(Path(folder), 1) as organisation:
        yield Row("the organisation: one small request", 1000 * _request_seconds(organisation), "ms")
    rounds = [(_peer("bare", 0), _deliver(PEOPLE, LATENCY), _peer("aio-sf")) for _ in range(ROUNDS)]
    bare, aio_sf = min(each[0] for each in rounds), min(each[2] for each in rounds)
    runs, numbers = zip(*(each[1] for each in rounds), strict=True)
    (calls,) = set(numbers)
    seconds = min(ran.logged("delivered") for ran in runs)
    needed = calls * LATENCY / AT_ONCE + bare
    yield Row(f"the organisation: {2 * PEOPLE:,} rows by {PEOPLE // 500} calls, nobody else", bare, "s")
    name, unit = f"{PEOPLE:,} unsubscribes, {FAR}", "s for 10,000 unsubscribes"
    yield Row(
        f"{name}: beside calls x latency / {AT_ONCE} + the organisation's time", seconds, "s", WITHIN * needed, needed
    )
    yield Row(f"{name}: ours", seconds, unit, aio_sf, aio_sf, "ours")
    yield Row(f"{name}: aio-sf", aio_sf, unit, series="aio-sf")
    for client in ("simple-salesforce collections", "kinetic-core", "drt-core") if long else ():
        yield Row(f"{name}: {client}", _peer(client), unit, series=client)
    yield Row(f"{name}: the whole command", min(ran.seconds for ran in runs), "s")
    yield Row(f"{name}: peak memory", max(ran.megabytes for ran in runs), "MB")
    idle, busy = _deliver(1, 0)[0], calls * LATENCY + bare
    own = min(ran.processor for ran in runs) - idle.processor
    yield Row("our own processor time, beside the time that the organisation takes", own, "s", OWN_SHARE * busy, busy)
    yield Row("our own processor time for 1,000 unsubscribes", 1000 * own / PEOPLE, "s")
    if long:
        by_bulk, _ = _deliver(PEOPLE, LATENCY, lane="bulk")
        yield Row(f"{name}: ours, by Bulk", by_bulk.logged("delivered"), unit, series="ours, by Bulk")
        yield from _by_calls_at_once()
        yield from _tasks(TASKS)


def _by_calls_at_once() -> Iterator[Row]:
    for latency in (0, LATENCY):
        for at_once in (1, 2, 4, 8):
            ran, _ = _deliver(PEOPLE, latency, at_once=at_once)
            seconds = ran.logged("delivered")
            name = f"{PEOPLE:,} unsubscribes, {1000 * latency:.0f} ms a call, {at_once} at once"
            yield Row(name, 1000 * seconds / PEOPLE, "s for 1,000 unsubscribes", series=name)


def _tasks(number: int) -> Iterator[Row]:
    """Tasks of a day, first new ones, then revised ones: everybody has got another mailing."""
    command = [WRITEBACKS, "run", "activity", "--from", f"{DAY.date()}", "--kind", "sent"]
    with TemporaryDirectory() as folder, served(Path(folder), number) as organisation:
        for mailing, what in enumerate(("new", "revised")):
            add_mailing(organisation.home, number, mailing)
            ran = run(command, organisation.variables())
            yield Row(f"{number:,} {what} Tasks, the whole command", ran.seconds, "s")
            yield Row(f"{number:,} {what} Tasks, peak memory", ran.megabytes, "MB", TASKS_MEGABYTES)
        assert organisation.written() == (0, 0, number)


def _deliver(number: int, latency: float, *, at_once: int = AT_ONCE, lane: str = "composite") -> tuple[Ran, int]:
    """A delivery, and the calls that it made; the day's look at the organisation's set-up is not among them."""
    everybody = people(number)
    with TemporaryDirectory() as folder, served(Path(folder), len(everybody), latency=latency) as organisation:
        Store(organisation.home / "writebacks.duckdb").change_settings(
            {"concurrent_calls": str(at_once), "bulk_threshold": THRESHOLDS[lane]}, "benchmark", datetime.now(UTC)
        )
        unsubscribes(organisation.home, everybody)
        ran = run(COMMAND, organisation.variables())
        assert organisation.written() == (number, number, 0)
        return ran, json.loads(ran.output)["api_calls"]


def _peer(client: str, latency: float = LATENCY) -> float:
    with TemporaryDirectory() as folder, served(Path(folder), PEOPLE, latency=latency) as organisation:
        return work_of_peer(organisation, client, "unsubscribe", people(PEOPLE))


def _request_seconds(organisation: Served) -> float:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {organisation.token()}"
        started = time.perf_counter()
        for _ in range(REQUESTS):
            session.get(f"{organisation.address}/services/data/v60.0/limits", timeout=30).raise_for_status()
        return (time.perf_counter() - started) / REQUESTS
