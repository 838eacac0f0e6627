from collections.abc import Sequence
from typing import Any

import pytest

from writeback_pipeline.domain.bulk import FINISHED, JobKind, JobRefused, JobState, JobStatus
from writeback_pipeline.domain.records import Answer, Operation, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.local_org import faults
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline_tests.patience import wait_until
from writeback_pipeline_tests.world import World

UPDATE, INSERT = JobKind("Contact", "update"), JobKind("Note", "insert")
UPSERT = JobKind("Task", "upsert", "Writeback_Key__c")


def flag(person: str, sobject: str = "Contact") -> RowWrite:
    return RowWrite(Operation.SET_FLAG, sobject, {"HasOptedOutOfEmail": True}, record_id=person)


def note(person: str, title: str = "unsubscribed", body: str = "unsubscribed") -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": person, "Title": title, "Body": body})


def task(person: str, key: str, subject: str = "Informz: 1 mailing sent") -> RowWrite:
    fields = {"WhoId": person, "Subject": subject, "Status": "Completed", "ActivityDate": "2026-11-23"}
    return RowWrite(Operation.UPSERT_TASK, "Task", fields, external_id=("Writeback_Key__c", key))


def ended(world: World, job_id: str) -> JobStatus:
    wait_until(lambda: world.organisation.job_status(job_id).state in FINISHED)
    return world.organisation.job_status(job_id)


def run(world: World, kind: JobKind, rows: Sequence[RowWrite]) -> list[RowResult]:
    job_id = world.organisation.create_job(kind)
    world.organisation.upload_job(job_id, rows)
    world.organisation.close_job(job_id)
    return world.organisation.job_results(ended(world, job_id), rows)


def arm(world: World, kind: str, **options: Any) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, kind, **options)


def answers(results: Sequence[RowResult]) -> list[Answer]:
    return [result.answer for result in results]


def test_an_update_is_told_row_by_row(world: World) -> None:
    people = [world.contact() for _ in range(3)]
    world.as_user(lambda session: session.connection.execute("DELETE FROM Contact WHERE Id = ?", (people[1],)))
    results = run(world, UPDATE, [flag(person) for person in people])
    assert answers(results) == [Answer.OK, Answer.REJECTED, Answer.OK]
    assert [result.record_id for result in results] == [people[0], None, people[2]]
    assert results[1].code == "INVALID_CROSS_REFERENCE_KEY"
    assert results[1].message == "invalid cross reference id"
    assert world.opted_out(people[0])


def test_results_of_a_job_in_which_all_went_well_are_one_call(world: World) -> None:
    people = [world.contact() for _ in range(3)]
    job_id = world.organisation.create_job(UPDATE)
    world.organisation.upload_job(job_id, [flag(person) for person in people])
    world.organisation.close_job(job_id)
    status = ended(world, job_id)
    before = world.organisation.usage.calls
    world.organisation.job_results(status, [flag(person) for person in people])
    assert world.organisation.usage.calls == before + 1


@pytest.mark.parametrize(
    "text",
    [
        'a "quoted", text; with | delimiters',
        "two\nlines\n\nand a third",
        "from Windows\r\nand a Mac\rof old",
        "Größe 日本語 \U0001f600 \u202eright to left",
        "=HYPERLINK(1) @{ref.id} 'quoted' \\",
        "x" * 32_000,
    ],
)
def test_odd_text_arrives_as_it_is_with_lines_in_lf(world: World, text: str) -> None:
    person = world.contact()
    results = run(world, INSERT, [note(person, "t", text), note(person, "u", "plain")])
    assert answers(results) == [Answer.OK] * 2
    bodies = [each["Body"] for each in world.notes(person)]
    assert bodies == [text.replace("\r\n", "\n").replace("\r", "\n"), "plain"]


def test_an_emptied_field_becomes_null_and_is_not_left_as_it_was(world: World) -> None:
    person = world.contact(Email="somebody@example.com", FirstName="Some")
    fields = {"Email": None, "FirstName": ""}
    run(world, UPDATE, [RowWrite(Operation.SET_FLAG, "Contact", fields, record_id=person)])
    assert (world.record(person)["Email"], world.record(person)["FirstName"]) == (None, None)


def test_notes_alike_in_parent_and_title_are_told_apart_by_their_text(world: World) -> None:
    person = world.contact()
    rows = [note(person, body="first\r\nreason"), note(person, body="second"), note(person, body="second")]
    results = run(world, INSERT, rows)
    by_id = {each["Id"]: each["Body"] for each in world.notes(person)}
    assert len(by_id) == 3
    assert [by_id[str(result.record_id)] for result in results] == ["first\nreason", "second", "second"]


def test_tasks_are_known_by_their_key(world: World) -> None:
    person = world.contact()
    keys = ["sent:daily:2026-11-23:" + suffix for suffix in ("a", "b", "c")]
    first = run(world, UPSERT, [task(person, key) for key in keys])
    again = run(world, UPSERT, [task(person, key, subject="Informz: 2 mailings sent") for key in reversed(keys)])
    assert [result.record_id for result in reversed(again)] == [result.record_id for result in first]
    subjects = world.select("SELECT Subject FROM Task")
    assert [each["Subject"] for each in subjects] == ["Informz: 2 mailings sent"] * 3


def test_leads_keep_their_owner_as_no_assignment_rule_runs(world: World) -> None:
    lead = world.lead()
    before = world.record(lead)["OwnerId"]
    with world.inside.connection() as connection:
        org_settings.change(connection, lead_assignment_owner="005000000000009AAA")
    assert answers(run(world, JobKind("Lead", "update"), [flag(lead, "Lead")])) == [Answer.OK]
    assert world.record(lead)["OwnerId"] == before


