"""Summaries of many events, beside the least that DuckDB could do: a bare group-by of person, day and kind.

Run `python benchmarks/summaries.py [--events N] [--rounds N] [--folder DIR]`. Two kinds of events: nearly one a person
and day, and five. Seconds are the best of the rounds; a round takes the contestants in turn. Not a test.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import duckdb

from writeback_pipeline.activity.database import event_database
from writeback_pipeline.activity.summaries import summarise
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, window_named, windows_between
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS

GENERATOR = Path(__file__).parent.parent / "data" / "sample" / "generate_mailing_activity.py"
DAYS = 42
EVENTS_PER_PERSON_AND_DAY = {"worst (1 a person and day)": 1.0, "typical (5)": 5.0}


def floor(folder: Path) -> None:
    """The bare group-by."""
    with duckdb.connect() as database:
        database.execute(
            "CREATE TEMP TABLE counted AS SELECT salesforce_id, occurred_at::DATE AS day, kind, count(*) AS events, "
            "min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM read_parquet($files) GROUP BY ALL",
            {"files": f"{folder}/*/*.parquet"},
        )


def ours(folder: Path, zone: str, *, read_revisions: bool) -> None:
    """Every window: duplicates out, people by id, every mailing of each, a revision; and the revisions in Python."""
    calendar = Calendar(Occurrence.DAILY, ZoneInfo(zone))
    presentation = Presentation("Informz", calendar.zone)
    first = window_named("2026-10-12", calendar)
    last = window_named((first.first_day + timedelta(days=DAYS - 1)).isoformat(), calendar)
    with event_database() as database:
        for window in windows_between(first, last, calendar):
            with summarise(database, str(folder), window, presentation) as counted:
                for kind in ACTIVITY_KINDS if read_revisions else ():
                    for _ in counted.revisions(kind):
                        pass


def seconds(contestant: Callable[[], None]) -> tuple[float, float]:
    """Wall-clock and processor seconds."""
    started, used = time.perf_counter(), _processor_seconds()
    contestant()
    return time.perf_counter() - started, _processor_seconds() - used


def measure(label: str, folder: Path, events: int, rounds: int) -> None:
    """Print one table."""
    contestants: dict[str, Callable[[], None]] = {
        "bare group-by (the floor)": lambda: floor(folder),
        "summaries, UTC": lambda: ours(folder, "UTC", read_revisions=False),
        "summaries, America/New_York": lambda: ours(folder, "America/New_York", read_revisions=False),
        "summaries, UTC, revisions read": lambda: ours(folder, "UTC", read_revisions=True),
    }
    times = {name: [seconds(contestant)] for name, contestant in contestants.items()}
    for _ in range(rounds - 1):
        for name, contestant in contestants.items():
            times[name].append(seconds(contestant))
    best = {name: (min(wall for wall, _ in all_), min(cpu for _, cpu in all_)) for name, all_ in times.items()}
    floor_wall, floor_cpu = best["bare group-by (the floor)"]
    print(f"\n{events:,} events, {label}; DuckDB {duckdb.__version__}")
    for name, (wall, cpu) in best.items():
        print(f"  {name:32} {wall:6.2f} s  x{wall / floor_wall:.2f}   processor {cpu:6.2f} s  x{cpu / floor_cpu:.2f}")


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the events here, and use them again if they are here")
    chosen = parser.parse_args()
    with TemporaryDirectory() as temporary:
        for label, density in EVENTS_PER_PERSON_AND_DAY.items():
            folder = (chosen.folder or Path(temporary)) / f"{chosen.events}-{density:g}"
            people = max(1, int(chosen.events / DAYS * 8 if density == 1 else chosen.events / DAYS / density))
            if not folder.exists():
                arguments = ["--events", str(chosen.events), "--people", str(people), "--out", str(folder)]
                subprocess.run([sys.executable, str(GENERATOR), *arguments], check=True)
            measure(label, folder, chosen.events, chosen.rounds)
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
