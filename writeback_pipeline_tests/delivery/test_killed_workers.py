"""One person whose delivery kills the whole process, real processes on both databases: everybody else is delivered."""

import multiprocessing
import signal
from datetime import timedelta

import pytest

from writeback_pipeline.domain.ledger import ALONE_AFTER, LEASE, QUIET
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline_tests.delivery import killed_worker
from writeback_pipeline_tests.world import World

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([killed_worker.__name__])


@pytest.mark.every_store
@pytest.mark.parametrize("moment", ["look", "flag", "note"])
def test_a_person_who_kills_the_worker_is_left_to_somebody_and_all_others_are_written(
    world: World, moment: str
) -> None:
    people = [world.contact() for _ in range(4)]
    deadly = people[1]
    world.unsubscribe_all(people)

    def lives() -> bool:
        world.clock.advance(LEASE + QUIET + timedelta(seconds=1))
        order = (world.database, str(world.home), world.url, world.clock(), deadly, moment)
        worker = PROCESSES.Process(target=killed_worker.deliver, args=order)
        worker.start()
        worker.join(60)
        assert worker.exitcode in (0, -signal.SIGKILL)
        return worker.exitcode == 0

    assert [lives() for _ in range(ALONE_AFTER + 2)] == [False] * (ALONE_AFTER + 1) + [True]
    assert [row.status for person in people if person != deadly for row in world.rows(person)] == [Status.WRITTEN] * 3
    (left,) = world.rows(deadly)
    assert (left.status, left.error_code) == (Status.FAILED, WORKER_LOST)
    assert f"Contact {deadly}" in (left.error_message or "")
    assert "retry" in (left.advice or "")

    world.ledger.retry(ids=[left.id])
    world.deliver()
    assert [row.status for row in world.rows()] == [Status.WRITTEN] * 4
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)
