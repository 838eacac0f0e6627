"""API calls for 1,000 people, by how many there are: ours, other clients', and the least that the interface allows.

Ours are those of a delivery by `writebacks run`, looks included; the organisation counts them, every client's alike.
Deliveries of 10,000 people or more go by Bulk, as they do by default; the organisation is near. The least are writes
alone, by composite calls of 1,000 rows or by a Bulk job for each object.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
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

PEERS_PYTHON = Path(__file__).parents[1] / "build" / "bench" / "bin" / "python"
"""The environment that other clients are installed in."""

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
PEERS = {
    "simple-salesforce loop": SIZES[:3],
    "simple-salesforce collections": SIZES[:5],
    "aio-sf": SIZES[:5],
    "simple-salesforce bulk2": SIZES[2:],
    "kinetic-core": SIZES[2:],
    "drt-core": SIZES[2:],
}
"""Of how many each client does it: a loop makes as many calls for a thousand, however many there are, and so do
collections from 1,000 on; of a Bulk job nobody would think for fewer."""

SHORT_PEERS = {
    "simple-salesforce loop": (10,),
    "simple-salesforce collections": (1_000, 10_000),
    "aio-sf": (1_000, 10_000),
    "simple-salesforce bulk2": (10_000,),
    "kinetic-core": (10_000,),
    "drt-core": (10_000,),
}

Sizes = Sequence[int]
LONG: Mapping[str, tuple[Sizes, Mapping[str, Sizes]]] = {"unsubscribes": (SIZES, PEERS), "Tasks": (SIZES, PEERS)}
SHORT: Mapping[str, tuple[Sizes, Mapping[str, Sizes]]] = {
    "unsubscribes": ((1_000, 10_000, 100_000), SHORT_PEERS),
    "Tasks": ((10_000,), {}),
}
"""Of how many ours are made, and by which other clients of how many."""

AT_MOST = {"unsubscribes": {1_000: 3.0, 10_000: 2.2, 100_000: 0.4}, "Tasks": {10_000: 1.2}}
"""The most calls for 1,000, by how many there are."""

WITHIN = 1.5
"""What the memory of 100,000 may be of that of 10,000, by Bulk both."""

SET_UP = 3
"""Calls of the look at the organisation's set-up, once a day; they are not counted."""


def rows(*, long: bool) -> Iterator[Row]:
    """Unsubscribes, then Tasks."""
    for each, (sizes, peers) in (LONG if long else SHORT).items():
        yield from _least(each, sizes)
        yield from _our_unsubscribes(sizes) if each == "unsubscribes" else _our_tasks(sizes)
        for client, of_client in peers.items():
            yield from _peer(client, each, of_client)


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
        [PEERS_PYTHON, Path(__file__).with_name("peers.py"), client, work],
        input=json.dumps(told), env={**os.environ, "REQUESTS_CA_BUNDLE": str(organisation.certificate)},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    made = [after - earlier for earlier, after in zip(before, organisation.written(), strict=True)]
    assert made == ([len(of), len(of), 0] if work == "unsubscribe" else [0, 0, len(of)]), (client, made)
    return float(done.stdout)


def _row(each: str, size: int, name: str, calls: int) -> Row:
    at_most = AT_MOST[each].get(size) if name == "ours" else None
    return Row(f"{size:,} {each}, {name}", 1_000 * calls / size, f"calls for 1,000 {each}", at_most, None, name, size)


def _least(each: str, sizes: Sequence[int]) -> Iterator[Row]:
    """Writes alone: 1,000 rows a composite call, or a Bulk job of four calls for each object."""
    objects = 2 if each == "unsubscribes" else 1
    for size in sizes:
        yield _row(each, size, "least", min(ceil(objects * ceil(size / 200) / 5), objects * 4))


def _our_unsubscribes(sizes: Sequence[int]) -> Iterator[Row]:
    """One delivery after the other, each of people of its own: its calls, and what it took."""
    everybody, begin, megabytes = people(sum(sizes)), 0, dict[int, int]()
    with TemporaryDirectory() as folder, served(Path(folder), len(everybody)) as organisation:
        for size in sizes:
            unsubscribes(organisation.home, everybody[begin : begin + size])
            begin, before = begin + size, organisation.calls()
            ran = run([WRITEBACKS, "run", "opt-outs", "--format", "json"], organisation.variables())
            assert organisation.written() == (begin, begin, 0)
            yield _row("unsubscribes", size, "ours", organisation.calls() - before - (0 if before else SET_UP))
            yield Row(f"{size:,} unsubscribes, the delivery", ran.logged("delivered"), "s")
            megabytes[size] = ran.megabytes
            few = megabytes[10_000] if size == 100_000 else None
            yield Row(f"{size:,} unsubscribes, peak memory", ran.megabytes, "MB", few and WITHIN * few, few)


def _our_tasks(sizes: Sequence[int]) -> Iterator[Row]:
    for size in sizes:
        with TemporaryDirectory() as folder, served(Path(folder), size) as organisation:
            add_mailing(organisation.home, size, 0)
            command = [WRITEBACKS, "run", "activity", "--from", f"{DAY.date()}", "--kind", "sent", "--format", "json"]
            run(command, organisation.variables())
            assert organisation.written() == (0, 0, size)
            first = organisation.calls()
            yield _row("Tasks", size, "ours", first)
            run(command, organisation.variables())
            again = organisation.calls() - first
            yield Row(f"{size:,} Tasks, ours, unchanged", 1_000 * again / size, "calls for 1,000 Tasks", limit=0)


def _peer(client: str, each: str, sizes: Sequence[int]) -> Iterator[Row]:
    everybody, begin = people(sum(sizes)), 0
    with TemporaryDirectory() as folder, served(Path(folder), len(everybody)) as organisation:
        for size in sizes:
            before = organisation.calls()
            of = everybody[begin : begin + size]
            work_of_peer(organisation, client, "unsubscribe" if each == "unsubscribes" else "task", of)
            begin += size
            yield _row(each, size, client, organisation.calls() - before)
