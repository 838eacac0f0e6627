"""Daily summaries of many events, beside the least that DuckDB could do: a bare group-by of person, day and kind.

Ours are every window's: duplicates out, people by id, the mailings of each, a revision, in the bridge's time zone. The
floor, pandas and polars only count, with the first and the last moment. Two kinds of events: nearly one of a person and
day (worst), and five (typical). Seconds are the best of the rounds, in which the contestants take turns.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from zoneinfo import ZoneInfo

import duckdb

from benchmarks.calls import PEERS
from benchmarks.commands import run
from benchmarks.rows import Row
from writeback_pipeline.activity.database import event_database
from writeback_pipeline.activity.summaries import summarise
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, window_named, windows_between
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS

PROJECT = Path(__file__).parents[1]
GENERATOR = PROJECT / "data" / "sample" / "generate_mailing_activity.py"
DAYS, FIRST = 42, "2026-10-12"
EVENTS, LONG_EVENTS = 10_000_000, 100_000_000
PER_PERSON_AND_DAY = {"worst": 1.0, "typical": 5.0}
ROUNDS = 2
WITHIN = 1.5
LEAST_MEMORY, MEGABYTES = "128MB", 400
"""A limit that a week's events exceed, and what the process may take with Python, DuckDB and pyarrow in it."""


def rows(*, long: bool) -> Iterator[Row]:
    """Each kind of events at each size; then a week's with little memory."""
    for events in (EVENTS, LONG_EVENTS) if long else (EVENTS,):
        for label, density in PER_PERSON_AND_DAY.items():
            peers = long or label == "worst"
            yield from _contest(f"{events:,} events, {label}", made(events, density), peers=peers)
    yield from _bounded(made(EVENTS, PER_PERSON_AND_DAY["worst"]))


def made(events: int, density: float) -> Path:
    """A folder with so many events, so many of a person and day; kept in build/ for the next time."""
    folder = PROJECT / "build" / "events" / f"{events}-{density:g}"
    if not folder.exists():
        people = max(1, int(events / DAYS * 8 if density == 1 else events / DAYS / density))
        unfinished = folder.with_suffix(".unfinished")
        arguments = ["--events", str(events), "--people", str(people), "--out", str(unfinished)]
        subprocess.run([sys.executable, str(GENERATOR), *arguments], check=True)
        unfinished.rename(folder)
    return folder


def _contest(label: str, folder: Path, *, peers: bool) -> Iterator[Row]:
    contestants: dict[str, Callable[[], float]] = {
        "bare group-by by DuckDB, the floor": lambda: _timed(lambda: floor(folder)),
        "ours, UTC": lambda: _timed(lambda: ours(folder, "UTC")),
        "ours, America/New_York": lambda: _timed(lambda: ours(folder, "America/New_York")),
    }
    if peers:
        contestants["bare group-by by pandas"] = lambda: _by_peer("pandas", folder)
        contestants["bare group-by by polars"] = lambda: _by_peer("polars", folder)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, contestant in contestants.items():
            times[name].append(contestant())
    least, *_ = (min(each) for each in times.values())
    for name, each in times.items():
        limit = WITHIN * least if name.startswith("ours") else None
        yield Row(f"{label}: {name}", min(each), f"s for {label}", limit, least, name)


def _bounded(folder: Path) -> Iterator[Row]:
    ran = run([sys.executable, "-m", "benchmarks.summaries", str(folder)], {})
    events, spilled = map(int, ran.output.split())
    what = f"a week of {events:,} events with a memory limit of {LEAST_MEMORY}"
    yield Row(f"{what}: peak memory of the process", ran.megabytes, "MB", MEGABYTES)
    yield Row(f"{what}: spilled to disk", spilled / 2**20, "MB")


def floor(folder: Path) -> None:
    """The bare group-by."""
    with duckdb.connect() as database:
        database.execute(
            "CREATE TEMP TABLE counted AS SELECT salesforce_id, occurred_at::DATE AS day, kind, count(*) AS events, "
            "min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM read_parquet($files) GROUP BY ALL",
            {"files": f"{folder}/*/*.parquet"},
        )


def ours(folder: Path, zone: str) -> None:
    """Every window of the events, one after the other."""
    calendar = Calendar(Occurrence.DAILY, ZoneInfo(zone))
    first = window_named(FIRST, calendar)
    last = window_named((first.first_day + timedelta(days=DAYS - 1)).isoformat(), calendar)
    with event_database() as database:
        for window in windows_between(first, last, calendar):
            with summarise(database, str(folder), window, Presentation("Informz", calendar.zone)):
                pass


def little_memory(folder: str) -> None:
    """Count a week with little memory and read every revision; prints its events and the bytes that were spilled."""
    calendar = Calendar(Occurrence.WEEKLY, ZoneInfo("UTC"))
    week, presentation = window_named(FIRST, calendar), Presentation("Informz", calendar.zone)
    with event_database(LEAST_MEMORY) as database, summarise(database, folder, week, presentation) as counted:
        for kind in ACTIVITY_KINDS:
            for _ in counted.revisions(kind):
                pass
        (spilled,) = database.execute("SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()").fetchone() or (0,)
        print(counted.totals.events_read, int(spilled))


def _timed(contestant: Callable[[], None]) -> float:
    started = perf_counter()
    contestant()
    return perf_counter() - started


def _by_peer(library: str, folder: Path) -> float:
    command = [PEERS, Path(__file__).with_name("bare_group_by.py"), library, folder]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


if __name__ == "__main__":
    little_memory(sys.argv[1])
