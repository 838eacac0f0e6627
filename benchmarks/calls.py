"""API calls for 1,000 people, by how many there are: ours, other clients', and the least that the interface allows.

Ours are those of a delivery by `writebacks run`, looks included; the organisation counts them, every client's alike.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.commands import WRITEBACKS, run
from benchmarks.mailings import DAY, add_mailing
from benchmarks.organisation import Served, people, served
from benchmarks.rows import Row
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline.store.store import Store

PEERS = Path(__file__).parents[1] / "build" / "bench" / "bin" / "python"
"""The environment that other clients are installed in."""

SIZES = (10, 1_000, 10_000)
LONG_SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
LONGEST_LOOP = 1_000
"""A loop makes as many calls for a thousand, however many there are: larger ones are computed."""

COLLECTIONS = ("simple-salesforce loop", "simple-salesforce collections", "aio-sf")
BULK = ("simple-salesforce bulk2", "kinetic-core", "drt-core")
FROM_BULK, LONG_FROM_BULK = 10_000, 1_000
"""People from which a user would think of Bulk jobs."""

UNSUBSCRIBES = {1_000: 3.0, 10_000: 2.2, 100_000: 0.4}
"""The most calls for 1,000, by how many there are."""

TASKS = {10_000: 1.2}
BY_BULK = 100_000


def rows(*, long: bool) -> Iterator[Row]:
    """Unsubscribes, then Tasks."""
    sizes = LONG_SIZES if long else SIZES
    for work, limits in (("unsubscribe", UNSUBSCRIBES), ("task", TASKS)):
        each = "unsubscribes" if work == "unsubscribe" else "Tasks"
        unit = f"calls for 1,000 {each}"
        yield from _least(work, each, unit, sizes)
        ours = _our_unsubscribes(sizes) if work == "unsubscribe" else _our_tasks(sizes)
        for name, size, calls in ours:
            limit = limits.get(size) if name == "ours" else 0 if name == "ours, unchanged" else None
            yield _row(f"{size:,} {each}, {name}", calls, size, unit, "ours" if name == "ours" else "", limit)
        for client, size, calls in _peers(work, sizes, LONG_FROM_BULK if long else FROM_BULK):
            yield _row(f"{size:,} {each}, {client}", calls, size, unit, client)


def unsubscribes(home: Path, of: Sequence[str]) -> None:
    """Queue one of each of them."""
    now = datetime.now(UTC)
    changes = [Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, now, reason="Too many e-mails") for person in of]
    Store(home / "writebacks.duckdb").enqueue(changes, now)


def work_of_peer(organisation: Served, client: str, work: str, of: Sequence[str]) -> float:
    """Have another client do it; the seconds that it took. An error where it was not done."""
    told = {
        "address": organisation.address, "secure": organisation.secure, "token": organisation.token(), "people": of,
    }  # fmt: skip
    before = organisation.written()
    done = subprocess.run(
        [PEERS, Path(__file__).with_name("peers.py"), client, work],
        input=json.dumps(told), env={**os.environ, "REQUESTS_CA_BUNDLE": str(organisation.certificate)},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    made = [after - earlier for earlier, after in zip(before, organisation.written(), strict=True)]
    assert made == ([len(of), len(of), 0] if work == "unsubscribe" else [0, 0, len(of)]), (client, made)
    return float(done.stdout)


def _row(name: str, calls: int, size: int, unit: str, series: str, limit: float | None = None) -> Row:
    return Row(name, 1_000 * calls / size, unit, limit=limit, series=series, size=size if series else None)


def _least(work: str, each: str, unit: str, sizes: Sequence[int]) -> Iterator[Row]:
    """Writes alone: 1,000 rows a composite call, or a Bulk job of four calls for each object."""
    objects = 2 if work == "unsubscribe" else 1
    for size in sizes:
        calls = min(ceil(objects * ceil(size / 200) / 5), objects * 4)
        yield _row(f"{size:,} {each}, the least that writes take", calls, size, unit, "least")


def _our_unsubscribes(sizes: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    everybody = people(1 + sum(sizes))
    with TemporaryDirectory() as folder, served(Path(folder), len(everybody)) as organisation:
        command = [WRITEBACKS, "run", "opt-outs", "--format", "json"]
        unsubscribes(organisation.home, everybody[:1])
        run(command, organisation.variables())  # with a look at the organisation's set-up, once a day: three calls
        begin = 1
        for size in sizes:
            unsubscribes(organisation.home, everybody[begin : begin + size])
            begin, before = begin + size, organisation.calls()
            run(command, organisation.variables())
            assert organisation.written() == (begin, begin, 0)
            yield "ours", size, organisation.calls() - before


def _our_tasks(sizes: Sequence[int]) -> Iterator[tuple[str, int, int]]:
    for size in sizes:
        with TemporaryDirectory() as folder, served(Path(folder), size) as organisation:
            add_mailing(organisation.home, size, 0)
            command = [WRITEBACKS, "run", "activity", "--from", f"{DAY.date()}", "--kind", "sent", "--format", "json"]
            run(command, organisation.variables())
            assert organisation.written() == (0, 0, size)
            first = organisation.calls()
            yield "ours", size, first
            run(command, organisation.variables())
            yield "ours, unchanged", size, organisation.calls() - first


def _peers(work: str, sizes: Sequence[int], from_bulk: int) -> Iterator[tuple[str, int, int]]:
    for client in (*COLLECTIONS, *BULK):
        for size in sizes:
            if client in BULK and size < from_bulk:
                continue
            if client == COLLECTIONS[0] and size > LONGEST_LOOP:
                continue
            with TemporaryDirectory() as folder, served(Path(folder), size) as organisation:
                work_of_peer(organisation, client, work, people(size))
                yield client, size, organisation.calls()
