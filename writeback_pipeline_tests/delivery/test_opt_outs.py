"""Delivery of opt-outs against a real ledger and an organisation that answers over HTTP."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.delivery import opt_outs
from writeback_pipeline.delivery.bulk_jobs import BulkJobs
from writeback_pipeline.delivery.dry_run import dry_run
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.domain import planning
from writeback_pipeline.domain.notes import note_body
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.world import START, World, world_in

AT = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)


def states(world: World, person: str) -> list[tuple[Status, FlagResult | None]]:
    return [(row.status, row.flag_result) for row in world.rows(person)]


def test_an_unsubscribe_checks_the_box_and_leaves_one_note(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person, AT, reason="Bad Email")
    world.deliver()
    assert world.opted_out(person)
    (note,) = world.notes(person)
    assert note["Title"] == "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"
    assert note["Body"] == "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM\nReason: Bad Email"
    (row,) = world.rows(person)
    assert (row.status, row.flag_result, row.note_id, row.attempts) == (Status.WRITTEN, FlagResult.SET, note["Id"], 1)


def test_a_lead_is_called_a_lead(world: World) -> None:
    person = world.lead()
    world.unsubscribe(person, AT)
    world.deliver()
    assert world.notes(person)[0]["Title"] == "Lead unsubscribed from Informz on 11/23/26 09:05:07 AM"


@pytest.mark.parametrize(("hour", "text"), [(0, "12:00:00 AM"), (12, "12:00:00 PM")])
def test_midnight_and_noon_are_twelve(world: World, hour: int, text: str) -> None:
    person = world.contact()
    world.unsubscribe(person, datetime(2026, 11, 23, hour, tzinfo=UTC))
    world.deliver()
    assert world.notes(person)[0]["Title"].endswith(f"11/23/26 {text}")


def test_the_note_tells_the_time_of_the_bridges_zone_and_the_platforms_name(world: World) -> None:
    person = world.contact()
    world.ledger.change_settings({"time_zone": "America/New_York", "platform_name": "Mailer"}, "tester", START)
    world.unsubscribe(person, AT)
    world.deliver()
    assert world.notes(person)[0]["Title"] == "Contact unsubscribed from Mailer on 11/23/26 04:05:07 AM"


def test_a_suppressed_flag_is_left_alone_and_the_note_written(world: World) -> None:
    person = world.contact()
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", START)
    world.unsubscribe(person)
    world.resubscribe(person)
    world.deliver()
    assert not world.opted_out(person)
    assert len(world.notes(person)) == 2
    assert states(world, person) == [(Status.WRITTEN, FlagResult.SUPPRESSED)] * 2


def by_command(world: World) -> None:
    world.ledger.change_settings({"suppress_opt_out_flag": "false"}, "tester", world.clock())


def by_sql(world: World) -> None:
    with open_database(world.database).writing() as session:
        session.execute("UPDATE settings SET value = 'False' WHERE name = 'suppress_opt_out_flag'")


@pytest.mark.parametrize("turn_off", [by_command, by_sql])
def test_once_the_flag_is_not_suppressed_any_more_the_next_delivery_sets_what_was_left(
    world: World, turn_off: Callable[[World], None]
) -> None:
    out, back, ticked, gone = (world.contact() for _ in range(4))
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", START)
    for person in (out, back, ticked, gone):
        world.unsubscribe(person)
    world.resubscribe(back)
    world.deliver()
    world.as_user(admin.edit, ticked, {"HasOptedOutOfEmail": True})
    world.as_user(admin.delete, gone)
    assert (world.ledger.due(world.clock()), world.ledger.flags_left()) == (0, 0)
    turn_off(world)
    assert (world.ledger.due(world.clock()), world.ledger.flags_left()) == (4, 4)
    (planned,) = dry_run(world.ledger, world.organisation, world.clock()).planned
    assert (planned.salesforce_id, planned.flag_before, planned.flag_after) == (out, False, True)
    assert (planned.flag_result, planned.note_title) == (FlagResult.SET, None)
    assert world.ledger.flags_left() == 4
    report = world.deliver()
    assert (world.opted_out(out), world.opted_out(back), world.opted_out(ticked)) == (True, False, True)
    assert (states(world, out), len(world.notes(out))) == ([(Status.WRITTEN, FlagResult.SET)], 1)
    assert report.reopened == 1
    assert world.ledger.due(world.clock()) == 0
    assert world.deliver().settled == 0
    world.resubscribe(out)
    world.deliver()
    assert not world.opted_out(out), "the flag is known to be ours"


def test_a_delivery_ends_when_the_policy_changes_and_leaves_the_rest_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [world.contact() for _ in range(2)]
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", START)
    world.unsubscribe_all(people)
    monkeypatch.setattr(opt_outs, "PEOPLE_PER_CLAIM", 1)
    delivery = OptOutDelivery(world.ledger, world.organisation, world.clock, progress=lambda _: by_command(world))
    assert delivery.run().statuses == {Status.WRITTEN: 1}
    world.deliver()
    assert all(world.opted_out(person) for person in people)


def test_a_policy_that_changes_while_a_job_is_waited_for_is_the_next_deliverys(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = world.contact()
    world.ledger.change_settings({"suppress_opt_out_flag": "true"}, "tester", START)
    world.unsubscribe(person)
    with monkeypatch.context() as patch:
        patch.setattr(BulkJobs, "finish_left", lambda *_: by_command(world))
        assert world.deliver().statuses == {}
    assert world.deliver().statuses == {Status.WRITTEN: 1}
    assert world.opted_out(person)


def test_a_resubscribe_clears_the_flag_that_we_set(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    world.deliver()
    assert not world.opted_out(person)
    assert [note["Title"].split(" on ")[0] for note in world.notes(person)] == [
        "Contact unsubscribed from Informz",
        "Contact resubscribed to Informz",
    ]
    assert states(world, person) == [(Status.WRITTEN, FlagResult.SET), (Status.WRITTEN, FlagResult.CLEARED)]


def test_a_resubscribe_of_somebody_opted_out_in_salesforce_is_refused(world: World) -> None:
    person = world.contact(HasOptedOutOfEmail=True)
    world.resubscribe(person)
    world.deliver()
    assert world.opted_out(person)
    assert world.notes(person) == []
    (row,) = world.rows(person)
    assert row.status is Status.REFUSED
    assert "clear Email Opt Out on the Contact in Salesforce" in (row.advice or "")


def test_a_resubscribe_that_nothing_precedes_is_refused(world: World) -> None:
    person = world.lead()
    world.resubscribe(person)
    world.deliver()
    assert states(world, person) == [(Status.REFUSED, None)]


def test_unsubscribe_and_resubscribe_in_one_poll_are_two_notes_and_one_flag(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.resubscribe(person)
    world.unsubscribe(person)
    world.deliver()
    assert world.opted_out(person)
    assert len(world.notes(person)) == 3
    assert [flag for _, flag in states(world, person)] == [
        FlagResult.SUPERSEDED,
        FlagResult.SUPERSEDED,
        FlagResult.SET,
    ]


def test_a_late_older_event_adds_its_note_and_never_moves_the_flag(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    world.deliver()
    world.unsubscribe(person, START - timedelta(days=1))
    world.deliver()
    assert not world.opted_out(person)
    assert len(world.notes(person)) == 3
    assert states(world, person)[0] == (Status.WRITTEN, FlagResult.SUPERSEDED)


def test_a_flag_that_stays_set_through_a_resubscribe_and_an_unsubscribe_remains_ours(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    world.deliver()
    assert states(world, person)[-1] == (Status.WRITTEN, FlagResult.CLEARED)
    assert not world.opted_out(person)


def test_a_second_delivery_makes_no_call(world: World) -> None:
    world.unsubscribe(world.contact())
    world.deliver()
    before = world.organisation.usage.calls
    report = world.deliver()
    assert report.settled == 0
    assert world.organisation.usage.calls == before


def test_a_thousand_unsubscribes_cost_three_calls(world: World) -> None:
    people = [*(world.contact() for _ in range(500)), *(world.lead() for _ in range(500))]
    world.unsubscribe_all(people)
    report = world.deliver()
    assert report.statuses == {Status.WRITTEN: 1000}
    assert world.organisation.usage.calls == 3
    assert world.select("SELECT count(*) AS notes FROM Note")[0]["notes"] == 1000


def test_a_converted_lead_is_followed_to_its_contact(world: World) -> None:
    lead = world.lead()
    contact = world.as_user(admin.convert_lead, lead)
    world.unsubscribe(lead, AT)
    world.deliver()
    assert world.opted_out(contact)
    assert world.notes(contact)[0]["Title"] == "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"
    (row,) = world.rows(lead)
    assert (row.salesforce_id, row.redirected_from, row.status) == (contact, lead, Status.WRITTEN)


def test_a_merged_contact_is_followed_to_its_master_through_a_chain(world: World) -> None:
    first, second, third = (world.contact() for _ in range(3))
    world.as_user(admin.merge, second, [first])
    world.as_user(admin.merge, third, [second])
    world.unsubscribe(first)
    world.deliver()
    assert world.opted_out(third)
    (row,) = world.rows(first)
    assert (row.salesforce_id, row.redirected_from) == (third, first)


def test_events_of_a_lead_and_of_the_contact_it_became_meet_in_one_fold(world: World) -> None:
    lead = world.lead()
    world.unsubscribe(lead)
    world.deliver()
    contact = world.as_user(admin.convert_lead, lead)
    assert world.opted_out(contact)  # a new Contact takes over what the Lead had
    world.unsubscribe(lead)
    world.resubscribe(contact)
    world.deliver()
    assert not world.opted_out(contact)
    assert [status for status, _ in states(world, contact)][-1] is Status.WRITTEN


@pytest.mark.parametrize(("purged", "code"), [(False, "ENTITY_IS_DELETED"), (True, "NOT_FOUND")])
def test_a_deleted_record_fails_with_what_to_do_and_stops_nobody_else(world: World, purged: bool, code: str) -> None:
    deleted, other = world.contact(), world.contact()
    world.as_user(admin.delete, deleted)
    if purged:
        world.as_user(admin.purge, deleted)
    world.unsubscribe(deleted)
    world.unsubscribe(other)
    world.deliver()
    (row,) = world.rows(deleted)
    assert (row.status, row.error_code) == (Status.FAILED, code)
    assert row.advice
    assert world.opted_out(other)


@pytest.mark.parametrize(
    ("zone", "moment", "told"),
    [
        ("Asia/Tokyo", datetime(9999, 12, 31, 23, 30, tzinfo=UTC), "12/31/99 11:30:00 PM"),
        ("America/New_York", datetime(1, 1, 1, 0, 30, tzinfo=UTC), "01/01/01 12:30:00 AM"),
    ],
)
def test_an_event_at_either_end_of_all_time_is_written_and_stops_nobody(
    world: World, zone: str, moment: datetime, told: str
) -> None:
    people = [world.contact(), world.contact()]
    world.ledger.change_settings({"time_zone": zone}, "tester", START)
    world.unsubscribe(people[0], moment)
    world.unsubscribe(people[1])
    world.deliver()
    assert all(world.opted_out(person) for person in people)
    assert world.notes(people[0])[0]["Title"].endswith(told)


def test_an_unsubscribe_without_a_sound_date_counts_after_an_earlier_resubscribe(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    world.resubscribe(person)
    world.deliver()
    assert not world.opted_out(person)
    world.unsubscribe(person, datetime(1970, 1, 1, tzinfo=UTC))
    world.deliver()
    assert world.opted_out(person)


def test_a_person_of_whom_no_plan_can_be_made_fails_and_stops_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [world.contact(), world.contact()]
    for person in people:
        world.unsubscribe(person, reason="poison" if person == people[0] else None)

    def poisoned(title: str, reason: str | None) -> str:
        if reason == "poison":
            raise ZeroDivisionError("a mistake of ours")
        return note_body(title, reason)

    monkeypatch.setattr(planning, "note_body", poisoned)
    world.deliver()
    assert [world.opted_out(person) for person in people] == [False, True]
    (row,) = world.rows(people[0])
    assert (row.status, row.error_code) == (Status.FAILED, "NO_PLAN")
    assert row.error_message == "ZeroDivisionError: a mistake of ours"
    monkeypatch.undo()
    world.ledger.retry(ids=[row.id])
    world.deliver()
    assert world.opted_out(people[0])


def test_a_failed_writeback_is_written_after_the_cause_is_gone_and_somebody_retried(world: World) -> None:
    person = world.contact()
    world.as_user(admin.delete, person)
    world.unsubscribe(person)
    world.deliver()
    world.as_user(admin.undelete, person)
    (row,) = world.rows(person)
    world.ledger.retry(ids=[row.id])
    world.deliver()
    assert states(world, person) == [(Status.WRITTEN, FlagResult.SET)]
    assert len(world.notes(person)) == 1


def test_the_limit_counts_people_and_never_splits_one(world: World) -> None:
    people = [world.contact() for _ in range(3)]
    for person in people:
        world.unsubscribe(person)
        world.resubscribe(person)
    report = world.deliver(limit=2)
    assert report.statuses == {Status.WRITTEN: 4}
    assert [status for status, _ in states(world, people[2])] == [Status.PENDING, Status.PENDING]


def test_somebody_without_a_salesforce_record_ends_as_no_recipient(world: World) -> None:
    from writeback_pipeline.domain.people import ObjectType
    from writeback_pipeline.domain.writebacks import Change, Kind

    change = Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, None, AT, email="nobody@example.org")
    world.ledger.enqueue([change], world.clock())
    report = world.deliver()
    assert report.statuses == {Status.NO_RECIPIENT: 1}
    assert world.rows()[0].advice


def test_a_person_leased_to_another_worker_is_left_to_it(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.ledger.claim("another worker", world.clock(), limit=10)
    assert world.deliver().settled == 0
    world.clock.advance(timedelta(minutes=4))
    assert world.deliver().settled == 1


def test_another_organisation_gets_nothing(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    world.unsubscribe(world.contact())
    world.deliver()
    with world_in(tmp_path_factory.mktemp("other")) as other:
        person = other.lead()
        world.unsubscribe(person)
        with pytest.raises(WrongOrganisation, match="Nothing was written"):
            OptOutDelivery(world.ledger, other.organisation, world.clock).run()
        assert not other.opted_out(person)
    assert world.rows(person)[0].status is Status.PENDING
    assert world.ledger.claim("next", world.clock(), limit=10)  # and its lease was given back


def test_a_dry_run_knows_what_a_lead_did_before_it_became_this_contact(world: World) -> None:
    lead = world.lead()
    world.unsubscribe(lead)
    world.deliver()
    contact = world.as_user(admin.convert_lead, lead)
    world.resubscribe(contact)
    (planned,) = dry_run(world.ledger, world.organisation, world.clock()).planned
    assert (planned.flag_result, planned.status) == ("cleared", "written")
    world.deliver()
    assert not world.opted_out(contact)
