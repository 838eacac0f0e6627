"""How quickly the Writeback List's pages come at a million rows, and what a file of the whole list takes.

The console is a process of its own and is asked over HTTP; every page opens the DuckDB file anew.
"""

import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from benchmarks.commands import WRITEBACKS, peak_megabytes, variables_of
from benchmarks.ledgers import fill
from benchmarks.rows import Row

ROWS, ROUNDS, LONG_ROUNDS = 1_000_000, 5, 15
FIRST, FILTERED = 200, 500

PAGES = {
    "first page": ("", FIRST),
    "by status": ("?status=failed", FILTERED),
    "by error": ("?status=failed&error_code=CODE_3", FILTERED),
    "by kind and object": ("?kind=resubscribe&object=Lead", FILTERED),
    "by period": ("?from=2024-06-01&to=2024-06-30", FILTERED),
    "by person": ("?person=person.77@newsletter.example", FILTERED),
    "by run": ("?run=run-77", FILTERED),
    "by text": ("?text=arrêter 77", FILTERED),
    "by text, none": ("?text=nobody at all", FILTERED),
    "a page deep inside": ("?older=2024-06-01T00:00:00Z_99", FILTERED),
    "one row": ("/500000", FILTERED),
}


@contextmanager
def console(home: Path) -> Iterator[tuple[str, int]]:
    """The console of that home in a process of its own; its address and its id."""
    variables = variables_of(home)
    process = subprocess.Popen([WRITEBACKS, "console", "--port", "0"], env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], process.pid
    finally:
        process.terminate()
        process.wait()


def rows(*, long: bool) -> Iterator[Row]:
    """Each page of the list, and the whole list as a file."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home, ROWS)
        with console(home) as (address, pid), requests.Session() as browser:
            browser.get(f"{address}/writebacks/1").raise_for_status()
            for name, (query, most) in PAGES.items():
                times = []
                for _ in range(LONG_ROUNDS if long else ROUNDS):
                    started = time.perf_counter()
                    browser.get(f"{address}/writebacks{query}").raise_for_status()
                    times.append(1000 * (time.perf_counter() - started))
                yield Row(f"{name}, {ROWS:,} rows", min(times), "ms, quickest", most, series=name)
                yield Row(f"{name}, {ROWS:,} rows", statistics.median(times), "ms, middle")
            yield from _file(browser, address, pid)


def _file(browser: requests.Session, address: str, pid: int) -> Iterator[Row]:
    before, started = peak_megabytes(pid), time.perf_counter()
    with browser.get(f"{address}/writebacks/export.csv", stream=True) as answer:
        lines = sum(part.count(b"\n") for part in answer.iter_content(1 << 20))
    assert lines == ROWS + 1, lines
    yield Row(f"a file of all {ROWS:,} rows", time.perf_counter() - started, "s")
    yield Row("peak memory of the console after it", peak_megabytes(pid), "MB", reference=before)
