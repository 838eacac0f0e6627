"""Five bridges in one real Dagster, by the workspace that the command line writes: a daemon, a code server each.

Two are well, their ledgers in two schemas of one PostgreSQL database; one's organisation answers 503 for ever, one's
refuses the login, the code location of one does not load. Nothing of that must matter to the others.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from writeback_pipeline.bridges import read_bridges
from writeback_pipeline.commands.bridges import workspace_text
from writeback_pipeline.commands.dagster_home import PROJECT, use_dagster_home
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.environment import read_environment
from writeback_pipeline_tests.ledgers import location
from writeback_pipeline_tests.world import World, world_in

pytestmark = pytest.mark.timeout(1_200)  # everything at once, on whatever machine

WELL = ("north", "south")
ILL = ("down", "refused")
NAMES = (*WELL, *ILL, "unloadable")
CHANGES = 3


@dataclass
class Installation:
    """One Dagster, and the worlds of its bridges by name."""

    worlds: dict[str, World]
    people: dict[str, list[str]]
    instance: dg.DagsterInstance
    daemon: "subprocess.Popen[bytes]"
    log: Path

    def wait(self, reached: Callable[[], object], what: str, seconds: float = 500) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert self.daemon.poll() is None, self.log.read_text()[-3_000:]
            assert time.monotonic() < deadline, f"not reached: {what}; {self.log.read_text()[-3_000:]}"
            time.sleep(0.5)

    def wait_for_a_run(self, bridge: str, status: dg.DagsterRunStatus) -> None:
        only = dg.RunsFilter(job_name="deliver_opt_outs", statuses=[status], tags={"writebacks/bridge": bridge})
        self.wait(lambda: self.instance.get_run_records(only), f"a run of {bridge} has ended as {status.value}")

    def why_failed(self, bridge: str) -> str:
        """What its failed runs say of why."""
        only = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={"writebacks/bridge": bridge})
        failures = (
            entry.get_dagster_event().step_failure_data
            for run in self.instance.get_runs(only)
            for entry in self.instance.all_logs(run.run_id, dg.DagsterEventType.STEP_FAILURE)
        )
        return "\n".join(failure.error_display_string for failure in failures)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    (home / "bridges.toml").write_text("".join(f'[[bridge]]\nname = "{name}"\n' for name in NAMES))
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
    variables |= {"WRITEBACK_HOME": str(home), "WRITEBACK_POLL_SECONDS": "2", "PYTHONPATH": str(PROJECT)}
    with ExitStack() as stack:
        worlds = {}
        for name in NAMES:
            folder = home / "bridges" / name
            folder.mkdir(parents=True)
            worlds[name] = stack.enter_context(
                world_in(folder, location(folder, "postgresql") if name in WELL else None)
            )
            variables |= {
                f"{name.upper()}_SALESFORCE_URL": worlds[name].url,
                f"{name.upper()}_SALESFORCE_CLIENT_ID": "local",
                f"{name.upper()}_SALESFORCE_CLIENT_SECRET": "local",
                f"{name.upper()}_WRITEBACK_DATABASE": worlds[name].database,
            }
        variables["REFUSED_SALESFORCE_CLIENT_SECRET"] = "of another app"
        variables["UNLOADABLE_WRITEBACK_DATABASE"] = "mysql://nowhere/db"
        worlds["down"].fault("unavailable")
        people = {name: [world.contact() for _ in range(CHANGES)] for name, world in worlds.items()}
        for name, world in worlds.items():
            world.clock.at = datetime.now(UTC)
            world.unsubscribe_all(people[name])
        folder = use_dagster_home(read_environment(variables), variables)
        workspace = home / "workspace.yaml"
        workspace.write_text(workspace_text(read_bridges(variables)))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(folder)))
        log = home / "daemon.log"
        with log.open("wb") as output:
            command = [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", str(workspace)]
            daemon = subprocess.Popen(command, env=variables, stdout=output, stderr=output, start_new_session=True)
        try:
            yield Installation(worlds, people, instance, daemon, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(daemon.pid, signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(daemon.pid, signal.SIGKILL)
                daemon.wait()


@pytest.fixture(scope="module")
def delivered(installation: Installation) -> Installation:
    """Those who are well have delivered; the others had their chance, too."""
    for name in WELL:
        installation.wait_for_a_run(name, dg.DagsterRunStatus.SUCCESS)
    for name in ILL:
        installation.wait_for_a_run(name, dg.DagsterRunStatus.FAILURE)
    return installation


def test_each_delivers_into_its_own_organisation(delivered: Installation) -> None:
    for name in WELL:
        world = delivered.worlds[name]
        assert [len(world.notes(person)) for person in delivered.people[name]] == [1] * CHANGES
        assert all(world.opted_out(person) for person in delivered.people[name])
        rows = world.ledger.writebacks(WritebackFilter())
        assert [row.status for row in rows] == [Status.WRITTEN] * CHANGES
        (run_id,) = {row.run_id for row in rows}
        run = delivered.instance.get_run_by_id(run_id or "")
        assert run is not None
        assert run.tags["writebacks/bridge"] == run.tags["dagster/code_location"] == name
        shown = delivered.instance.get_latest_materialization_event(dg.AssetKey([name, "opt_out_writebacks"]))
        assert shown is not None
        assert shown.run_id == run_id


@pytest.mark.parametrize(("name", "told"), [("down", "503"), ("refused", "The login was refused")])
def test_one_that_cannot_write_owes_everything_and_tells_why(delivered: Installation, name: str, told: str) -> None:
    world = delivered.worlds[name]
    assert world.ledger.depth().owed == CHANGES
    assert not any(world.notes(person) for person in delivered.people[name])
    assert told in delivered.why_failed(name)
    assert "of another app" not in delivered.log.read_text()


def test_the_one_that_does_not_load_says_why(delivered: Installation) -> None:
    assert (
        "WRITEBACK_DATABASE must be the path of a DuckDB file or begin with postgresql://" in delivered.log.read_text()
    )


LOAD = """
import sys
sys.argv = sys.argv[1:]
from writeback_pipeline import code_locations
print([getattr(code_locations, name).resources["salesforce"].url for name in ("north", "south")])
"""
SEEN = """
import os, sys
sys.argv = sys.argv[1:]
from writeback_pipeline import code_locations
print(code_locations.north.resources["salesforce"].url)
print(sorted(name for name in os.environ if "SALESFORCE" in name))
"""
VARIABLES = {"NORTH_SALESFORCE_URL": "https://north.example", "SOUTH_SALESFORCE_URL": "https://south.example"}


def _python(home: Path, code: str, *arguments: str) -> str:
    (home / "bridges.toml").write_text('[[bridge]]\nname = "north"\n[[bridge]]\nname = "south"\n')
    variables = os.environ | VARIABLES | {"WRITEBACK_HOME": str(home)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=variables, cwd=PROJECT, capture_output=True, text=True, check=True).stdout


def test_a_code_server_keeps_no_variable_of_another_bridge(tmp_path: Path) -> None:
    told = _python(tmp_path, SEEN, "dagster", "api", "grpc")
    assert told.splitlines() == ["https://north.example", "['NORTH_SALESFORCE_URL', 'SALESFORCE_URL']"]


def test_a_worker_that_serves_several_bridges_gives_each_its_own(tmp_path: Path) -> None:
    told = _python(tmp_path, LOAD, "celery", "worker")
    assert told.strip() == "['https://north.example', 'https://south.example']"