def test_what_a_failed_job_never_came_to_was_certainly_not_executed(world: World) -> None:
    people = [world.contact() for _ in range(5)]
    arm(world, "job_failed", after_rows=2)
    results = run(world, UPDATE, [flag(person) for person in people])
    assert answers(results) == [Answer.OK] * 2 + [Answer.NOT_SENT] * 3
    assert results[4].code == "InternalServerError"
    assert [world.opted_out(person) for person in people] == [True, True, False, False, False]


def test_an_unknown_column_fails_the_job_and_executes_nothing(world: World) -> None:
    person = world.contact()
    world.hide_opt_out_field()
    results = run(world, UPDATE, [flag(person)])
    message = "InvalidBatch : Field name not found : HasOptedOutOfEmail"
    assert results == [RowResult(Answer.NOT_SENT, code="InvalidBatch", message=message)]


def test_a_job_aborted_before_it_began_has_executed_nothing(world: World) -> None:
    person = world.contact()
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=3600.0)
    job_id = world.organisation.create_job(UPDATE)
    world.organisation.upload_job(job_id, [flag(person)])
    world.organisation.close_job(job_id)
    world.organisation.abort_job(job_id)
    status = world.organisation.job_status(job_id)
    assert status.state is JobState.ABORTED
    assert answers(world.organisation.job_results(status, [flag(person)])) == [Answer.NOT_SENT]


def test_a_job_that_salesforce_does_not_know_leaves_its_rows_unknown(world: World) -> None:
    status = world.organisation.job_status("750000000000001AAA")
    assert status.state is JobState.GONE
    assert answers(world.organisation.job_results(status, [flag(world.contact())])) == [Answer.UNKNOWN]


def test_a_step_at_the_wrong_time_is_refused_and_changes_nothing(world: World) -> None:
    rows = [flag(world.contact())]
    job_id = world.organisation.create_job(UPDATE)
    world.organisation.upload_job(job_id, rows)
    with pytest.raises(JobRefused, match="CLIENTINPUTERROR"):
        world.organisation.upload_job(job_id, rows)
    world.organisation.close_job(job_id)
    with pytest.raises(JobRefused, match="INVALIDJOBSTATE"):
        world.organisation.close_job(job_id)
    assert answers(world.organisation.job_results(ended(world, job_id), rows)) == [Answer.OK]
    with pytest.raises(JobRefused, match="INVALIDJOBSTATE"):
        world.organisation.abort_job(job_id)


def test_a_job_that_an_organisation_does_not_take_is_told_apart_from_an_outage(world: World) -> None:
    with pytest.raises(JobRefused, match="INVALIDENTITY"):
        world.organisation.create_job(JobKind("Nowhere__c", "update"))
    arm(world, "unavailable", path="jobs/ingest")
    with pytest.raises(OrganisationUnavailable):
        world.organisation.create_job(UPDATE)


def test_results_cut_short_are_no_results(world: World) -> None:
    people = [world.contact() for _ in range(50)]
    rows = [flag(person) for person in people]
    job_id = world.organisation.create_job(UPDATE)
    world.organisation.upload_job(job_id, rows)
    world.organisation.close_job(job_id)
    status = ended(world, job_id)
    arm(world, "truncated", path="successfulResults", times=1)
    with pytest.raises(OrganisationUnavailable):
        world.organisation.job_results(status, rows)
    assert answers(world.organisation.job_results(status, rows)) == [Answer.OK] * 50


def test_a_session_that_expires_before_an_upload_is_renewed_and_the_file_sent_whole(world: World) -> None:
    people = [world.contact() for _ in range(20)]
    rows = [flag(person) for person in people]
    job_id = world.organisation.create_job(UPDATE)
    arm(world, "expired_session", path="batches", times=1)
    world.organisation.upload_job(job_id, rows)
    world.organisation.close_job(job_id)
    assert answers(world.organisation.job_results(ended(world, job_id), rows)) == [Answer.OK] * 20


def test_each_kind_of_write_is_a_job_and_a_link_is_none(world: World) -> None:
    a, b = "003000000000001AAA", "003000000000002AAA"
    rows = [flag(a), note(a), flag("00Q000000000001AAA", "Lead"), flag(b), task(a, "k"), note(b)]
    contacts, notes, leads, tasks = (1, UPDATE), (2, INSERT), (3, JobKind("Lead", "update")), (4, UPSERT)
    assert world.organisation.job_files().share_out(rows) == [contacts, notes, leads, contacts, tasks, notes]
    linked = RowWrite(Operation.CREATE_NOTE, "ContentNote", {"Title": "t", "Content": "eA=="}, linked_to=a)
    with pytest.raises(ValueError, match="cannot go by Bulk"):
        world.organisation.job_files().share_out([linked])


def test_only_jobs_of_our_user_that_are_closed_and_not_ended_are_unfinished(world: World) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, bulk_seconds=3600.0)
    rows = [flag(world.contact())]
    open_, closed, aborted, somebodys = (world.organisation.create_job(UPDATE) for _ in range(4))
    for job_id in (closed, aborted, somebodys):
        world.organisation.upload_job(job_id, rows)
        world.organisation.close_job(job_id)
    world.organisation.abort_job(aborted)
    with world.inside.connection() as connection:
        connection.execute("UPDATE _bulk_jobs SET created_by = '005000000000009AAA' WHERE id = ?", (somebodys,))
    assert world.organisation.unfinished_jobs() == {closed}
    assert open_ != closed


def test_an_organisation_without_bulk_jobs_has_none_that_are_unfinished(world: World) -> None:
    arm(world, "refusal", path="jobs/ingest", code="API_DISABLED", status=403)
    assert world.organisation.unfinished_jobs() == frozenset()
