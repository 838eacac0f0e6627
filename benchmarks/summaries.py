"""Daily summaries of many events, beside the least that DuckDB could do: a bare group-by of person, day and kind.

Ours are every window's, as the asset counts them: duplicates out, people by id, wrong ids apart, a revision of all that
a Task shows, in the bridge's time zone. What a Task lists is read once more where one is to be written; that is not in
it. The floor, pandas and polars only count, with the first and the last moment. Two kinds of events: nearly one of a
person and day (worst), and five (typical). Seconds are the best of the rounds, in which the contestants take turns. On
a machine that has other things to do, those of the processor say more.
"""

import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import perf_counter, process_time
from zoneinfo import ZoneInfo

import duckdb

from benchmarks.calls import PEERS_PYTHON
from benchmarks.commands import run
from benchmarks.rows import Row
from writeback_pipeline.activity.database import event_database
from writeback_pipeline.activity.source import MailingEvents
from writeback_pipeline.activity.summaries import summarise
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, window_named, windows_between
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS

PROJECT = Path(__file__).parents[1]
GENERATOR = PROJECT / "data" / "sample" / "generate_mailing_activity.py"
DAYS, FIRST, ONE = 42, "2026-10-12", "2026-10-20"
EVENTS, LONG_EVENTS = 10_000_000, 100_000_000
PER_PERSON_AND_DAY = {"worst": 1.0, "typical": 5.0}
ROUNDS = 2
"""Of the floor and of ours; the others are further away, and have one."""

WITHIN = 1.5
READ_WITHIN = 2.0
"""What may be read for a day, beside its own files: once for the ids of the events, once for the events."""

LEAST_MEMORY, ENOUGH_MEMORY, MEGABYTES = "128MB", "4GB", 400
"""A limit that a week's events exceed, one that they do not, and what the process may take with Python, DuckDB and
pyarrow in it."""

FLOOR, OURS, ZONED = "bare group-by by DuckDB, the floor", "ours, UTC", "ours, America/New_York"
PEER = "bare group-by by {}"

Took = tuple[float, float]
"""Seconds, and those of the processor."""


def rows(*, long: bool) -> Iterator[Row]:
    """Each kind of events at each size; then one day alone, and a week's with little memory."""
    for events in (EVENTS, LONG_EVENTS) if long else (EVENTS,):
        for label, density in PER_PERSON_AND_DAY.items():
            yield from _contest(f"{events:,} events, {label}", made(events, density))
    yield _one_day(made(EVENTS, PER_PERSON_AND_DAY["typical"]))
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


def _contest(label: str, folder: Path) -> Iterator[Row]:
    contestants: dict[str, Callable[[], Took]] = {
        FLOOR: lambda: _timed(lambda: floor(folder)),
        OURS: lambda: _timed(lambda: ours(folder, "UTC")),
        ZONED: lambda: _timed(lambda: ours(folder, "America/New_York")),
    }
    took = {name: [contestant()] for name, contestant in contestants.items()}
    took |= {PEER.format(peer): [_by_peer(peer, folder)] for peer in ("pandas", "polars")}
    for _ in range(ROUNDS - 1):
        for name, contestant in contestants.items():
            took[name].append(contestant())
    for which, unit in enumerate(("s", "s of the processor")):
        best = {name: min(each[which] for each in rounds) for name, rounds in took.items()}
        least = best[FLOOR]
        for name, figure in best.items():
            limit = WITHIN * least if name in (OURS, ZONED) else None
            yield Row(f"{label}: {name}", figure, f"{unit} for {label}", limit, least, name)
        for peer in ("pandas", "polars"):
            theirs = best[PEER.format(peer)]
            yield Row(f"{label}: {OURS}, beside {peer} that only counts", best[OURS], unit, theirs, theirs)


def _one_day(folder: Path) -> Row:
    """What the system handed over while one day was counted, its neighbours' footers included."""
    own = sum(file.stat().st_size for file in folder.glob(f"date={ONE}/*"))
    before = _bytes_read()
    ours(folder, "UTC", first=ONE, days=1)
    read = _bytes_read() - before
    name = f"one day of {DAYS}: read, beside the size of its own files"
    return Row(name, read / 2**20, "MB", READ_WITHIN * own / 2**20, own / 2**20)


def _bytes_read() -> int:
    (line,) = (line for line in Path("/proc/self/io").read_text().splitlines() if line.startswith("rchar"))
    return int(line.split()[1])


def _bounded(folder: Path) -> Iterator[Row]:
    ran, plenty = (
        run([sys.executable, "-m", "benchmarks.summaries", str(folder), limit], {})
        for limit in (LEAST_MEMORY, ENOUGH_MEMORY)
    )
    (events, spilled, found), (_, _, expected) = (map(int, each.output.split()) for each in (ran, plenty))
    what = f"a week of {events:,} events with a memory limit of {LEAST_MEMORY}"
    yield Row(f"{what}: peak memory of the process", ran.megabytes, "MB", MEGABYTES, plenty.megabytes)
    yield Row(f"{what}: spilled to disk", spilled / 2**20, "MB")
    yield Row(f"{what}: revisions other than with {ENOUGH_MEMORY}", int(found != expected), "", 0)


def floor(folder: Path) -> None:
    """The bare group-by."""
    with duckdb.connect() as database:
        database.execute(
            "CREATE TEMP TABLE counted AS SELECT salesforce_id, occurred_at::DATE AS day, kind, count(*) AS events, "
            "min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM read_parquet($files) GROUP BY ALL",
            {"files": f"{folder}/*/*.parquet"},
        )


def ours(folder: Path, zone: str, *, first: str = FIRST, days: int = DAYS) -> None:
    """Every window of the days, one after the other, as the asset counts them."""
    calendar = Calendar(Occurrence.DAILY, ZoneInfo(zone))
    begin = window_named(first, calendar)
    last = window_named((begin.first_day + timedelta(days=days - 1)).isoformat(), calendar)
    windows = windows_between(begin, last, calendar)
    for _ in MailingEvents(str(folder)).counted_each(windows, Presentation("Informz", calendar.zone)):
        pass


def a_week(folder: str, memory_limit: str) -> None:
    """Count a week with so much memory and read every revision; prints its events, the bytes that were spilled, and a
    number that is another one if any revision is."""
    calendar = Calendar(Occurrence.WEEKLY, ZoneInfo("UTC"))
    week, presentation = window_named(FIRST, calendar), Presentation("Informz", calendar.zone)
    with event_database(memory_limit) as database, summarise(database, folder, week, presentation) as counted:
        total = sum(
            zlib.crc32(f"{key} {revision}".encode())
            for kind in ACTIVITY_KINDS
            for key, revision in counted.revisions(kind)
        )
        (spilled,) = database.execute("SELECT coalesce(sum(size), 0) FROM duckdb_temporary_files()").fetchone() or (0,)
        print(counted.totals.events_read, int(spilled), total)


def _timed(contestant: Callable[[], None]) -> Took:
    started, processor = perf_counter(), process_time()
    contestant()
    return perf_counter() - started, process_time() - processor


def _by_peer(library: str, folder: Path) -> Took:
    command = [str(each) for each in (PEERS_PYTHON, Path(__file__).with_name("bare_group_by.py"), library, folder)]
    seconds, processor = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(seconds), float(processor)


if __name__ == "__main__":
    a_week(*sys.argv[1:])
