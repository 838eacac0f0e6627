"""From a queued unsubscribe to the flag in Salesforce, by sensor, daemon and run; beside an empty job by the same way.

Each has a daemon of its own as in `make dev`, its sensors every 5 seconds, on instances of the same configuration; they
take turns, at any moment of that time. The floor is a sensor that finds a file and a job that does nothing
(`empty_location`). How long a tick of the sensor is waited for is chance, up to ten seconds of it, and Dagster's alone:
the p50 of both has the middle of all those waits in it. The sensor has asked when there is a run; that is launched when
Dagster has asked for its process, imported when the run itself begins; it has looked when its first intent is in the
journal.
"""

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from benchmarks.calls import unsubscribes
from benchmarks.commands import variables_of
from benchmarks.organisation import FILE, Served, people, served
from benchmarks.rows import Row
from writeback_pipeline.commands.dagster_home import PROJECT, use_dagster_home
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.environment import read_environment
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline.store.store import Store

SAMPLES, LONG_SAMPLES = 4, 30
POLL_SECONDS = 5
WITHIN = 1.3
PATIENCE = 300.0
TICKS = 20
"""Of each sensor the latest, among which is the one that asked for the run."""

PARTS = ("wait for the tick", "sensor", "launch", "import", "look", "send")

Sample = list[float]
"""Seconds of each of the PARTS, one after the other; an empty job has nothing to send."""


def rows(*, long: bool) -> Iterator[Row]:
    """All of it, then its parts."""
    number = LONG_SAMPLES if long else SAMPLES
    floor, ours = _taken(number)
    wait = statistics.median(sample[0] for sample in (*floor, *ours))
    least, took = (wait + statistics.median(sum(sample[1:]) for sample in samples) for samples in (floor, ours))
    yield Row(f"an empty job, p50 of {number}", least, "s")
    yield Row(f"queued to flag true, p50 of {number}", took, "s", WITHIN * least, least)
    least, took = (_quantile([sum(sample) for sample in samples], 0.95) for samples in (floor, ours))
    yield Row(f"an empty job, p95 of {number}, each with its own wait", least, "s")
    yield Row(f"queued to flag true, p95 of {number}, each with its own wait", took, "s", None, least)
    for part, of_floor, of_ours in zip(PARTS, zip(*floor, strict=True), zip(*ours, strict=True), strict=True):
        took = statistics.median(of_ours)
        yield Row(f"{part}, p50 of {number}", took, "s for a part", None, statistics.median(of_floor), series=part)


def _taken(number: int) -> tuple[list[Sample], list[Sample]]:
    """That many samples of the floor and of ours, in turns; the first of each waits for its daemon and is left out."""
    with (
        TemporaryDirectory() as empty,
        TemporaryDirectory() as home,
        served(Path(home), number + 1) as organisation,
        _empty_job(Path(empty)) as floor,
        _deliveries(organisation, number + 1) as ours,
    ):
        taken: tuple[list[Sample], list[Sample]] = ([], [])
        for _ in range(number + 1):
            for samples, once in zip(taken, (floor, ours), strict=True):
                time.sleep(random.uniform(0, POLL_SECONDS))
                samples.append(once())
        return taken[0][1:], taken[1][1:]


@contextmanager
def _empty_job(folder: Path) -> Iterator[Callable[[], Sample]]:
    asked, done = folder / "asked", folder / "done"
    variables = _variables(folder) | {"EMPTY_ASKED": str(asked), "EMPTY_DONE": str(done)}

    def once() -> Sample:
        begun = time.time()
        asked.touch()
        ended = _until(done.exists)
        done.unlink()
        return _between(begun, *_run(variables, None), ended, ended)

    with _daemon(variables, ["-m", "benchmarks.empty_location"]):
        yield once


@contextmanager
def _deliveries(organisation: Served, number: int) -> Iterator[Callable[[], Sample]]:
    home = organisation.home
    ours = _variables(home)
    variables = ours | organisation.variables() | {"DAGSTER_HOME": ours["DAGSTER_HOME"]}
    salesforce, store = open_org(home / FILE), Store(home / "writebacks.duckdb")
    left = iter(people(number))

    def once() -> Sample:
        person, begun = next(left), time.time()
        unsubscribes(home, [person])

        def flagged() -> bool:
            with salesforce.connection() as connection:
                question = "SELECT HasOptedOutOfEmail FROM Contact WHERE Id = ?"
                return bool(connection.execute(question, (person,)).fetchone()[0])

        ended = _until(flagged)
        (writeback,) = store.writebacks(WritebackFilter(person=person))
        intended = min(attempt.intent.intent_at for attempt in store.attempts_of([writeback.id]))
        return _between(begun, *_run(variables, writeback.run_id), intended.timestamp(), ended)

    with _daemon(variables, ["-w", str(PROJECT / "workspace.yaml")]):
        yield once


def _between(*moments: float) -> Sample:
    return [after - before for before, after in pairwise(moments)]


def _run(variables: Mapping[str, str], run_id: str | None) -> tuple[float, float, float, float]:
    """When the tick began that asked for a run, or else for Dagster's latest, and when that was asked for, launched and
    begun."""
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        chosen = dg.RunsFilter(run_ids=[run_id]) if run_id else None
        (record,) = instance.get_run_records(chosen, limit=1)
        run_id = record.dagster_run.run_id
        (launched,) = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.PIPELINE_STARTING).records
        ticked = max(
            tick.timestamp
            for state in instance.all_instigator_state()
            for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=TICKS)
            if run_id in tick.run_ids
        )
    assert record.start_time is not None
    return ticked, record.create_timestamp.timestamp(), launched.timestamp, record.start_time


def _until(there: Callable[[], bool]) -> float:
    """When it was there."""
    patience = time.monotonic() + PATIENCE
    while not there():
        if time.monotonic() > patience:
            raise TimeoutError("nothing happened")
        time.sleep(0.02)
    return time.time()


@contextmanager
def _daemon(variables: Mapping[str, str], location: list[str]) -> Iterator[None]:
    make = "from writeback_pipeline.commands.runs import open_instance\nwith open_instance(): pass"
    subprocess.run([sys.executable, "-c", make], env=dict(variables), check=True)
    daemon = str(Path(sys.executable).with_name("dagster-daemon"))
    process = subprocess.Popen(
        [daemon, "run", *location], cwd=PROJECT, env=dict(variables), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _variables(home: Path) -> dict[str, str]:
    """The environment of an instance that lies in the home."""
    variables = variables_of(home) | {"WRITEBACK_POLL_SECONDS": str(POLL_SECONDS), "PYTHONPATH": str(PROJECT)}
    use_dagster_home(read_environment(variables), variables)
    return variables


def _quantile(values: list[float], quantile: float) -> float:
    return sorted(values)[min(len(values) - 1, int(quantile * len(values)))]
