"""A host that dies in mid run with everything on it: what comes after goes on without waiting for its run record."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.definitions import PlatformDatabase
from writeback_pipeline.defs import sensors
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.ledger import LEASE, QUIET
from writeback_pipeline.environment import read_environment
from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.ledgers import kind_of
from writeback_pipeline_tests.torture import tell
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.truth import Platform
from writeback_pipeline_tests.world import World

TICK = timedelta(seconds=30)
"""How often the queue is looked at."""

LONGEST_START = 120.0
WRITEBACKS = Path(sys.executable).parent / "writebacks"

MOMENTS = {"looking": "/composite/sobjects/", "writing": "/composite$"}
"""What the host was doing, and the path of the call in which it died."""


@pytest.fixture
def variables(world: World) -> dict[str, str]:
    """The environment of every process of that home."""
    ours = world.variables
    use_dagster_home(read_environment(ours), ours)
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))
    } | ours


@pytest.fixture
def instance(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance that survives the host."""
    for name in ("DAGSTER_HOME", "WRITEBACK_HOME", "WRITEBACK_DATABASE"):
        monkeypatch.setenv(name, variables[name])
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_host_that_dies_in_mid_run_holds_its_people_up_for_a_lease_and_a_tick_at_most(
    world: World, variables: dict[str, str], request: pytest.FixtureRequest, moment: str
) -> None:
    world.clock.at = datetime.now(UTC)
    platform = Platform()
    story = Story(random.Random(1), [world.contact() for _ in range(20)])
    platform.queue(world.ledger, story.goes_on(30, world.clock()), world.clock())
    with world.inside.connection() as connection:
        armed = faults.arm(connection, "slow", path=MOMENTS[moment], method="POST", seconds=600, times=1)
        _kill_once(lambda: faults.remaining(connection, armed) == 0, variables)
    instance = request.getfixturevalue("instance")
    (record,) = instance.get_run_records()
    assert record.dagster_run.status is dg.DagsterRunStatus.STARTED  # nobody was left to say otherwise

    world.clock.at = lost_at = datetime.now(UTC)
    platform.queue(world.ledger, story.goes_on(10, world.clock()), world.clock())
    while not _tick(world, instance, request.getfixturevalue("monkeypatch")):
        world.clock.advance(TICK)
        assert world.clock() - lost_at <= LEASE + TICK, "a run record is waited for"
    resumed_after = world.clock() - lost_at
    OptOutDelivery(world.ledger, world.organisation, world.clock).run()
    assert not platform.judge(world.ledger, world.inside).stale
    world.clock.advance(LEASE + QUIET)
    OptOutDelivery(world.ledger, world.organisation, world.clock).run()
    verdict = platform.judge(world.ledger, world.inside)
    where = f"{moment}, ledger in {kind_of(world.database)}"
    tell(f"host lost while {where}: resumed after {resumed_after.total_seconds():.0f} s of 210; {verdict}")
    assert verdict.clean, verdict


def _kill_once(reached: Callable[[], bool], variables: dict[str, str]) -> None:
    """Start a run in a process group of its own and kill the whole group at that moment."""
    command = [str(WRITEBACKS), "run", "opt-outs"]
    with subprocess.Popen(command, env=variables, start_new_session=True, stdout=subprocess.DEVNULL) as host:
        deadline = time.monotonic() + LONGEST_START
        while not reached():
            assert host.poll() is None
            assert time.monotonic() < deadline, "the run did not come so far"
            time.sleep(0.05)
        os.killpg(host.pid, signal.SIGKILL)


def _tick(world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the sensor asks for a run at the world's time."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return world.clock()

    monkeypatch.setattr(sensors, "datetime", Clock)
    database = PlatformDatabase(database=world.database)
    context = dg.build_sensor_context(instance=instance, resources={"platform_database": database})
    return isinstance(sensors.opt_out_queue_sensor(30)(context), dg.RunRequest)
