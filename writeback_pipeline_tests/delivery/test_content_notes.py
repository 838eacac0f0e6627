"""Delivery where notes are Enhanced Notes, against a real ledger and an organisation that answers over HTTP."""

import html
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from writeback_pipeline.delivery.dry_run import dry_run
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.planning import MAX_ATTEMPTS
from writeback_pipeline.domain.records import FoundNote, OrganisationUnavailable
from writeback_pipeline.domain.settings import NoteObject
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline_tests.world import START, World

AT = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)
TITLE = "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"
NEXT_TRY = timedelta(minutes=1)


@pytest.fixture
def enhanced(world: World) -> World:
    """A world that writes ContentNotes."""
    world.ledger.change_settings({"note_object": "ContentNote"}, "tester", START)
    return world


def content_notes(world: World, person: str) -> list[dict[str, Any]]:
    """The Enhanced Notes on a person's page, oldest first, each with its link's fields."""
    return world.select(
        "SELECT n.Id, n.Title, n.Content, n.TextPreview, l.ShareType, l.Visibility "
        "FROM ContentDocumentLink l JOIN ContentNote n ON n.Id = l.ContentDocumentId "
        "WHERE l.LinkedEntityId = ? AND l.IsDeleted = 0 AND n.IsDeleted = 0 ORDER BY n.Id",
        person,
    )


def lines(note: dict[str, Any]) -> list[str]:
    """What a reader sees of a note."""
    markup = b64decode(note["Content"]).decode().removeprefix("<p>").removesuffix("</p>")
    shown = markup.split("<br>")
    assert not any("<" in line for line in shown)
    return [html.unescape(line) for line in shown]


def count(world: World, name: str) -> int:
    return int(world.select(f"SELECT count(*) AS rows FROM {name} WHERE IsDeleted = 0")[0]["rows"])


def switch_enhanced_notes_off(world: World) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, hidden=frozenset({"ContentNote"}))


def switch_enhanced_notes_on(world: World) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, hidden=frozenset())


def deliver_while(world: World, after_calls: int, act: Callable[[], object]) -> None:
    """A delivery during which somebody acts in Salesforce, once it has made that many calls."""
    waiting = [act]
    world.clock.advance(timedelta(seconds=1))

    def now() -> datetime:
        if waiting and world.organisation.usage.calls >= after_calls:
            waiting.pop()()
        return world.clock()

    OptOutDelivery(world.ledger, world.organisation, now).run()
    assert not waiting


def test_an_unsubscribe_checks_the_box_and_links_one_enhanced_note(enhanced: World) -> None:
    person = enhanced.contact()
    enhanced.unsubscribe(person, AT, reason="Bad Email")
    enhanced.deliver()
    assert enhanced.opted_out(person)
    (note,) = content_notes(enhanced, person)
    assert note["Title"] == TITLE
    assert lines(note) == [TITLE, "Reason: Bad Email"]
    assert note["ShareType"] == "V"
    (row,) = enhanced.rows(person)
    assert (row.status, row.flag_result, row.note_id, row.attempts) == (Status.WRITTEN, FlagResult.SET, note["Id"], 1)
    assert enhanced.notes(person) == []


def test_a_note_without_a_reason_is_the_sentence_alone(enhanced: World) -> None:
    person = enhanced.lead()
    enhanced.unsubscribe(person, AT)
    enhanced.deliver()
    assert lines(content_notes(enhanced, person)[0]) == ["Lead unsubscribed from Informz on 11/23/26 09:05:07 AM"]


def test_reasons_are_read_as_they_were_given(enhanced: World) -> None:
    reasons = [
        "<script>alert('x')</script> & \"more\"",
        "it's &amp; not &",
        "</p><br>one\ntwo\r\n\r\nfour",
        "@{note.id} and @{nothing}",
        "Zoë 你好 👩\u200d🚀",
    ]
    people = [enhanced.contact() for _ in reasons]
    for person, reason in zip(people, reasons, strict=True):
        enhanced.unsubscribe(person, AT, reason=reason)
    enhanced.deliver()
    for person, reason in zip(people, reasons, strict=True):
        (note,) = content_notes(enhanced, person)
        assert lines(note) == [TITLE, *f"Reason: {reason}".splitlines()]
        assert note["TextPreview"].startswith(TITLE)


