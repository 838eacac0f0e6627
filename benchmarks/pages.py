"""How quickly the Writeback List's pages come at a million rows, and what a file of the whole list takes.

Run `python benchmarks/pages.py [--rows N] [--rounds N]`. The console is a process of its own and is asked over HTTP;
every page opens the database file anew. Milliseconds are those of the quickest and of the middle round; processor
milliseconds are the console's, with its threads. Not a test.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from writeback_pipeline.store.database import Database
from writeback_pipeline.store.store import Store

WRITEBACKS = str(Path(sys.executable).with_name("writebacks"))
FIRST, FILTERED = 200, 500

# Three years, a row a minute and a half: opt-outs and activity in turns of 5,000, as windows bring it; nine in a
# thousand need a person, are refused or wait.
_ROWS = """
INSERT INTO writebacks (id, kind, object_type, salesforce_id, subscriber_id, email, occurred_at, reason, delivery_key,
    status, flag_result, attempts, error_code, error_message, advice, note_id, run_id, created_at, written_at,
    person_id)
SELECT n, kind, CASE WHEN n % 3 = 0 THEN 'Lead' ELSE 'Contact' END, who, 'S' || person,
    'person.' || person || '@newsletter.example', happened,
    CASE WHEN kind = 'unsubscribe' AND n % 2 = 0 THEN 'Too many e-mails, merci d''arrêter ' || n % 1000 END,
    kind || '/' || who || '/' || n, status, CASE WHEN kind = 'unsubscribe' THEN 'set' END, 1,
    CASE status WHEN 'failed' THEN 'CODE_' || n % 7 WHEN 'refused' THEN 'ORIGIN' WHEN 'waiting' THEN 'LOCKED' END,
    CASE status WHEN 'failed' THEN 'Salesforce said no to record ' || who END,
    CASE status WHEN 'failed' THEN 'Do something about it, then retry.' END,
    CASE status WHEN 'written' THEN '002' || lpad(n::TEXT, 15, '0') END, 'run-' || n // 5000,
    happened + INTERVAL 20 SECOND, CASE status WHEN 'written' THEN happened + INTERVAL 60 SECOND END, who
FROM (
    SELECT n, hash(n, 7) % 400000 AS person, (CASE WHEN n % 3 = 0 THEN '00Q' ELSE '003' END)
            || lpad((hash(n, 7) % 400000)::TEXT, 15, '0') AS who,
        CASE WHEN n // 5000 % 2 = 0 THEN (['unsubscribe', 'unsubscribe', 'resubscribe'])[1 + n % 3]
            ELSE (['sent', 'opened'])[1 + n % 2] END AS kind,
        TIMESTAMP '2023-11-23' + to_seconds(n * 90.0 + hash(n) % 86400) AS happened,
        CASE WHEN hash(n, 2) % 200 = 0 THEN 'failed' WHEN hash(n, 3) % 300 = 0 THEN 'refused'
            WHEN hash(n, 4) % 2000 = 0 THEN 'waiting' ELSE 'written' END AS status
    FROM generate_series(1, $1) numbers(n)
)
"""
_ATTEMPTS = """
INSERT INTO delivery_attempts (id, person_id, epoch, writeback_id, operation, target_id, batch_id, lane, call_number,
    intent_at, send_deadline, payload_hash, outcome, answered_at)
SELECT id, person_id, 1, id, 'create_note', salesforce_id, run_id, 'composite', 1, created_at, created_at, 'hash', 'ok',
    created_at
FROM writebacks
"""

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
    variables = {**os.environ, "WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": ""}
    process = subprocess.Popen([WRITEBACKS, "console", "--port", "0"], env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1], process.pid
    finally:
        process.terminate()
        process.wait()


def processor_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_megabytes(pid: int) -> int:
    """The most memory that a process has had."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def measure_pages(home: Path, rounds: int) -> None:
    """Print each page of the list, and the whole list as a file."""
    with console(home) as (address, pid), requests.Session() as browser:
        browser.get(f"{address}/writebacks/1").raise_for_status()
        for name, (query, most) in PAGES.items():
            times, used = [], processor_seconds(pid)
            for _ in range(rounds):
                started = time.perf_counter()
                browser.get(f"{address}/writebacks{query}").raise_for_status()
                times.append(1000 * (time.perf_counter() - started))
            used = 1000 * (processor_seconds(pid) - used) / rounds
            print(
                f"  {name:20} {min(times):5.0f} ms, middle {statistics.median(times):5.0f}, processor {used:5.0f}; "
                f"under {most}: {'pass' if min(times) < most else 'SHORT'}",
                flush=True,
            )
        before, started = peak_megabytes(pid), time.perf_counter()
        with browser.get(f"{address}/writebacks/export.csv", stream=True) as answer:
            lines = sum(part.count(b"\n") for part in answer.iter_content(1 << 20))
        print(
            f"  file of all: {lines - 1:,} lines in {time.perf_counter() - started:.0f} s; "
            f"peak memory {before} MB before, {peak_megabytes(pid)} MB after",
            flush=True,
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "writebacks.duckdb"
        Store(path).depth()
        with Database(path).writing() as session:
            session.execute(_ROWS, [chosen.rows])
            session.execute(_ATTEMPTS)
        print(f"{chosen.rows:,} rows, {path.stat().st_size // 1_000_000} MB", flush=True)
        measure_pages(Path(folder), chosen.rounds)


if __name__ == "__main__":
    main()
