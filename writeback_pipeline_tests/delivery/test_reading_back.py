"""Answers that never came: what Salesforce holds decides, and nothing is sent twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.records import Operation, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline.local_org import admin, faults
from writeback_pipeline_tests.world import World

AT = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)
SOON, LATER = timedelta(minutes=2), timedelta(minutes=20)


def break_call(world: World, kind: str, *, after_a_search: bool = False) -> None:
    """Let the next call that writes flags and notes go wrong; before a resubscribe a search goes the same way."""
    with world.inside.connection() as connection:
        faults.arm(connection, kind, path="composite(/graph)?$", times=1, every=2 if after_a_search else 1)


def states(world: World, person: str) -> list[tuple[Status, FlagResult | None]]:
    return [(row.status, row.flag_result) for row in world.rows(person)]


def deliver_into_trouble(world: World) -> None:
    with pytest.raises(OrganisationUnavailable, match="in doubt"):
        world.deliver()


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_whatever_became_of_a_call_without_an_answer_everybody_ends_with_one_note_and_the_flag(
    world: World, kind: str
) -> None:
    people = [world.contact() for _ in range(3)]
    world.unsubscribe_all(people)
    break_call(world, kind)
    deliver_into_trouble(world)
    assert {row.status for row in world.rows()} == {Status.UNKNOWN}
    for wait in (SOON, LATER, LATER):
        world.clock.advance(wait)
        world.deliver()
    for person in people:
        assert states(world, person) == [(Status.WRITTEN, FlagResult.SET)]
        (note,) = world.notes(person)
        assert world.rows(person)[0].note_id == note["Id"]
        assert world.opted_out(person)
    assert world.ledger.due(world.clock()) == 0


def test_what_arrived_is_known_within_minutes(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    break_call(world, "drop_after")
    deliver_into_trouble(world)
    world.clock.advance(SOON)
    world.deliver()
    assert states(world, person) == [(Status.WRITTEN, FlagResult.SET)]


def test_what_is_not_there_yet_is_not_sent_again_while_it_may_still_arrive(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    break_call(world, "drop_before")
    deliver_into_trouble(world)
    world.clock.advance(SOON)
    world.deliver()
    assert states(world, person)[0][0] is Status.UNKNOWN
    assert world.notes(person) == []
    world.clock.advance(LATER)
    world.deliver()
    assert states(world, person)[0][0] is Status.WRITTEN
    assert len(world.notes(person)) == 1


def test_the_flag_does_not_wait_for_what_became_of_the_note(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    break_call(world, "drop_before")
    deliver_into_trouble(world)
    assert not world.opted_out(person)
    world.clock.advance(SOON)
    world.deliver()
    assert world.opted_out(person)
    assert states(world, person) == [(Status.UNKNOWN, FlagResult.SET)]
    world.clock.advance(LATER)
    world.deliver()
    assert states(world, person) == [(Status.WRITTEN, FlagResult.SET)]
    assert len(world.notes(person)) == 1


def test_a_note_that_somebody_deleted_meanwhile_is_not_written_again(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    break_call(world, "drop_after")
    deliver_into_trouble(world)
    (note,) = world.notes(person)
    world.as_user(admin.delete, note["Id"])
    world.clock.advance(LATER)
    world.deliver()
    assert world.rows(person)[0].note_id == note["Id"]
    assert world.notes(person) == []


def test_a_note_is_found_at_the_record_that_its_person_was_merged_into(world: World) -> None:
    person, master = world.contact(), world.contact()
    world.unsubscribe(person)
    break_call(world, "drop_after")
    deliver_into_trouble(world)
    world.as_user(admin.merge, master, [person])
    world.clock.advance(LATER)
    world.deliver()
    assert len(world.notes(master)) == 1
    assert world.rows(master)[0].status is Status.WRITTEN
    assert world.opted_out(master)


def test_notes_of_one_second_are_told_apart_by_their_text_and_counted(world: World) -> None:
    person = world.contact()
    for number in range(3):
        world.unsubscribe(person, AT, key=f"event {number}", reason=f"reason {number}")
    break_call(world, "drop_after")
    deliver_into_trouble(world)
    lost = next(note for note in world.notes(person) if note["Body"].endswith("reason 1"))
    world.as_user(admin.delete, lost["Id"])
    world.as_user(admin.purge, lost["Id"])
    for wait in (SOON, LATER):
        world.clock.advance(wait)
        world.deliver()
    by_id = {note["Id"]: note["Body"][-8:] for note in world.notes(person)}
    assert sorted(by_id.values()) == ["reason 0", "reason 1", "reason 2"]
    assert [by_id[row.note_id or ""] for row in world.rows(person)] == [row.reason for row in world.rows(person)]


def test_a_resubscribe_waits_until_it_is_known_what_became_of_the_unsubscribe(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    break_call(world, "drop_after")
    deliver_into_trouble(world)
    world.resubscribe(person)
    world.deliver()
    assert world.opted_out(person)
    for wait in (SOON, LATER, LATER):
        world.clock.advance(wait)
        world.deliver()
    assert states(world, person) == [(Status.WRITTEN, FlagResult.SET), (Status.WRITTEN, FlagResult.CLEARED)]
    assert not world.opted_out(person)


def test_a_clear_that_comes_late_does_not_undo_a_newer_unsubscribe(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    break_call(world, "drop_before", after_a_search=True)
    deliver_into_trouble(world)
    world.unsubscribe(person)
    world.deliver()
    assert world.opted_out(person)
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})  # as the server does that committed late
    for wait in (SOON, LATER, LATER):
        world.clock.advance(wait)
        world.deliver()
    assert world.opted_out(person)
    assert {status for status, _ in states(world, person)} == {Status.WRITTEN}


def test_a_flag_that_is_gone_is_set_again_when_it_is_questioned(world: World) -> None:
    person, untouched = world.contact(), world.contact()
    world.unsubscribe_all([person, untouched])
    world.deliver()
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    world.ledger.question(AT - timedelta(days=30), world.clock())
    report = world.deliver()
    assert world.opted_out(person)
    assert report.statuses == {Status.WRITTEN: 1}
    assert len(world.notes(person)) == 1


def test_a_flag_that_cannot_be_set_again_is_there_to_be_seen(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    with world.inside.connection() as connection:
        faults.arm(connection, "validation_rule", times=1)
    world.ledger.question(AT - timedelta(days=30), world.clock())
    world.deliver()
    (row,) = world.rows(person)
    assert (row.status, row.error_code) == (Status.FAILED, "FIELD_CUSTOM_VALIDATION_EXCEPTION")


def test_a_resubscribe_at_the_contact_undoes_the_unsubscribe_of_the_lead_it_was(world: World) -> None:
    lead = world.lead()
    world.unsubscribe(lead)
    world.deliver()
    contact = world.as_user(admin.convert_lead, lead)
    world.resubscribe(contact)
    world.deliver()
    assert not world.opted_out(contact)
    assert [status for status, _ in states(world, contact)] == [Status.WRITTEN, Status.WRITTEN]


def test_a_note_that_a_merge_brought_along_is_nobody_elses(world: World) -> None:
    merged, master = world.contact(), world.contact()
    world.unsubscribe(merged, at=AT)
    world.deliver()
    world.unsubscribe(master, at=AT)
    break_call(world, "drop_before")
    deliver_into_trouble(world)
    world.as_user(admin.merge, master, [merged])
    world.clock.advance(LATER)
    world.deliver()
    assert {row.note_id for row in world.rows()} == {note["Id"] for note in world.notes(master)}
    assert len(world.notes(master)) == 2


def test_a_late_resubscribe_at_the_master_does_not_undo_a_newer_unsubscribe_of_a_merged_record(world: World) -> None:
    loser, master = world.contact(), world.contact()
    world.unsubscribe(master, AT)
    world.deliver()
    world.unsubscribe(loser, AT + timedelta(hours=2))
    world.deliver()
    world.as_user(admin.merge, master, [loser])
    world.resubscribe(master, AT + timedelta(hours=1))
    world.deliver()
    assert world.opted_out(master)
    assert states(world, master)[1] == (Status.WRITTEN, FlagResult.SUPERSEDED)


def test_a_resubscribe_that_cleared_the_flag_is_not_forgotten_when_its_note_fails(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    with world.inside.connection() as connection:
        faults.arm(connection, "validation_rule", object="Note", times=1)
    world.deliver()
    assert states(world, person)[1] == (Status.FAILED, FlagResult.CLEARED)
    world.unsubscribe(person, AT - timedelta(days=1))
    world.deliver()
    assert not world.opted_out(person)


class _Dies(Exception):
    """The worker ends here, as if it had been killed."""


@contextmanager
def dying_in_a_call(world: World) -> Iterator[None]:
    """A worker that is gone right after its first write call, before it could record the answer."""
    write, release = world.organisation.write, world.ledger.release

    def write_and_die(rows: Sequence[RowWrite]) -> list[RowResult]:
        write(rows)
        raise _Dies

    world.organisation.write = write_and_die  # type: ignore[method-assign]
    world.ledger.release = lambda *_: None  # type: ignore[method-assign]
    try:
        with pytest.raises(_Dies):
            yield
    finally:
        world.organisation.write = write  # type: ignore[method-assign]
        world.ledger.release = release  # type: ignore[method-assign]


def test_the_next_worker_finds_out_what_a_dead_one_wrote(world: World) -> None:
    people = [world.contact() for _ in range(3)]
    world.unsubscribe_all(people)
    with dying_in_a_call(world):
        OptOutDelivery(world.ledger, world.organisation, world.clock).run()
    for wait in (timedelta(minutes=4), LATER):
        world.clock.advance(wait)
        world.deliver()
    for person in people:
        assert states(world, person) == [(Status.WRITTEN, FlagResult.SET)]
        assert len(world.notes(person)) == 1


def test_with_key_records_a_note_that_comes_after_its_time_is_not_written_twice(world: World) -> None:
    """A server that commits after everything we wait for: only a unique key at the destination helps."""
    world.ledger.change_settings({"key_records": "true"}, "tester", AT)
    person = world.contact()
    world.unsubscribe(person, reason="a reason")
    break_call(world, "drop_before")
    deliver_into_trouble(world)
    (attempt,) = (a for a in world.ledger.attempts_of([1]) if a.intent.title)
    keyed = RowWrite(
        Operation.CREATE_NOTE,
        "Note",
        {"ParentId": person, "Title": attempt.intent.title, "Body": f"{attempt.intent.title}\nReason: a reason"},
        record_key=world.rows(person)[0].delivery_key,
    )
    send = world.organisation.write

    def overtaken(rows: Sequence[RowWrite]) -> list[RowResult]:
        world.organisation.write = send  # type: ignore[method-assign]
        send([keyed])
        return send(rows)

    world.clock.advance(LATER)
    world.organisation.write = overtaken  # type: ignore[method-assign]
    world.deliver()
    (note,) = world.notes(person)
    assert [(row.status, row.note_id) for row in world.rows(person)] == [(Status.WRITTEN, note["Id"])]


def test_with_key_records_opt_outs_are_written_as_ever(world: World) -> None:
    world.ledger.change_settings({"key_records": "true"}, "tester", AT)
    people = [world.contact(), world.lead()]
    world.unsubscribe_all(people)
    world.deliver()
    keys = world.select("SELECT Key__c, Record_Id__c FROM Writeback__c")
    assert {(key["Key__c"], key["Record_Id__c"]) for key in keys} == {
        (row.delivery_key, row.note_id) for row in world.rows()
    }
    assert [len(world.notes(person)) for person in people] == [1, 1]
