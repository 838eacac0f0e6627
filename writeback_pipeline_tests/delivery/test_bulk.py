"""Opt-outs that go by Bulk: few calls, and the same job finished whatever happened to the worker that began it."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest

from writeback_pipeline.delivery import gathering, opt_outs
from writeback_pipeline.delivery.sending import Outgoing, batch_of, journal
from writeback_pipeline.domain.bulk import BULK_LANE, BulkJob, JobKind, Stage
from writeback_pipeline.domain.ledger import LEASE
from writeback_pipeline.domain.planning import in_sending_order, plan_person
from writeback_pipeline.domain.records import Live, OrganisationUnavailable
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline.local_org import admin, faults
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline_tests.world import World

PEOPLE = 12


@pytest.fixture
def people(world: World) -> list[str]:
    """People with an unsubscribe each, enough of them to go by Bulk."""
    world.ledger.change_settings({"bulk_threshold": "5"}, "test", world.clock())
    made = [world.contact() for _ in range(PEOPLE)]
    world.unsubscribe_all(made)
    return made


def arm(world: World, kind: str, **options: Any) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, kind, **options)


def heal(world: World) -> None:
    with world.inside.connection() as connection:
        faults.clear(connection)


def jobs(world: World) -> list[str]:
    return [f"{row['operation']} {row['object']}" for row in world.select("SELECT * FROM _bulk_jobs ORDER BY id")]


def everything_is_written_once(world: World, people: list[str]) -> None:
    rows = world.rows()
    assert {row.status for row in rows} == {Status.WRITTEN}
    assert {row.flag_result for row in rows} == {FlagResult.SET}
    assert all(world.opted_out(person) for person in people)
    notes = {person: [note["Id"] for note in world.notes(person)] for person in people}
    assert [notes[row.salesforce_id or ""] for row in rows] == [[row.note_id] for row in rows]


def lanes(world: World) -> set[str]:
    return {attempt.intent.lane for attempt in world.ledger.attempts_of([row.id for row in world.rows()])}


def test_many_opt_outs_are_two_jobs_whatever_their_number(world: World, people: list[str]) -> None:
    before = world.organisation.usage.calls
    world.deliver()
    everything_is_written_once(world, people)
    assert jobs(world) == ["update Contact", "insert Note"]
    assert lanes(world) == {"bulk"}
    looks = world.organisation.usage.calls - before - 1 - 2 * 4
    assert 2 <= looks <= 8


def test_people_who_are_claimed_and_journalled_in_portions_share_the_jobs_account_by_account(
    world: World, people: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = {person: f"001{number % 3:012d}AAA" for number, person in enumerate(people)}
    with world.inside.connection() as connection:
        for person, account in accounts.items():
            connection.execute("UPDATE Contact SET AccountId = ? WHERE Id = ?", (account, person))
    monkeypatch.setattr(opt_outs, "PEOPLE_PER_CLAIM", 5)
    monkeypatch.setattr(gathering, "PEOPLE_PER_PORTION", 4)
    leads = [world.lead(), world.lead()]
    world.unsubscribe_all(leads)
    world.deliver()
    everything_is_written_once(world, [*people, *leads])
    assert jobs(world) == ["update Contact", "insert Note"]
    for upload in world.select("SELECT content FROM _bulk_uploads"):
        sent = [accounts[person] for person in re.findall("003[0-9A-Za-z]{15}", upload["content"].decode())]
        assert len([account for account, _ in groupby(sent)]) == len(set(sent))


def test_few_opt_outs_make_no_job(world: World, people: list[str]) -> None:
    world.ledger.change_settings({"bulk_threshold": str(PEOPLE + 1)}, "test", world.clock())
    world.deliver()
    everything_is_written_once(world, people)
    assert (jobs(world), lanes(world)) == ([], {"composite"})


def test_leads_too_few_for_a_job_go_by_calls_beside_the_contacts_job(world: World, people: list[str]) -> None:
    leads = [world.lead(), world.lead()]
    world.unsubscribe_all(leads)
    world.deliver()
    everything_is_written_once(world, [*people, *leads])
    assert jobs(world) == ["update Contact", "insert Note"]
    assert lanes(world) == {"bulk", "composite"}


def test_content_notes_stay_on_the_other_lane(world: World, people: list[str]) -> None:
    world.ledger.change_settings({"note_object": "ContentNote"}, "test", world.clock())
    world.deliver()
    assert {row.status for row in world.rows()} == {Status.WRITTEN}
    assert jobs(world) == []


def test_rows_are_settled_each_by_its_own_result(world: World, people: list[str]) -> None:
    arm(world, "validation_rule", object="Contact", record_id=people[3])
    world.as_user(admin.edit, people[5], {"HasOptedOutOfEmail": True})
    world.deliver()
    by_person = {row.salesforce_id: row for row in world.rows()}
    assert by_person[people[3]].status is Status.FAILED
    assert by_person[people[3]].error_code == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
    assert by_person[people[5]].flag_result is FlagResult.UNCHANGED
    assert len([row for row in by_person.values() if row.status is Status.WRITTEN]) == PEOPLE - 1


FAULTS: dict[str, Callable[[World], None]] = {
    "no answer to a look": lambda world: arm(world, "drop_before", path="jobs/ingest/750", method="GET", times=3),
    "an outage while it is looked at": lambda world: arm(
        world, "unavailable", path="ingest/[^/]+$", method="GET", times=3
    ),
    "the close was heard, its answer lost": lambda world: arm(world, "drop_after", method="PATCH", times=1),
    "the close was not heard": lambda world: arm(world, "drop_before", method="PATCH", times=1),
    "too many calls at once": lambda world: arm(world, "concurrent_limit", path="ingest/[^/]+$", times=4),
    "results cut short": lambda world: arm(world, "truncated", path="Results", times=2),
    "an expired session": lambda world: arm(world, "expired_session", path="ingest", every=3, times=4),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_trouble_on_the_way_does_not_make_another_job(world: World, people: list[str], fault: str) -> None:
    FAULTS[fault](world)
    world.deliver()
    everything_is_written_once(world, people)
    assert jobs(world) == ["update Contact", "insert Note"]


def test_an_upload_of_which_nothing_is_known_is_given_up_and_done_again(world: World, people: list[str]) -> None:
    arm(world, "drop_after", path="batches", times=1)
    with pytest.raises(OrganisationUnavailable):
        world.deliver()
    assert not any(world.opted_out(person) for person in people)
    assert {row.status for row in world.rows()} == {Status.WAITING}
    world.clock.advance(timedelta(hours=1))
    world.deliver()
    everything_is_written_once(world, people)
    states = [row["state"] for row in world.select("SELECT state FROM _bulk_jobs ORDER BY id")]
    assert states == ["Aborted", "JobComplete", "JobComplete"]


def test_a_job_that_takes_long_is_left_and_finished_by_the_next_delivery(world: World, people: list[str]) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=3600.0)
    with pytest.raises(OrganisationUnavailable) as running:
        world.deliver()
    assert running.value.code == "BULK_JOB_RUNNING"
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=0.0)
        connection.execute("UPDATE _bulk_jobs SET due = 0")
    assert world.ledger.due(world.clock()) > 0
    world.deliver()
    everything_is_written_once(world, people)
    assert jobs(world)[:1] == ["update Contact"]
    assert jobs(world).count("update Contact") == 1


def test_an_organisation_that_is_out_of_order_leaves_the_job_to_the_next_delivery(
    world: World, people: list[str]
) -> None:
    arm(world, "daily_quota", path="ingest/[^/]+$", method="GET")
    with pytest.raises(OrganisationUnavailable):
        world.deliver()
    heal(world)
    world.deliver()
    everything_is_written_once(world, people)
    assert jobs(world).count("update Contact") == 1


def test_what_a_failed_job_did_not_come_to_is_sent_by_the_next_delivery(world: World, people: list[str]) -> None:
    arm(world, "job_failed", after_rows=7, operation="update", times=1)
    world.deliver()
    assert len([row for row in world.rows() if row.status is Status.WRITTEN]) == 7
    world.clock.advance(timedelta(hours=1))
    world.deliver()
    everything_is_written_once(world, people)


def test_what_salesforce_takes_no_job_for_goes_by_calls_at_once(world: World, people: list[str]) -> None:
    refusal = {"status": 400, "code": "INVALIDENTITY", "message": "Note is not supported by the Bulk API"}
    arm(world, "refusal", path="jobs/ingest$", method="POST", every=2, **refusal)
    world.deliver()
    everything_is_written_once(world, people)
    assert jobs(world) == ["update Contact"]


def test_a_job_that_fails_as_a_whole_tells_by_calls_what_is_wrong_with_its_rows(
    world: World, people: list[str]
) -> None:
    arm(world, "job_failed", after_rows=0)
    world.deliver()
    everything_is_written_once(world, people)
    assert lanes(world) == {"bulk", "composite"}


def test_a_note_that_one_job_made_is_not_made_again_by_calls_because_another_job_failed(
    world: World, people: list[str]
) -> None:
    arm(world, "job_failed", after_rows=0, operation="update")
    world.deliver()
    assert [len(world.notes(person)) for person in people] == [1] * PEOPLE
    world.clock.advance(timedelta(minutes=1))
    world.deliver()  # the flags alone are owed now, and go by calls at once
    everything_is_written_once(world, people)


def test_flags_whose_results_cannot_be_read_are_read_back_though_their_notes_got_no_job(
    world: World, people: list[str]
) -> None:
    gone = {"status": 404, "code": "NOT_FOUND", "message": "no such results"}
    arm(world, "refusal", path="successfulResults", method="GET", times=1, **gone)
    refusal = {"status": 400, "code": "INVALIDENTITY", "message": "Note is not supported by the Bulk API"}
    arm(world, "refusal", path="jobs/ingest$", method="POST", every=2, times=1, **refusal)
    world.deliver()
    assert {row.status for row in world.rows()} == {Status.UNKNOWN}
    world.clock.advance(timedelta(minutes=15))
    world.deliver()
    everything_is_written_once(world, people)
    world.resubscribe(people[0])
    world.deliver()
    assert not world.opted_out(people[0]), "the flag is known as ours"


def test_people_without_a_lease_to_give_are_left_alone_while_their_job_runs(world: World, people: list[str]) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=3600.0)
    with pytest.raises(OrganisationUnavailable):
        world.deliver()
    world.resubscribe(people[0])
    world.clock.advance(LEASE)
    before = len(jobs(world))
    with pytest.raises(OrganisationUnavailable):
        world.deliver()
    assert len(jobs(world)) == before
    assert not world.opted_out(people[0])


def test_a_job_of_which_a_restored_ledger_knows_too_little_is_asked_about_before_it_is_given_up(
    world: World, people: list[str]
) -> None:
    claims = world.ledger.claim("before the backup", world.clock(), limit=PEOPLE)
    settings, now = world.ledger.settings(), world.clock()
    writes = in_sending_order([plan_person(claim, Live(opted_out=False), settings, now) for claim in claims])
    rows = [
        Outgoing(
            claim.person.salesforce_id, claim.epoch, claim.lease_until, write.writeback_id,
            claim.person.salesforce_id, write.write, write.flag_before, write.title,
        )
        for claim, write in writes
        if write.title is not None
    ]  # fmt: skip
    batch = batch_of(rows, [range(len(rows))], now, "run", BULK_LANE)
    journal(batch, world.ledger)
    kind = JobKind("Note", "insert")
    job = BulkJob(world.organisation.create_job(kind), batch.id, 1, kind, len(rows), Stage.CREATED, now)
    assert world.ledger.enter_job(job, "before the backup")
    world.organisation.upload_job(job.job_id, [row.write for row in rows])
    world.organisation.close_job(job.job_id)
    world.clock.advance(LEASE)
    world.deliver()
    everything_is_written_once(world, people)
    assert jobs(world) == ["insert Note", "update Contact"]
