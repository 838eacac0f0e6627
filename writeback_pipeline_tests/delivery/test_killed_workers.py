"""Whoever, or whatever, kills the whole process, real processes on both databases: everybody else is delivered."""

import multiprocessing
import signal
from datetime import timedelta

import pytest

from writeback_pipeline.delivery.dry_run import dry_run
from writeback_pipeline.domain.bulk import READ_BACK_AFTER
from writeback_pipeline.domain.ledger import ALONE_AFTER, LEASE, QUIET
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline_tests.delivery import killed_worker
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
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

    assert [lives(world, deadly, moment) for _ in range(ALONE_AFTER + 2)] == [False] * (ALONE_AFTER + 1) + [True]
    assert [row.status for person in people if person != deadly for row in world.rows(person)] == [Status.WRITTEN] * 3
    (left,) = world.rows(deadly)
    assert (left.status, left.error_code) == (Status.FAILED, WORKER_LOST)
    assert f"Contact {deadly}" in (left.error_message or "")
    assert "retry" in (left.advice or "")

    world.ledger.retry(ids=[left.id])
    world.deliver()
    assert [row.status for row in world.rows()] == [Status.WRITTEN] * 4
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)


@pytest.mark.every_store
def test_whom_workers_ended_of_gets_the_flag_at_the_next_look_and_no_note_twice(world: World) -> None:
    deadly = world.contact()
    world.unsubscribe(deadly)
    assert [lives(world, deadly, "note") for _ in range(ALONE_AFTER + 2)] == [False] * (ALONE_AFTER + 1) + [True]
    (left,) = world.rows(deadly)
    world.as_user(admin.edit, deadly, {"HasOptedOutOfEmail": False})
    world.unsubscribe(deadly, left.occurred_at - timedelta(days=1))
    flag, older = dry_run(world.ledger, world.organisation, world.clock()).planned
    assert (flag.writeback_id, flag.flag_result, flag.note_title, flag.status) == (left.id, "set", None, "unknown")
    assert (older.flag_result, older.note_title is None) == ("superseded", False)

    assert world.deliver().reopened == 1
    assert world.opted_out(deadly)
    assert [row.status for row in world.rows(deadly)] == [Status.WRITTEN] * 2
    assert len(world.notes(deadly)) == 2


@pytest.mark.every_store
def test_a_job_whose_results_kill_every_worker_is_read_back_in_the_end_and_nothing_is_written_twice(
    world: World,
) -> None:
    world.ledger.change_settings({"bulk_threshold": "5"}, "test", world.clock())
    people = [world.contact() for _ in range(6)]
    world.unsubscribe_all(people)
    workers = [lives(world, people[1], "results") for _ in range(READ_BACK_AFTER + 2)]
    assert workers == [False] * (READ_BACK_AFTER + 1) + [True]
    world.clock.advance(LEASE + QUIET)
    world.deliver()
    assert {(row.status, row.flag_result) for row in world.rows()} == {(Status.WRITTEN, FlagResult.SET)}
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)
    jobs = world.select("SELECT operation, object FROM _bulk_jobs ORDER BY id")
    assert [(job["operation"], job["object"]) for job in jobs] == [("update", "Contact"), ("insert", "Note")]
    world.resubscribe(people[0])
    world.deliver()
    assert not world.opted_out(people[0]), "the flag is known as ours"


def lives(world: World, deadly: str, moment: str) -> bool:
    """Whether the next worker comes to its end."""
    world.clock.advance(LEASE + QUIET + timedelta(seconds=1))
    order = (world.database, str(world.home), world.url, world.clock(), deadly, moment)
    worker = PROCESSES.Process(target=killed_worker.deliver, args=order)
    worker.start()
    worker.join(4 * PATIENCE_SECONDS)
    assert worker.exitcode in (0, -signal.SIGKILL)
    return worker.exitcode == 0
