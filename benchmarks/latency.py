"""From a queued unsubscribe to the flag in Salesforce, by sensor, daemon and run; beside an empty job by the same way.

The daemon runs as in `make dev`, its sensors every 5 seconds; changes come at any moment of that time. The floor is a
sensor that finds a file and a job that does nothing (`empty_location`), on an instance of the same configuration.
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
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from benchmarks.calls import unsubscribes
from benchmarks.organisation import FILE, people, served
from benchmarks.rows import Row
from writeback_pipeline.commands.dagster_home import PROJECT, use_dagster_home
from writeback_pipeline.environment import read_environment
from writeback_pipeline.local_org.state import open_org

SAMPLES, LONG_SAMPLES = 4, 30
POLL_SECONDS = 5
WITHIN = 1.3
PATIENCE = 300.0
PARTS = ("wait for the tick", "launch and import", "in the run")

Sample = tuple[float, float, float]
"""Seconds of each of the PARTS."""


def rows(*, long: bool) -> Iterator[Row]:
    """The floor, then ours."""
    samples = LONG_SAMPLES if long else SAMPLES
    floor, ours = _floor(samples), _ours(samples)
    for name, quantile in (("p50", 0.5), ("p95", 0.95)):
        least = _quantile([sum(sample) for sample in floor], quantile)
        took = _quantile([sum(sample) for sample in ours], quantile)
        yield Row(f"an empty job, {name} of {samples}", least, "s")
        limit = WITHIN * least if name == "p50" else None
        yield Row(f"queued to flag true, {name} of {samples}", took, "s", limit, least)
    for position, part in enumerate(PARTS):
        least = statistics.median(sample[position] for sample in floor)
        yield Row(f"{part}, p50", statistics.median(sample[position] for sample in ours), "s", None, least)


def _floor(samples: int) -> list[Sample]:
    with TemporaryDirectory() as folder:
        asked, done = Path(folder) / "asked", Path(folder) / "done"
        variables = _variables(Path(folder)) | {"EMPTY_ASKED": str(asked), "EMPTY_DONE": str(done)}

        def once() -> Sample:
            begun = time.time()
            asked.touch()
            ended = _until(done.exists)
            done.unlink()
            return _parts(variables, begun, ended)

        with _daemon(variables, ["-m", "benchmarks.empty_location"]):
            return _sampled(samples, once)


def _ours(samples: int) -> list[Sample]:
    everybody = people(samples + 1)
    with TemporaryDirectory() as folder, served(Path(folder), len(everybody)) as organisation:
        variables = _variables(Path(folder)) | organisation.variables()
        variables["DAGSTER_HOME"] = _variables(Path(folder))["DAGSTER_HOME"]
        salesforce = open_org(Path(folder) / FILE)
        left = iter(everybody)

        def once() -> Sample:
            person, begun = next(left), time.time()
            unsubscribes(organisation.home, [person])

            def flagged() -> bool:
                with salesforce.connection() as connection:
                    question = "SELECT HasOptedOutOfEmail FROM Contact WHERE Id = ?"
                    return bool(connection.execute(question, (person,)).fetchone()[0])

            return _parts(variables, begun, _until(flagged))

        with _daemon(variables, ["-w", str(PROJECT / "workspace.yaml")]):
            return _sampled(samples, once)


def _sampled(samples: int, once: Callable[[], Sample]) -> list[Sample]:
    once()  # the first waits for the daemon, and looks at the organisation's set-up
    taken = []
    for _ in range(samples):
        time.sleep(2 + random.uniform(0, POLL_SECONDS))
        taken.append(once())
    return taken


def _parts(variables: Mapping[str, str], begun: float, ended: float) -> Sample:
    """How the time divides, by what Dagster recorded of its latest run."""
    with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
        (record,) = instance.get_run_records(limit=1)
    created, started = record.create_timestamp.timestamp(), record.start_time or ended
    return created - begun, started - created, ended - started


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
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
    variables = kept | {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": "", "WRITEBACK_ACTIVITY": ""}
    variables |= {"WRITEBACK_POLL_SECONDS": str(POLL_SECONDS), "PYTHONPATH": str(PROJECT)}
    use_dagster_home(read_environment(variables), variables)
    return variables


def _quantile(values: list[float], quantile: float) -> float:
    return sorted(values)[min(len(values) - 1, int(quantile * len(values)))]
