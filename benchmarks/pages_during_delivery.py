"""Whether pages answer while opt-outs are delivered, and what the delivery loses by it.

The real commands, as processes: `writebacks run opt-outs` into the embedded organisation, once alone and once while the
pages of `writebacks console` are loaded over and over.
"""

import itertools
import re
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from benchmarks.commands import WRITEBACKS, variables_of
from benchmarks.rows import Row
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline.store.store import Store

PATHS = ("/", "/settings", "/settings/send", "/settings/history", "/people", "/writebacks")
PAUSE = 0.1
ROWS, LOADS = 20_000, 200


def prepare(home: Path, rows: int) -> None:
    """Queue that many unsubscribes and resubscribes of the sample's Contacts."""
    organisation = open_org(home / "local_org.sqlite", with_sample=True)
    with organisation.connection() as connection:
        found = connection.execute("SELECT Id FROM Contact WHERE IsDeleted = 0").fetchall()
    organisation.close()
    people, now = [id_ for (id_,) in found], datetime.now(UTC)
    kinds = itertools.cycle([Kind.UNSUBSCRIBE] * len(people) + [Kind.RESUBSCRIBE] * len(people))
    changes = [
        Change(kind, ObjectType.CONTACT, person, now - timedelta(seconds=rows - number))
        for number, (kind, person) in enumerate(
            zip(kinds, itertools.islice(itertools.cycle(people), rows), strict=False)
        )
    ]
    Store(home / "writebacks.duckdb").enqueue(changes, now)


@contextmanager
def console(variables: dict[str, str]) -> Iterator[str]:
    """The console of that home; its address."""
    with subprocess.Popen(
        [WRITEBACKS, "console", "--port", "0"], env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            yield found[0]
        finally:
            process.terminate()


def deliver(rows: int, loads: int) -> tuple[float, list[float], int]:
    """A delivery of so many rows with at least so many loads beside it: its seconds, those of the loads, failures."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        prepare(home, rows)
        variables = variables_of(home)
        times: list[float] = []
        failures = 0
        with console(variables) as address:
            started = time.perf_counter()
            run = subprocess.Popen([WRITEBACKS, "run", "opt-outs"], env=variables, stdout=subprocess.DEVNULL)
            for path in itertools.cycle(PATHS):
                ended = run.poll() is not None
                if not loads or (ended and len(times) >= loads):
                    break
                before = time.perf_counter()
                failures += requests.get(address + path, timeout=60).status_code != 200
                times.append(time.perf_counter() - before)
                time.sleep(PAUSE)
            failures += run.wait() != 0
            return time.perf_counter() - started, times, failures


def rows(*, long: bool) -> Iterator[Row]:
    """A delivery alone, the same one with the loads, and the loads."""
    number, loads = (ROWS, LOADS) if long else (ROWS // 4, LOADS // 2)
    alone, _, failed_alone = deliver(number, 0)
    beside, times, failed = deliver(number, loads)
    percentiles = statistics.quantiles(times, n=100)
    yield Row(f"{number:,} rows delivered beside {len(times):,} page loads", beside, "s", reference=alone)
    yield Row("page loads and deliveries that failed", failed + failed_alone, "", 0)
    yield Row("a page load during the delivery, p50", 1000 * percentiles[49], "ms")
    yield Row("a page load during the delivery, p95", 1000 * percentiles[94], "ms")