def test_enhanced_notes_of_one_second_are_told_apart_by_how_they_begin(enhanced: World) -> None:
    person = enhanced.contact()
    reasons = ["first", "second", "far too many " + "mails " * 60 + "indeed", None]
    for number, reason in enumerate(reasons):
        enhanced.unsubscribe(person, AT, key=f"event {number}", reason=reason)
    enhanced.fault("drop_after", path="composite(/graph)?$", times=1)
    with pytest.raises(OrganisationUnavailable, match="in doubt"):
        enhanced.deliver()
    (lost,) = [note["Id"] for note in content_notes(enhanced, person) if lines(note)[1:] == ["Reason: first"]]
    enhanced.as_user(admin.delete, lost)
    enhanced.as_user(admin.purge, lost)
    for _ in range(2):
        enhanced.clock.advance(timedelta(minutes=20))
        enhanced.deliver()
    told = {note["Id"]: lines(note)[1:] for note in content_notes(enhanced, person)}
    assert [told[row.note_id or ""] for row in enhanced.rows(person)] == [
        [f"Reason: {reason}"] if reason else [] for reason in reasons
    ]


def test_a_resubscribe_leaves_a_second_note_and_clears_the_flag(enhanced: World) -> None:
    person = enhanced.contact()
    enhanced.unsubscribe(person)
    enhanced.deliver()
    enhanced.resubscribe(person)
    enhanced.deliver()
    assert not enhanced.opted_out(person)
    assert [note["Title"].split(" on ")[0] for note in content_notes(enhanced, person)] == [
        "Contact unsubscribed from Informz",
        "Contact resubscribed to Informz",
    ]


def test_seventy_five_notes_share_a_call_and_all_flags_go_first(enhanced: World) -> None:
    people = [enhanced.contact() for _ in range(151)]
    enhanced.unsubscribe_all(people)
    planned = dry_run(enhanced.ledger, enhanced.organisation, enhanced.clock())
    before = enhanced.organisation.usage.calls
    report = enhanced.deliver()
    assert report.statuses == {Status.WRITTEN: 151}
    assert enhanced.organisation.usage.calls - before == 1 + 1 + 3  # a look, the flags, 75 and 75 and 1 notes
    assert planned.planned_calls == 1 + 1 + 3
    assert {len(content_notes(enhanced, person)) for person in people} == {1}
    assert enhanced.notes(people[0]) == []


def test_a_note_that_cannot_be_linked_leaves_nothing_behind_and_the_others_alone(enhanced: World) -> None:
    first, deleted, last = people = [enhanced.contact() for _ in range(3)]
    enhanced.unsubscribe_all(people)
    deliver_while(enhanced, 2, lambda: enhanced.as_user(admin.delete, deleted))
    assert [enhanced.rows(person)[0].status for person in (first, last)] == [Status.WRITTEN] * 2
    (row,) = enhanced.rows(deleted)
    assert row.status is not Status.WRITTEN
    assert row.flag_result is FlagResult.SET
    assert row.error_code not in (None, "PROCESSING_HALTED")
    assert count(enhanced, "ContentNote") == count(enhanced, "ContentDocument") == 2


def test_what_the_stop_after_fourteen_failures_left_over_is_written_the_next_time(enhanced: World) -> None:
    people = [enhanced.contact() for _ in range(20)]
    enhanced.unsubscribe_all(people)
    deliver_while(enhanced, 2, lambda: [enhanced.as_user(admin.delete, person) for person in people[:15]])
    assert {enhanced.rows(person)[0].error_code for person in people[14:]} == {"PROCESSING_HALTED"}
    assert {enhanced.rows(person)[0].status for person in people[14:]} == {Status.WAITING}
    assert count(enhanced, "ContentNote") == 0
    enhanced.clock.advance(NEXT_TRY)
    enhanced.deliver()
    assert {enhanced.rows(person)[0].status for person in people[15:]} == {Status.WRITTEN}
    assert {enhanced.rows(person)[0].status for person in people[:15]} == {Status.FAILED}
    assert [len(content_notes(enhanced, person)) for person in people[15:]] == [1] * 5


def test_an_organisation_without_enhanced_notes_is_one_error_and_no_failed_row(enhanced: World) -> None:
    switch_enhanced_notes_off(enhanced)
    people = [enhanced.contact() for _ in range(80)]
    enhanced.unsubscribe_all(people)
    with pytest.raises(OrganisationUnavailable, match=r"ContentNote.*Enhanced Notes.*note_object") as refused:
        enhanced.deliver()
    assert (refused.value.code, refused.value.passing) == ("INVALID_TYPE", False)
    assert enhanced.organisation.usage.calls == 4  # a look, the flags, and one try with each 75 notes
    rows = enhanced.rows()
    assert {(row.status, row.flag_result, row.error_code) for row in rows} == {
        (Status.WAITING, FlagResult.SET, "INVALID_TYPE")
    }
    assert {"Enhanced Notes" in (row.advice or "") for row in rows} == {True}
    assert all(enhanced.opted_out(person) for person in people)


