"""Taking runs back, against a real ledger and an organisation that answers over HTTP."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.delivery.reconciling import reconcile
from writeback_pipeline.delivery.synchronising import synchronise
from writeback_pipeline.delivery.undo import RunUndo, UndoReport, plan_run
from writeback_pipeline.domain.ledger import QUIET, Origin, OriginChange, Settlement, StoreBusy
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.story import moments
from writeback_pipeline.domain.sync import Finding
from writeback_pipeline.domain.undoing import INCOMPLETE, NOTE_UNDONE, UNDONE, NotUndoable
from writeback_pipeline.domain.writebacks import FlagResult, Status, Writeback
from writeback_pipeline.local_org import admin, faults
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.mailings import Mailings, deliver, tasks
from writeback_pipeline_tests.world import START, World, world_in

SECOND = timedelta(seconds=1)


def run(world: World, run_id: str) -> None:
    world.clock.advance(SECOND)
    OptOutDelivery(world.ledger, world.organisation, world.clock, run_id=run_id).run()


def undo(world: World, run_id: str) -> UndoReport:
    world.clock.advance(SECOND)
    return RunUndo(world.ledger, world.organisation, world.clock, by="tester").run(run_id)


def row(world: World, person: str) -> Writeback:
    (found,) = world.rows(person)
    return found


def clear_in_salesforce(world: World, person: str) -> None:
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})


def arm(world: World, kind: str, **how: Any) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, kind, **how)


def clear_faults(world: World) -> None:
    with world.inside.connection() as connection:
        faults.clear(connection)


@pytest.mark.every_store
def test_a_wrong_run_is_taken_back_and_sent_again_only_when_it_is_asked_for(world: World) -> None:
    people = [world.contact(), world.lead()]
    for person in people:
        world.unsubscribe(person, reason="wrong list")
    run(world, "wrong")
    written = {person: row(world, person) for person in people}
    report = undo(world, "wrong")
    assert report.complete
    for person in people:
        assert (world.opted_out(person), world.notes(person)) == (False, [])
        shown = row(world, person)
        assert (shown.status, shown.error_code, shown.note_id, shown.flag_result) == (Status.FAILED, UNDONE, None, None)
        assert (shown.run_id, shown.written_at) == (report.undo_id, None)
        told = f"Note {written[person].note_id} deleted; Email Opt Out unchecked again"
        assert shown.error_message == told
        assert (shown.advice or "").startswith("Undone by tester at 2026-11-23T12:00:0")
    world.clock.advance(timedelta(days=2))
    assert world.ledger.due(world.clock()) == 0, "the next poll does not send it again"
    world.deliver()
    assert not any(map(world.opted_out, people))
    world.ledger.retry(ids=[row(world, people[0]).id])
    run(world, "right")
    assert (world.opted_out(people[0]), world.opted_out(people[1])) == (True, False)
    (note,) = world.notes(people[0])
    assert (row(world, people[0]).status, row(world, people[0]).note_id) == (Status.WRITTEN, note["Id"])


def test_undoing_a_run_again_changes_nothing_even_after_a_retry(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    undo(world, "wrong")
    assert undo(world, "wrong").rows == []
    world.ledger.retry(ids=[row(world, person).id])
    run(world, "right")
    assert undo(world, "wrong").rows == [], "what stands now is the later run's"
    assert (world.opted_out(person), len(world.notes(person))) == (True, 1)
    assert undo(world, "right").complete
    assert (world.opted_out(person), world.notes(person)) == (False, [])


def test_a_dry_run_shows_what_an_undo_would_do_and_changes_nothing(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    before, journal = row(world, person), world.ledger.attempts_of([row(world, person).id])
    planned = plan_run(world.ledger, world.organisation, "wrong", world.clock(), by="tester")
    assert planned.undo_id is None
    assert (row(world, person), world.opted_out(person)) == (before, True)
    assert world.ledger.attempts_of([before.id]) == journal
    done = undo(world, "wrong")
    assert [each.error_message for each in done.rows] == [each.error_message for each in planned.rows]


def test_every_write_of_an_undo_is_in_the_journal_with_its_answer(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    note_id = row(world, person).note_id
    report = undo(world, "wrong")
    attempts = [a for a in world.ledger.attempts_of([row(world, person).id]) if a.intent.run_id == report.undo_id]
    assert {(a.intent.operation.value, a.intent.target_id, a.outcome and a.outcome.answer.value) for a in attempts} == {
        ("delete_note", note_id, "ok"),
        ("clear_flag", person, "ok"),
    }
    (flag,) = [a for a in attempts if a.intent.operation.value == "clear_flag"]
    assert flag.intent.flag_before is True


@pytest.mark.every_store
def test_nobody_is_opted_in_who_stands_opted_out_by_another_change(world: World) -> None:
    earlier, pending = world.contact(), world.contact()
    world.unsubscribe(earlier)
    run(world, "first")
    clear_in_salesforce(world, earlier)
    for person in (earlier, pending):
        world.unsubscribe(person, reason="wrong")
    run(world, "wrong")
    world.unsubscribe(pending, reason="meanwhile, not delivered yet")
    report = undo(world, "wrong")
    assert report.complete
    assert (world.opted_out(earlier), world.opted_out(pending)) == (True, True)
    assert [note["Title"] for note in world.notes(pending)] == []
    assert all("left checked (another opt-out stands)" in each.error_message for each in report.rows)


def test_nobody_is_opted_in_who_opted_out_in_salesforce(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    (claim,) = world.ledger.preview(world.clock(), limit=1, people=[person])
    told = OriginChange(person, True, world.clock(), 0, origin=Origin.SALESFORCE)
    kept = Settlement(row(world, person).id, person, claim.epoch, Status.PENDING)
    world.ledger.record([], [kept], [told], world.clock(), release=True)
    world.ledger.claim("worker", world.clock(), limit=1)
    (claim,) = world.ledger.preview(world.clock(), limit=1, people=[person])
    world.ledger.record(
        [], [Settlement(row(world, person).id, person, claim.epoch, Status.WRITTEN)], [], world.clock(), release=True
    )
    undo(world, "wrong")
    assert world.opted_out(person)


def test_a_flag_that_somebody_changed_since_is_left(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.unsubscribe(person, reason="wrong")
    run(world, "both")
    clear_in_salesforce(world, person)
    report = undo(world, "both")
    assert not world.opted_out(person)
    assert report.complete
    assert world.notes(person) == []


def test_a_flag_that_a_later_run_has_written_is_left(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "first")
    clear_in_salesforce(world, person)
    world.unsubscribe(person)
    run(world, "second")
    report = undo(world, "first")
    assert world.opted_out(person)
    assert [each.error_message.partition("; ")[2] for each in report.rows] == [
        "Email Opt Out left checked (another run has written it since)"
    ]
    assert len(world.notes(person)) == 1


@pytest.mark.every_store
def test_a_resubscribe_that_is_undone_opts_the_person_out_again_and_can_be_made_later(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "out")
    world.resubscribe(person)
    run(world, "wrong")
    assert not world.opted_out(person)
    undo(world, "wrong")
    assert (world.opted_out(person), len(world.notes(person))) == (True, 1)
    world.resubscribe(person)
    run(world, "in")
    latest = world.rows(person)[-1]
    assert (latest.status, latest.flag_result, world.opted_out(person)) == (Status.WRITTEN, FlagResult.CLEARED, False)


def test_an_unsubscribe_that_was_undone_leaves_nothing_to_resubscribe_from(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    undo(world, "wrong")
    world.resubscribe(person)
    run(world, "later")
    assert world.rows(person)[-1].error_code == "ORIGIN_NOTHING_TO_UNDO"


def test_an_unsubscribe_that_was_undone_and_sent_again_can_be_resubscribed_from(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    undo(world, "wrong")
    world.ledger.retry(ids=[row(world, person).id])
    run(world, "again")
    world.resubscribe(person)
    run(world, "later")
    assert (world.rows(person)[-1].status, world.opted_out(person)) == (Status.WRITTEN, False)


def test_what_is_not_settled_yet_is_left_with_the_reason(world: World) -> None:
    stuck, done = world.contact(), world.contact()
    arm(world, "row_lock", object="Contact", operation="update", record_id=stuck)
    world.unsubscribe(stuck)
    world.unsubscribe(done)
    run(world, "wrong")
    clear_faults(world)
    report = undo(world, "wrong")
    assert not report.complete
    (reason,) = report.left.values()
    assert "it is waiting: what it has come to is not settled" in reason
    assert (len(world.notes(stuck)), world.notes(done)) == (1, [])
    assert [each.status for each in world.rows(stuck)] == [Status.WAITING]


@pytest.mark.every_store
def test_a_person_whom_another_worker_serves_is_left(world: World) -> None:
    busy, free = world.contact(), world.contact()
    for person in (busy, free):
        world.unsubscribe(person)
    run(world, "wrong")
    world.unsubscribe(busy)
    world.ledger.claim("somebody else", world.clock(), limit=1)
    report = undo(world, "wrong")
    assert report.left == {busy: "another worker is writing for it now; undo again when it is done"}
    assert (len(world.notes(busy)), world.notes(free)) == (1, [])


def test_a_note_that_salesforce_does_not_let_go_is_told_and_undone_later(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    arm(world, "row_error", operation="delete", code="INSUFFICIENT_ACCESS_OR_READONLY")
    report = undo(world, "wrong")
    assert not report.complete
    shown = row(world, person)
    (note,) = world.notes(person)
    assert (shown.status, shown.error_code, shown.note_id) == (Status.FAILED, INCOMPLETE, note["Id"])
    assert "INSUFFICIENT_ACCESS_OR_READONLY" in (shown.error_message or "")
    clear_faults(world)
    assert undo(world, "wrong").complete
    assert (world.notes(person), row(world, person).error_code) == ([], UNDONE)


@pytest.mark.every_store
def test_an_undo_whose_answer_was_lost_is_finished_by_the_next(world: World) -> None:
    people = [world.contact() for _ in range(3)]
    for person in people:
        world.unsubscribe(person)
    run(world, "wrong")
    arm(world, "drop_after", path="composite$", times=1, every=2)  # the first is a search
    with pytest.raises(OrganisationUnavailable):
        undo(world, "wrong")
    assert {row(world, person).error_code for person in people} == {INCOMPLETE}
    assert not undo(world, "wrong").complete, "a flag write may still arrive"
    world.clock.advance(timedelta(minutes=5) + QUIET)
    assert undo(world, "wrong").complete
    for person in people:
        assert (world.opted_out(person), world.notes(person), row(world, person).error_code) == (False, [], UNDONE)


def test_an_undo_into_which_nothing_was_sent_leaves_the_list_as_it_was(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    arm(world, "unavailable", path="composite$", times=1, html=False)
    with pytest.raises(OrganisationUnavailable):
        undo(world, "wrong")
    arm(world, "daily_quota", path="composite$", times=1)
    world.clock.advance(timedelta(minutes=5) + QUIET)
    with pytest.raises(OrganisationUnavailable):
        undo(world, "wrong")
    assert undo(world, "wrong").complete
    assert (world.opted_out(person), world.notes(person)) == (False, [])


def test_a_note_that_somebody_had_deleted_counts_as_undone(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    world.as_user(admin.delete, row(world, person).note_id)
    assert undo(world, "wrong").complete
    assert row(world, person).note_id is None


def test_the_flag_of_somebody_who_is_deleted_is_left_and_the_rest_undone(world: World) -> None:
    kept, gone = world.contact(), world.contact()
    for person in (kept, gone):
        world.unsubscribe(person)
    run(world, "wrong")
    world.as_user(admin.delete, gone)
    report = undo(world, "wrong")
    assert report.complete
    assert "the record is deleted" in (row(world, gone).error_message or "")
    assert not world.opted_out(kept)


def test_enhanced_notes_are_taken_back_too(world: World) -> None:
    world.ledger.change_settings({"note_object": "ContentNote"}, "tester", world.clock())
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    assert undo(world, "wrong").complete
    assert world.select("SELECT Id FROM ContentNote WHERE IsDeleted = 0") == []


def test_key_records_go_with_their_notes_so_that_a_retry_can_write_them_again(world: World) -> None:
    world.ledger.change_settings({"key_records": "true"}, "tester", world.clock())
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    assert undo(world, "wrong").complete
    assert world.select("SELECT Id FROM Writeback__c WHERE IsDeleted = 0") == []
    world.ledger.retry(ids=[row(world, person).id])
    run(world, "right")
    (note,) = world.notes(person)
    assert (row(world, person).status, row(world, person).note_id) == (Status.WRITTEN, note["Id"])


@pytest.mark.parametrize("key_records", ["true", "false"])
def test_a_read_back_does_not_take_the_note_that_was_undone_for_the_new_one(world: World, key_records: str) -> None:
    world.ledger.change_settings({"key_records": key_records}, "tester", world.clock())
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    undo(world, "wrong")
    world.ledger.retry(ids=[row(world, person).id])
    arm(world, "drop_before", path="composite(/graph)?$", times=1)
    with pytest.raises(OrganisationUnavailable):
        run(world, "lost")
    world.clock.advance(timedelta(minutes=5) + QUIET)
    run(world, "right")
    run(world, "and again")
    (note,) = world.notes(person)
    assert (row(world, person).status, row(world, person).note_id) == (Status.WRITTEN, note["Id"])


def test_neither_the_sync_nor_the_nightly_comparison_brings_back_what_was_undone(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    synchronise(world.ledger, world.organisation, world.clock())
    undo(world, "wrong")
    for _ in range(2):
        world.clock.advance(timedelta(hours=1))
        synchronise(world.ledger, world.organisation, world.clock())
        reconcile(OptOutDelivery(world.ledger, world.organisation, world.clock), world.ledger, world.organisation)
    assert (world.opted_out(person), world.notes(person), row(world, person).error_code) == (False, [], UNDONE)


def test_a_suppressed_flag_stays_suppressed(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", world.clock())
    undo(world, "wrong")
    assert world.opted_out(person)
    assert "suppress_opt_out_flag is on" in (row(world, person).error_message or "")


def test_only_runs_that_wrote_something_are_undone_and_never_an_undo(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    report = undo(world, "wrong")
    with pytest.raises(NotUndoable, match="no run nonsense has written anything"):
        undo(world, "nonsense")
    assert report.undo_id is not None
    with pytest.raises(NotUndoable, match=r"is an undo itself\. To send again what it took back: writebacks retry"):
        undo(world, report.undo_id)


def test_nothing_is_undone_in_another_organisation(world: World, tmp_path: Path) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    with world_in(tmp_path / "elsewhere") as other, pytest.raises(WrongOrganisation):
        RunUndo(world.ledger, other.organisation, world.clock, by="tester").run("wrong")
    assert row(world, person).status is Status.WRITTEN


@pytest.mark.every_store
def test_activity_is_taken_back_and_written_again_only_when_it_is_asked_for(world: World, tmp_path: Path) -> None:
    mailings = Mailings(tmp_path / "mailing_activity")
    person, other = world.contact(), world.contact()
    mailings.sent(person, other)
    deliver(world, mailings, run_id="wrong")
    assert undo(world, "wrong").complete
    assert tasks(world) == []
    assert {(each.status, each.error_code, each.task_id) for each in world.rows()} == {(Status.FAILED, UNDONE, None)}
    mailings.sent(person, when="11-20 21:00", mailing_id="m-2")
    assert deliver(world, mailings).calls == 0, "a change of the window does not send it either"
    world.ledger.retry(ids=[row(world, person).id])
    deliver(world, mailings, run_id="right")
    (task,) = tasks(world)
    assert (task["WhoId"], row(world, person).status) == (person, Status.WRITTEN)
    assert "2 mailings" in task["Subject"]


def test_a_task_that_another_run_has_revised_is_left(world: World, tmp_path: Path) -> None:
    mailings = Mailings(tmp_path / "mailing_activity")
    person, other = world.contact(), world.contact()
    mailings.sent(person, other)
    deliver(world, mailings, run_id="first")
    mailings.sent(person, when="11-20 21:00", mailing_id="m-2")
    deliver(world, mailings, run_id="second")
    assert not undo(world, "second").complete, "the first run's text is not kept anywhere"
    report = undo(world, "first")
    (reason,) = report.left.values()
    assert "was made or revised by another run as well" in reason
    assert [task["WhoId"] for task in tasks(world)] == [person]


def test_a_run_that_only_set_a_flag_again_takes_nothing_back_that_another_run_wrote(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "first")
    clear_in_salesforce(world, person)
    world.ledger.question(START - timedelta(days=1), world.clock())
    run(world, "again")
    assert world.opted_out(person)
    undo(world, "again")
    assert world.opted_out(person)
    assert row(world, person).status is Status.WRITTEN
    assert len(world.notes(person)) == 1


def test_nobody_is_opted_in_whose_earlier_record_opted_out(world: World) -> None:
    lead, contact = world.lead(), world.contact()
    world.unsubscribe(lead)
    run(world, "first")
    world.unsubscribe(contact)
    run(world, "wrong")
    world.as_user(admin.convert_lead, lead, contact)
    undo(world, "wrong")
    assert world.opted_out(contact)


def standing(world: World, person: str) -> list[tuple[str, bool]]:
    """The opt-outs of a person that stand in the ledger: where they were made, and whether we set the flag for them."""
    (facts,) = world.ledger.story(person)
    return [(each.origin, each.flag_set) for each in facts.opt_outs if each.cleared_at is None]


def note_in_one_run_and_flag_in_the_next(world: World) -> str:
    person = world.contact()
    arm(world, "row_lock", object="Contact", operation="update", record_id=person)
    world.unsubscribe(person)
    run(world, "noted")
    clear_faults(world)
    world.clock.advance(timedelta(minutes=1))
    run(world, "flagged")
    assert (world.opted_out(person), len(world.notes(person))) == (True, 1)
    return person


@pytest.mark.every_store
@pytest.mark.parametrize("order", [("noted", "flagged"), ("flagged", "noted")])
def test_what_two_runs_wrote_together_is_taken_back_in_either_order(world: World, order: tuple[str, str]) -> None:
    person = note_in_one_run_and_flag_in_the_next(world)
    for run_id in order:
        assert undo(world, run_id).complete
    assert (world.opted_out(person), world.notes(person), standing(world, person)) == (False, [], [])
    shown = row(world, person)
    assert (shown.status, shown.error_code, shown.note_id, shown.flag_result) == (Status.FAILED, UNDONE, None, None)
    assert [undo(world, run_id).rows for run_id in order] == [[], []]
    synchronise(world.ledger, world.organisation, world.clock())
    world.deliver()
    assert (world.opted_out(person), world.notes(person)) == (False, [])


def test_a_run_that_only_set_the_flag_is_undone_and_the_note_of_the_other_run_stays(world: World) -> None:
    person = note_in_one_run_and_flag_in_the_next(world)
    undo(world, "flagged")
    (note,) = world.notes(person)
    assert (world.opted_out(person), standing(world, person)) == (False, [])
    shown = row(world, person)
    assert (shown.error_code, shown.note_id) == (UNDONE, note["Id"])
    assert (
        shown.error_message
        == f"Note {note['Id']} left (run noted wrote it: undo that run too); Email Opt Out unchecked again"
    )


def test_a_run_that_only_wrote_the_note_is_undone_and_the_opt_out_of_the_other_run_stands(world: World) -> None:
    person = note_in_one_run_and_flag_in_the_next(world)
    undo(world, "noted")
    assert (world.opted_out(person), world.notes(person), standing(world, person)) == (True, [], [("platform", True)])
    shown = row(world, person)
    assert (shown.error_code, shown.flag_result) == (NOTE_UNDONE, FlagResult.SET)
    assert "Email Opt Out left checked (run flagged wrote it: undo that run too)" in (shown.error_message or "")
    world.resubscribe(person)
    run(world, "later")
    assert (world.rows(person)[-1].status, world.opted_out(person)) == (Status.WRITTEN, False)


def test_an_opt_out_whose_flag_had_to_stay_is_still_ours_to_the_next_sync(world: World) -> None:
    synchronise(world.ledger, world.organisation, world.clock())
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", world.clock())
    undo(world, "wrong")
    world.clock.advance(timedelta(hours=1))
    synchronise(world.ledger, world.organisation, world.clock())
    assert (world.opted_out(person), standing(world, person)) == (True, [("platform", True)])
    world.ledger.change_settings({"suppress_opt_out_flag": "false"}, "tester", world.clock())
    assert undo(world, "wrong").complete, "what had to stay can be undone once it need not"
    assert (world.opted_out(person), standing(world, person)) == (False, [])
    assert undo(world, "wrong").rows == []


def test_a_flag_that_an_undo_had_to_leave_and_somebody_clears_is_not_set_again(world: World) -> None:
    synchronise(world.ledger, world.organisation, world.clock())
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", world.clock())
    undo(world, "wrong")
    world.ledger.change_settings({"suppress_opt_out_flag": "false"}, "tester", world.clock())
    clear_in_salesforce(world, person)
    world.clock.advance(timedelta(hours=1))
    report = synchronise(world.ledger, world.organisation, world.clock())
    assert (report.news[Finding.CLEARED], report.news[Finding.OURS_CLEARED]) == (1, 0)
    world.deliver()
    assert (world.opted_out(person), standing(world, person)) == (False, [])


def test_an_opt_out_that_waits_takes_over_the_flag_that_an_undo_leaves_for_it(world: World) -> None:
    synchronise(world.ledger, world.organisation, world.clock())
    person = world.contact()
    world.unsubscribe(person, reason="wrong")
    run(world, "wrong")
    world.unsubscribe(person, reason="meanwhile, not delivered yet")
    undo(world, "wrong")
    world.clock.advance(timedelta(hours=1))
    synchronise(world.ledger, world.organisation, world.clock())
    assert {origin for origin, _ in standing(world, person)} == {"platform"}
    run(world, "right")
    assert all(flag_set for _, flag_set in standing(world, person))
    world.resubscribe(person)
    run(world, "later")
    assert (world.rows(person)[-1].status, world.opted_out(person)) == (Status.WRITTEN, False)


def test_a_resubscribe_is_undone_behind_somebody_who_has_opted_the_person_out_in_salesforce(world: World) -> None:
    synchronise(world.ledger, world.organisation, world.clock())
    person = world.contact()
    world.unsubscribe(person)
    run(world, "out")
    world.resubscribe(person)
    run(world, "wrong")
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": True})
    undo(world, "wrong")
    assert standing(world, person) == [("platform", False)], "nobody says that this flag is ours"
    world.clock.advance(timedelta(hours=1))
    synchronise(world.ledger, world.organisation, world.clock())
    assert standing(world, person) == [("platform", False), ("salesforce", False)]
    world.resubscribe(person)
    run(world, "later")
    assert (world.rows(person)[-1].status, world.opted_out(person)) == (Status.REFUSED, True)


def test_a_person_whose_record_became_another_is_left_until_the_two_are_joined(world: World) -> None:
    synchronise(world.ledger, world.organisation, world.clock())
    person, master = world.contact(), world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    world.as_user(admin.merge, master, [person])
    report = undo(world, "wrong")
    assert not report.complete
    assert standing(world, person) == [("platform", True)]
    world.clock.advance(timedelta(hours=1))
    synchronise(world.ledger, world.organisation, world.clock())
    assert undo(world, "wrong").complete


@pytest.mark.every_store
def test_what_was_undone_stays_in_the_story(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    written = row(world, person)
    report = undo(world, "wrong")
    world.ledger.retry(ids=[written.id])
    (facts,) = world.ledger.story(person)
    told = [(each.at, each.told, each.run_id) for each in moments(facts) if each.kind in ("written", "undone")]
    assert told == [
        (
            written.written_at,
            f"Writeback {written.id} was written, Note {written.note_id}; Email Opt Out was ticked.",
            "wrong",
        ),
        (
            world.clock(),
            f"Writeback {written.id} was undone: Note {written.note_id} deleted; Email Opt Out unchecked again.",
            report.undo_id,
        ),
    ]


def test_the_answers_of_an_undo_are_recorded_though_the_store_is_busy_for_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = world.contact()
    world.unsubscribe(person)
    run(world, "wrong")
    busy = iter([True, True, False])
    for name in ("record", "finish_undo"):
        monkeypatch.setattr(Store, name, busy_at_first(getattr(Store, name), busy))
    assert undo(world, "wrong").complete
    assert not any(attempt.outcome is None for attempt in world.ledger.attempts_of([row(world, person).id]))


def busy_at_first(method: Any, busy: Iterator[bool]) -> Any:
    def called(*arguments: Any, **how: Any) -> Any:
        if next(busy, False):
            raise StoreBusy("another process keeps it")
        return method(*arguments, **how)

    return called
