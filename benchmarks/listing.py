"""How long `writebacks list` takes for a queue of many rows, start-up included, in each of its forms.

Run `python benchmarks/listing.py [--rows N] [--rounds N]`. One row alone shows what starting up costs. Seconds are the
best of the rounds, processor seconds those of the process with its threads. Not a test.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from writeback_pipeline.domain.people import ObjectType, person_ref
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline.store.store import Store

NOW = datetime(2026, 11, 23, tzinfo=UTC)
COMMAND = [sys.executable, "-c", "from writeback_pipeline.cli import main; main(prog_name='writebacks')", "list"]
CALLS = {
    "one row, json": ["--format", "json", "--limit", "1"],
    "json": ["--format", "json"],
    "csv": ["--format", "csv"],
}


def fill(home: Path, rows: int) -> None:
    """Queue that many changes of that many people, every other with a reason."""
    changes = [
        Change(
            Kind.UNSUBSCRIBE,
            ObjectType.CONTACT,
            person_ref(ObjectType.CONTACT, f"003{number:012d}").salesforce_id,
            NOW - timedelta(seconds=number),
            reason="Too many e-mails, merci d'arrêter" if number % 2 else None,
            subscriber_id=str(number),
            email=f"person.{number}@newsletter.example",
        )
        for number in range(rows)
    ]
    Store(home / "writebacks.duckdb").enqueue(changes, NOW)


def measure(home: Path, options: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of one call."""
    started, used = time.perf_counter(), _processor_seconds()
    environment = {**os.environ, "WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": ""}
    subprocess.run([*COMMAND, *options], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started, _processor_seconds() - used


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with TemporaryDirectory() as folder:
        fill(Path(folder), chosen.rows)
        print(f"{chosen.rows:,} rows")
        for name, options in CALLS.items():
            times = [measure(Path(folder), options) for _ in range(chosen.rounds)]
            wall, processor = (min(column) for column in zip(*times, strict=True))
            print(f"  {name:16} {wall:6.2f} s   processor {processor:6.2f} s")


if __name__ == "__main__":
    main()