def test_notes_that_the_organisation_is_not_set_up_for_are_given_up_in_the_end_and_hold_no_flag_back(
    enhanced: World,
) -> None:
    switch_enhanced_notes_off(enhanced)
    person, tries = enhanced.contact(), []
    enhanced.unsubscribe(person)
    while enhanced.rows(person)[0].status is not Status.FAILED:
        newcomer = enhanced.contact()
        enhanced.unsubscribe(newcomer)
        with enhanced.guarded() as organisation, pytest.raises(OrganisationUnavailable):
            OptOutDelivery(enhanced.ledger, organisation, enhanced.clock).run()
        assert enhanced.opted_out(newcomer), "nobody's flag waits for somebody else's Note"
        tries.append(enhanced.clock())
        enhanced.clock.at = enhanced.rows(person)[0].next_attempt_at or enhanced.clock.at
    assert len(tries) == MAX_ATTEMPTS
    assert timedelta(hours=9) < tries[-1] - tries[0] < timedelta(hours=48)
    (row,) = enhanced.rows(person)
    assert (row.flag_result, row.error_code) == (FlagResult.SET, "INVALID_TYPE")
    assert "Enhanced Notes" in (row.advice or "")


@pytest.mark.parametrize("note_object", NoteObject)
def test_after_either_remedy_the_owed_notes_are_written(enhanced: World, note_object: NoteObject) -> None:
    switch_enhanced_notes_off(enhanced)
    person = enhanced.contact()
    enhanced.unsubscribe(person)
    with pytest.raises(OrganisationUnavailable):
        enhanced.deliver()
    if note_object is NoteObject.CONTENT_NOTE:
        switch_enhanced_notes_on(enhanced)
    enhanced.ledger.change_settings({"note_object": note_object.value}, "tester", START)
    enhanced.clock.advance(NEXT_TRY)
    enhanced.deliver()
    (row,) = enhanced.rows(person)
    assert (row.status, row.flag_result) == (Status.WRITTEN, FlagResult.SET)
    held = {NoteObject.NOTE: enhanced.notes(person), NoteObject.CONTENT_NOTE: content_notes(enhanced, person)}
    assert {each: [note["Id"] for note in notes] for each, notes in held.items() if notes} == {
        note_object: [row.note_id]
    }


def test_an_enhanced_note_is_found_by_person_and_title_also_in_the_recycle_bin(enhanced: World) -> None:
    one, two = people = [enhanced.contact() for _ in range(2)]
    for person in people:
        enhanced.unsubscribe(person, AT)
    enhanced.deliver()
    ids = [enhanced.rows(person)[0].note_id or "" for person in people]
    enhanced.as_user(admin.delete, ids[1])
    keys = [(one, TITLE), (two, TITLE), (one, TITLE.upper())]
    find = enhanced.organisation.find_notes
    found = {keys[0]: [FoundNote(ids[0], TITLE, TITLE)], keys[1]: [FoundNote(ids[1], TITLE, TITLE)], keys[2]: []}
    assert find(keys, objects=(NoteObject.CONTENT_NOTE,)) == find(keys, objects=tuple(NoteObject)) == found
    assert find(keys) == {key: [] for key in keys}


def test_a_read_back_finds_the_notes_of_both_modes_in_one_call_and_their_beginnings_in_another(enhanced: World) -> None:
    person = enhanced.contact()
    enhanced.unsubscribe(person, AT)
    enhanced.deliver()
    enhanced.ledger.change_settings({"note_object": "Note"}, "tester", START)
    enhanced.unsubscribe(person, AT + timedelta(seconds=1))
    enhanced.deliver()
    titles = [TITLE, TITLE.replace("07 AM", "08 AM")]
    before = enhanced.organisation.usage.calls
    found = enhanced.organisation.find_notes([(person, title) for title in titles], objects=tuple(NoteObject))
    assert enhanced.organisation.usage.calls == before + 2
    assert [found[person, title][0].note_id[:3] for title in titles] == ["069", "002"]
