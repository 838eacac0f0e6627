"""Activity that was written and is no longer reported: a corrected file, another time zone."""

from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import LEASE, QUIET
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.window_ledger import WindowCounts
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.local_org import admin, faults
from writeback_pipeline_tests.mailings import DAY, Mailings, deliver, settle, tasks
from writeback_pipeline_tests.world import World


@pytest.fixture
def mailings(tmp_path: Path) -> Mailings:
    return Mailings(tmp_path / "mailing_activity")


def add_up(world: World) -> bool:
    return all(each.adds_up for each in world.ledger.window_accounts(world.clock().replace(year=2024)))


def test_a_task_whose_events_were_corrected_away_says_so_and_comes_back_with_them(
    world: World, mailings: Mailings
) -> None:
    person, other = world.contact(), world.contact()
    mailings.sent(person, other, is_machine_open=True)
    deliver(world, mailings)
    (before,) = tasks(world, person)
    mailings.correct(DAY)
    mailings.sent(other, is_machine_open=True)

    report = deliver(world, mailings)
    assert (report.calls, report.statuses, report.counts) == (1, {Status.WRITTEN: 1}, WindowCounts(1, 1, 1, 0, 1))
    (task,) = tasks(world, person)
    assert (task["Id"], task["Subject"]) == (before["Id"], "Informz: 0 mailings sent on 11/20/25")
    assert task["Description"].startswith("0 mailings sent on 11/20/25, as recorded by Informz. What this Task listed")
    assert task["ActivityDate"] == DAY
    assert "November Newsletter" not in task["Description"]
    assert "November Newsletter" in tasks(world, other)[0]["Description"]
    assert deliver(world, mailings).calls == 0
    assert add_up(world)

    mailings.sent(person, when="11-20 11:00")
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    (task,) = tasks(world, person)
    assert (task["Id"], task["Subject"]) == (before["Id"], "Informz: 1 mailing sent on 11/20/25")
    assert add_up(world)


def test_an_event_that_another_zone_moves_to_the_day_before_is_told_of_once(world: World, mailings: Mailings) -> None:
    person = world.contact()
    mailings.sent(person, when="11-20 02:00")
    deliver(world, mailings)
    settle(world, time_zone="America/New_York")
    deliver(world, mailings)
    deliver(world, mailings, name="2025-11-19")
    told = {task["Subject"]: "November Newsletter" in task["Description"] for task in tasks(world, person)}
    assert told == {"Informz: 0 mailings sent on 11/20/25": False, "Informz: 1 mailing sent on 11/19/25": True}


def test_what_was_never_written_needs_nobody_once_it_is_no_longer_reported(world: World, mailings: Mailings) -> None:
    gone, locked = world.contact(), world.contact()
    world.as_user(admin.delete, gone)
    mailings.sent(gone, locked, None)
    assert deliver(world, mailings).statuses == {Status.FAILED: 1, Status.WRITTEN: 1}
    mailings.correct(DAY)
    mailings.sent(locked)
    report = deliver(world, mailings)
    assert (report.calls, report.counts) == (0, WindowCounts(1, 1, 1, 0, 2))
    (row,) = world.rows(gone)
    assert (row.status, row.error_code, row.run_id) == (Status.REFUSED, None, "run")
    assert "no longer reports" in (row.advice or "")
    assert add_up(world)

    world.as_user(admin.undelete, gone)
    mailings.sent(gone)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    assert len(tasks(world, gone)) == 1
    assert add_up(world)


@pytest.mark.parametrize("who", ["task", "person"])
def test_a_task_that_somebody_deleted_is_not_made_again_to_say_that_it_is_empty(
    world: World, mailings: Mailings, who: str
) -> None:
    person = world.contact()
    mailings.opened(person)
    deliver(world, mailings, Kind.OPENED)
    world.as_user(admin.delete, tasks(world, person)[0]["Id"] if who == "task" else person)
    mailings.correct(DAY)
    assert deliver(world, mailings, Kind.OPENED).statuses == {Status.WRITTEN: 1}
    assert tasks(world, person) == []
    assert deliver(world, mailings, Kind.OPENED).calls == 0


def test_a_task_whose_answer_was_lost_is_corrected_too(world: World, mailings: Mailings) -> None:
    person = world.contact()
    mailings.sent(person)
    with world.inside.connection() as connection:
        faults.arm(connection, "drop_after", path="composite/sobjects", times=1)
    with pytest.raises(OrganisationUnavailable):
        deliver(world, mailings)
    mailings.correct(DAY)
    assert deliver(world, mailings).left == {Status.UNKNOWN: 1}
    world.clock.advance(LEASE + QUIET)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    (task,) = tasks(world, person)
    assert task["Subject"] == "Informz: 0 mailings sent on 11/20/25"
