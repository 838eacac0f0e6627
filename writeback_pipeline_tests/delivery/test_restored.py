"""A backup of the database is put back: nothing is written twice, nothing that was owed is lost."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import QUIET
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import faults
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.store.location import is_server
from writeback_pipeline_tests.mailings import Mailings, deliver, tasks
from writeback_pipeline_tests.postgres import server
from writeback_pipeline_tests.world import World

pytestmark = pytest.mark.every_store

AFTER_ALL_DOUBT = timedelta(minutes=4) + QUIET


def back_up(world: World) -> Path:
    backup = world.home / "backup"
    if is_server(world.database):
        server().dump(world.database, backup)
    else:
        shutil.copy(world.database, backup)
    return backup


def restore(world: World, backup: Path) -> None:
    if is_server(world.database):
        server().put_back(world.database, backup)
    else:
        Path(f"{world.database}.wal").unlink(missing_ok=True)
        shutil.copy(backup, world.database)


def deliver_until_all_is_known(world: World) -> None:
    """A backup that shows by itself what it is, as a server's does, is noticed only now, and doubted from now on."""
    world.deliver()
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()


def notes_of(world: World, people: list[str]) -> list[int]:
    return [len(world.notes(person)) for person in people]


def test_what_was_written_after_the_backup_is_found_and_only_the_rest_is_sent(world: World) -> None:
    done, owed = ([world.contact() for _ in range(20)] for _ in range(2))
    world.unsubscribe_all(done)
    world.unsubscribe_all(owed)
    backup = back_up(world)
    world.deliver(limit=20)
    written = sum(notes_of(world, [*done, *owed]))
    assert written == 20
    restore(world, backup)
    world.deliver()
    assert sum(notes_of(world, [*done, *owed])) == 20, "not before what was sent can no longer arrive"
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()
    assert notes_of(world, [*done, *owed]) == [1] * 40
    assert all(map(world.opted_out, [*done, *owed]))
    assert {row.status for row in world.rows()} == {Status.WRITTEN}


def test_changes_that_the_platform_queues_again_are_not_written_twice(world: World) -> None:
    people = [world.contact() for _ in range(5)]
    world.unsubscribe_all(people[:2])
    backup = back_up(world)
    at = world.clock()
    world.unsubscribe_all(people[2:])
    world.deliver()
    restore(world, backup)
    world.clock.advance(AFTER_ALL_DOUBT)
    for person in people:
        world.unsubscribe(person, at=at)
    deliver_until_all_is_known(world)
    assert notes_of(world, people) == [1] * 5
    assert all(map(world.opted_out, people))
    assert {row.status for row in world.rows()} == {Status.WRITTEN}


def test_a_resubscribe_of_the_backup_does_not_undo_what_happened_after_it(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    backup = back_up(world)
    world.deliver()
    world.unsubscribe(person, reason="for good")
    world.deliver()
    assert world.opted_out(person)
    restore(world, backup)
    world.clock.advance(AFTER_ALL_DOUBT)
    world.unsubscribe(person, at=world.clock() - AFTER_ALL_DOUBT, reason="for good")
    deliver_until_all_is_known(world)
    assert world.opted_out(person)
    assert len(world.notes(person)) <= 4


def test_a_late_request_of_the_lost_part_does_not_become_a_second_note(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    backup = back_up(world)
    with world.inside.connection() as connection:
        faults.arm(connection, "drop_after", path="composite$", times=1)
    with pytest.raises(OrganisationUnavailable):
        world.deliver()
    restore(world, backup)
    deliver_until_all_is_known(world)
    assert (len(world.notes(person)), world.opted_out(person)) == (1, True)


def test_a_job_of_which_the_backup_does_not_know_has_ended_before_anything_is_sent_again(world: World) -> None:
    world.ledger.change_settings({"bulk_threshold": "5"}, "test", world.clock())
    people = [world.contact(HasOptedOutOfEmail=True) for _ in range(5)]
    world.unsubscribe_all(people)
    backup = back_up(world)
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=3600.0)
    with pytest.raises(OrganisationUnavailable):
        world.deliver()
    restore(world, backup)
    for _ in range(3):
        world.clock.advance(AFTER_ALL_DOUBT)
        world.deliver()
        assert notes_of(world, people) == [0] * 5
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=0.0)
        connection.execute("UPDATE _bulk_jobs SET due = 0")
    while world.organisation.unfinished_jobs():
        world.sleep(1)
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()
    assert notes_of(world, people) == [1] * 5
    assert {row.status for row in world.rows()} == {Status.WRITTEN}
    assert len(world.select("SELECT id FROM _bulk_jobs")) == 1


def test_activity_of_a_restored_ledger_has_one_task_each(world: World, tmp_path: Path) -> None:
    mailings = Mailings(tmp_path / "mailing_activity")
    people = [world.contact() for _ in range(3)]
    mailings.sent(people[0])
    deliver(world, mailings)
    backup = back_up(world)
    mailings.sent(*people, when="11-20 21:00", mailing_id="m-2")
    deliver(world, mailings)
    restore(world, backup)
    world.clock.advance(AFTER_ALL_DOUBT)
    deliver(world, mailings)
    assert sorted(task["WhoId"] for task in tasks(world)) == sorted(people)


def test_opt_outs_go_on_after_a_restore_of_a_ledger_that_knows_of_activity(world: World, tmp_path: Path) -> None:
    person, mailings = world.contact(), Mailings(tmp_path / "mailing_activity")
    mailings.sent(person)
    deliver(world, mailings)
    backup = back_up(world)
    world.unsubscribe(world.contact())
    restore(world, backup)
    world.unsubscribe(person)
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    assert world.opted_out(person)
