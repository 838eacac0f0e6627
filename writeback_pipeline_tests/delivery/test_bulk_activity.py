"""Mailing activity that goes by Bulk: Tasks upserted by their key, a job finished by whoever comes next."""

from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import faults
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline_tests.mailings import Mailings, deliver, tasks
from writeback_pipeline_tests.world import World

PEOPLE = 8


@pytest.fixture
def mailings(tmp_path: Path) -> Mailings:
    return Mailings(tmp_path / "mailing_activity")


@pytest.fixture
def people(world: World, mailings: Mailings) -> list[str]:
    """People with a mailing each, enough of them to go by Bulk."""
    world.ledger.change_settings({"bulk_threshold": "5"}, "test", world.clock())
    made = [world.contact() for _ in range(PEOPLE)]
    mailings.sent(*made)
    return made


def arm(world: World, kind: str, **options: Any) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, kind, **options)


def jobs(world: World) -> list[str]:
    return [f"{row['operation']} {row['object']}" for row in world.select("SELECT * FROM _bulk_jobs ORDER BY id")]


def everybody_has_one_task(world: World, people: list[str]) -> None:
    assert {row.status for row in world.rows()} == {Status.WRITTEN}
    found = {person: [task["Id"] for task in tasks(world, person)] for person in people}
    assert [found[row.salesforce_id or ""] for row in world.rows()] == [[row.task_id] for row in world.rows()]


def test_new_summaries_are_one_job_and_changed_ones_another(
    world: World, mailings: Mailings, people: list[str]
) -> None:
    assert deliver(world, mailings).statuses == {Status.WRITTEN: PEOPLE}
    everybody_has_one_task(world, people)
    assert deliver(world, mailings).calls == 0
    mailings.sent(*people, mailing_id="m-2")
    deliver(world, mailings)
    everybody_has_one_task(world, people)
    assert jobs(world) == ["upsert Task", "update Task"]
    assert all(task["Subject"].startswith("Informz: 2 mailings") for person in people for task in tasks(world, person))


def test_a_job_left_at_work_is_finished_by_the_next_delivery(
    world: World, mailings: Mailings, people: list[str]
) -> None:
    arm(world, "daily_quota", path="ingest/[^/]+$", method="GET")
    with pytest.raises(OrganisationUnavailable):
        deliver(world, mailings)
    with world.inside.connection() as connection:
        faults.clear(connection)
    report = deliver(world, mailings)
    assert (report.statuses, report.left) == ({}, {Status.WRITTEN: PEOPLE})
    everybody_has_one_task(world, people)
    assert jobs(world) == ["upsert Task"]


def test_people_who_moved_are_followed_after_the_job(world: World, mailings: Mailings, people: list[str]) -> None:
    arm(world, "row_error", object="Task", operation="create", times=2, code="ENTITY_IS_DELETED")
    deliver(world, mailings)
    assert jobs(world) == ["upsert Task"]
    statuses = sorted(row.status for row in world.rows())
    assert statuses == [Status.FAILED] * 2 + [Status.WRITTEN] * (PEOPLE - 2)


def test_without_the_keys_field_everything_goes_by_calls(world: World, mailings: Mailings, people: list[str]) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, hidden=frozenset({"Task.Writeback_Key__c"}))
    report = deliver(world, mailings)
    assert report.key_in_text
    everybody_has_one_task(world, people)
    assert jobs(world) == []
