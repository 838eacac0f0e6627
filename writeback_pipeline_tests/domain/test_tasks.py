"""What is sent for a summary, and what an answer makes of it."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from writeback_pipeline.domain.activity import DESCRIPTION_LIMIT, KEY_FIELD, MailingActivity, Presentation, Summary
from writeback_pipeline.domain.ledger import QUIET, Settlement
from writeback_pipeline.domain.outcomes import OUTCOMES
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.planning import MAX_ATTEMPTS
from writeback_pipeline.domain.records import Answer, Gone, Held, Live, Moved, RowResult
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.tasks import TaskWrite, is_due, may_have_moved, next_try, settle_task, task_write
from writeback_pipeline.domain.window_ledger import KnownSummary, WindowLease
from writeback_pipeline.domain.windows import Calendar, window_named
from writeback_pipeline.domain.writebacks import Kind, Status

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = window_named("2026-11-20", Calendar(Occurrence.DAILY, ZoneInfo("UTC")))
LEAD = PersonRef(ObjectType.LEAD, "00Q5g00000ABCDEEA4")
CONTACT = PersonRef(ObjectType.CONTACT, "0035g00000ABCDEAA2")
MAILING = MailingActivity("m-1", "Newsletter", "What is new", 1, 0, DAY.start, DAY.start)
SUMMARY = Summary(LEAD, Kind.SENT, DAY, (MAILING,), "rev-2")
SHOWN = Presentation("Informz", ZoneInfo("UTC"))
KEY = f"sent:daily:2026-11-20:{LEAD.salesforce_id}"
LEASE = WindowLease("sent:daily:2026-11-20", 7, NOW + timedelta(minutes=3))
TASK_ID = "00T5g00000ABCDEAA2"
NEW = task_write(1, SUMMARY, None, SHOWN)
KNOWN = replace(NEW, task_id=TASK_ID)


def known(status: Status, revision: str | None = "rev-1", **more: object) -> KnownSummary:
    return KnownSummary(1, status, revision, **{"task_id": TASK_ID, "person": CONTACT, "attempts": 3} | more)  # type: ignore[arg-type]


def rejected(code: str, message: str = "no") -> RowResult:
    return RowResult(Answer.REJECTED, code=code, message=message)


def settled(result: RowResult, task: TaskWrite = NEW) -> Settlement:
    return settle_task(task, result, LEASE, NOW, random.Random(1))


def test_a_new_task_is_upserted_by_its_key() -> None:
    write = NEW.write
    assert (write.sobject, write.external_id, write.record_id) == ("Task", (KEY_FIELD, KEY), None)
    assert write.fields["WhoId"] == LEAD.salesforce_id
    assert write.fields["TaskSubtype"] == "Email"
    assert KEY_FIELD not in write.fields


def test_a_known_task_is_updated_by_its_id_without_what_may_only_be_created() -> None:
    write = KNOWN.write
    assert (write.external_id, write.record_id) == (None, TASK_ID)
    assert "TaskSubtype" not in write.fields
    assert write.fields[KEY_FIELD] == KEY  # which gives one to a Task made while the field was missing


def test_without_the_key_field_the_key_ends_the_text_and_is_no_field() -> None:
    created, updated = replace(NEW, key_in_text=True).write, replace(KNOWN, key_in_text=True).write
    assert (created.external_id, created.record_id, updated.record_id) == (None, None, TASK_ID)
    for write in (created, updated):
        assert write.fields["Description"].splitlines()[-1] == KEY
        assert KEY_FIELD not in write.fields


def test_the_key_keeps_its_line_in_a_text_that_is_cut() -> None:
    many = tuple(replace(MAILING, mailing_id=f"m-{number}", subject="é" * 200) for number in range(300))
    write = replace(NEW, summary=replace(SUMMARY, mailings=many), key_in_text=True).write
    lines = write.fields["Description"].splitlines()
    assert lines[-1] == KEY
    assert "left out here" in lines[-3]
    assert len(write.fields["Description"].encode()) <= DESCRIPTION_LIMIT


def test_a_summary_goes_to_where_the_ledger_knows_that_the_person_went() -> None:
    task = task_write(1, SUMMARY, known(Status.WRITTEN), SHOWN)
    assert (task.person, task.task_id) == (CONTACT, TASK_ID)
    assert task.write.fields["WhoId"] == CONTACT.salesforce_id


@pytest.mark.parametrize(("status", "attempts"), [(Status.WRITTEN, 0), (Status.FAILED, 0), (Status.WAITING, 3)])
def test_a_revision_starts_a_new_series_of_attempts_and_what_waits_goes_on(status: Status, attempts: int) -> None:
    assert task_write(1, SUMMARY, known(status), SHOWN).attempts == attempts


@pytest.mark.parametrize(
    ("before", "due"),
    [
        (None, True),
        (known(Status.WRITTEN, "rev-2"), False),
        (known(Status.WRITTEN, "rev-1"), True),
        (known(Status.FAILED, "rev-2"), False),  # the same would be refused again: a person has to act
        (known(Status.FAILED, "rev-1"), True),
        (known(Status.PENDING, "rev-2"), True),  # somebody asked for a retry
        (known(Status.WAITING, None), True),
        (known(Status.UNKNOWN, None), False),
        (known(Status.UNKNOWN, "rev-1"), False),  # the older request may still arrive, over anything sent now
    ],
)
def test_what_is_due(before: KnownSummary | None, due: bool) -> None:
    assert is_due(before, "rev-2") is due


@pytest.mark.parametrize(
    ("task", "result", "where", "expected"),
    [
        (NEW, rejected("CANNOT_UPDATE_CONVERTED_LEAD"), Moved(CONTACT), replace(NEW, person=CONTACT)),
        (KNOWN, rejected("ENTITY_IS_DELETED"), Moved(CONTACT), replace(KNOWN, person=CONTACT)),
        (KNOWN, rejected("ENTITY_IS_DELETED"), Live(opted_out=False), NEW),  # it was the Task that was deleted
        (NEW, rejected("ENTITY_IS_DELETED"), Live(opted_out=False), None),
        (KNOWN, rejected("ENTITY_IS_DELETED"), Gone("ENTITY_IS_DELETED"), None),
        (NEW, rejected("INVALID_CROSS_REFERENCE_KEY"), Gone("NOT_FOUND"), None),
        (NEW, rejected("FIELD_CUSTOM_VALIDATION_EXCEPTION"), None, None),
        (NEW, RowResult(Answer.OK, record_id=TASK_ID), None, None),
        (NEW, RowResult(Answer.UNKNOWN), None, None),
    ],
)
def test_what_is_worth_another_try_at_once(
    task: TaskWrite, result: RowResult, where: Held | None, expected: TaskWrite | None
) -> None:
    assert next_try(task, result, where) == expected


@pytest.mark.parametrize(
    "result",
    [
        RowResult(Answer.NOT_SENT, code="NOT_FOUND", message=f"Provided external ID field ... : {KEY_FIELD}"),
        rejected("INVALID_FIELD", f"No such column '{KEY_FIELD}' on sobject of type Task"),
        rejected("INVALID_FIELD_FOR_INSERT_UPDATE", f"Unable to create/update fields: {KEY_FIELD}."),
    ],
)
def test_an_organisation_without_the_key_field_gets_the_key_in_the_text_once(result: RowResult) -> None:
    assert next_try(KNOWN, result, None) == replace(KNOWN, key_in_text=True)
    assert next_try(replace(KNOWN, key_in_text=True), result, None) is None


def test_an_upsert_that_meets_its_own_earlier_task_is_sent_again_as_a_change_of_it() -> None:
    met = rejected("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: TaskSubtype.")
    again = next_try(NEW, met, None)
    assert again == replace(NEW, exists=True)
    assert again is not None
    assert "TaskSubtype" not in again.write.fields
    assert next_try(again, met, None) is None


def test_only_refusals_can_mean_that_a_record_moved() -> None:
    assert may_have_moved(rejected("ENTITY_IS_DELETED"))
    assert not may_have_moved(rejected("UNABLE_TO_LOCK_ROW"))
    assert not may_have_moved(RowResult(Answer.NOT_SENT, code="NOT_FOUND"))


def test_a_confirmed_task_is_written_and_its_revision_remembered() -> None:
    settlement = settled(RowResult(Answer.OK, record_id=TASK_ID))
    assert (settlement.status, settlement.task_id, settlement.revision) == (Status.WRITTEN, TASK_ID, "rev-2")
    assert (settlement.person, settlement.written_at, settlement.attempted) == (LEAD, NOW, True)
    assert (settlement.person_id, settlement.epoch) == (LEASE.scope, LEASE.epoch)


def test_no_answer_is_unknown_until_the_request_can_no_longer_arrive() -> None:
    settlement = settled(RowResult(Answer.UNKNOWN, code="NO_ANSWER"))
    assert (settlement.status, settlement.next_attempt_at) == (Status.UNKNOWN, LEASE.lease_until + QUIET)
    assert settlement.revision is None


def test_what_was_not_sent_waits_and_is_no_attempt() -> None:
    settlement = settled(RowResult(Answer.NOT_SENT, code="CONNECT_FAILED", message="No connection."))
    assert (settlement.status, settlement.attempted, settlement.revision) == (Status.WAITING, False, None)
    assert settlement.advice is not None
    assert "tried again by itself. With the frequency manual that takes somebody" in settlement.advice
    command = "`writebacks run activity --occurrence daily --from 2026-11-20 --to 2026-11-20 --kind sent`"
    assert settlement.advice.endswith(f"materialise its window again, or {command}.")


@pytest.mark.parametrize("code", ["FIELD_CUSTOM_VALIDATION_EXCEPTION", "ENTITY_IS_DELETED", "SOMETHING_NEW"])
def test_a_refused_revision_fails_with_advice_and_is_remembered(code: str) -> None:
    settlement = settled(rejected(code))
    assert (settlement.status, settlement.error_code, settlement.revision) == (Status.FAILED, code, "rev-2")
    assert settlement.advice


def test_passing_trouble_waits_until_there_were_too_many_attempts() -> None:
    assert settled(rejected("UNABLE_TO_LOCK_ROW")).status is Status.WAITING
    last = replace(NEW, attempts=MAX_ATTEMPTS - 1)
    assert settled(rejected("UNABLE_TO_LOCK_ROW"), last).status is Status.FAILED


def test_a_field_that_may_not_be_written_marks_nothing_failed_and_names_no_field_of_opt_outs() -> None:
    settlement = settled(rejected("INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: Priority."))
    assert settlement.status is Status.WAITING
    assert settlement.advice is not None
    assert "Task" in settlement.advice


@pytest.mark.parametrize("code", list(OUTCOMES))
def test_no_advice_about_a_task_speaks_of_opt_outs(code: str) -> None:
    advice = settled(rejected(code)).advice or ""
    assert "Email Opt Out" not in advice
    assert "queue the change" not in advice
