"""A worker that is killed at any step of a Bulk job: the next delivery finishes that job, and writes nothing twice."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.domain.ledger import LEASE
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until
from writeback_pipeline_tests.world import World

REPOSITORY = Path(__file__).parents[2]
PEOPLE = 6

STEPS: dict[str, dict[str, Any]] = {
    "creating the job": {"path": "jobs/ingest$", "method": "POST"},
    "uploading its rows": {"path": "batches$"},
    "closing it": {"path": "jobs/ingest/[^/]+$", "method": "PATCH"},
    "looking at it": {"path": "jobs/ingest/[^/]+$", "method": "GET"},
    "fetching its results": {"path": "successfulResults"},
    "creating the job of the notes": {"path": "jobs/ingest$", "method": "POST", "every": 2},
    "closing the job of the notes": {"path": "jobs/ingest/[^/]+$", "method": "PATCH", "every": 2},
    "fetching the results of the notes": {"path": "successfulResults", "every": 2},
}
"""Calls whose answer the worker does not live to hear; what they asked for is done."""


@pytest.fixture
def people(world: World) -> list[str]:
    world.ledger.change_settings({"bulk_threshold": "5"}, "test", world.clock())
    made = [world.contact() for _ in range(PEOPLE)]
    world.unsubscribe_all(made)
    return made


@pytest.fixture
def worker(world: World) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "writeback_pipeline_tests.delivery.bulk_worker"]
    with subprocess.Popen([*command, str(world.home), world.database, world.url], cwd=REPOSITORY) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_worker_leaves_a_job_that_the_next_delivery_finishes(
    world: World, people: list[str], step: str, request: pytest.FixtureRequest
) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, "slow", seconds=60.0, times=1, **STEPS[step])
    worker = request.getfixturevalue("worker")
    with world.inside.connection() as connection:
        wait_until(lambda: faults.injected(connection), 2 * PATIENCE_SECONDS)
    worker.kill()
    worker.wait()
    with world.inside.connection() as connection:
        faults.clear(connection)
    world.clock.at = datetime.now(UTC) + LEASE + timedelta(seconds=1)
    world.deliver()
    assert {row.status for row in world.rows()} == {Status.WRITTEN}
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)
    began = world.select("SELECT operation, object FROM _bulk_jobs WHERE processed > 0 ORDER BY id")
    assert [(job["operation"], job["object"]) for job in began] == [("update", "Contact"), ("insert", "Note")]
