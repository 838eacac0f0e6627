"""Delivery of mailing activity against a real ledger, event files and an organisation that answers over HTTP."""

from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.delivery.activity import LeaseLost
from writeback_pipeline.delivery.pinning import WrongOrganisation
from writeback_pipeline.domain.budget import CallAhead
from writeback_pipeline.domain.ledger import LEASE, QUIET, AttemptOutcome, OriginChange, Settlement
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.window_ledger import WindowCounts, scope_of
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.local_org import admin, faults
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.mailings import DAY, WEEK, Mailings, deliver, settle, tasks, window
from writeback_pipeline_tests.world import World, world_in


@pytest.fixture
def mailings(tmp_path: Path) -> Mailings:
    return Mailings(tmp_path / "mailing_activity")


def statuses(world: World, person: str | None = None) -> list[Status]:
    return [row.status for row in world.rows(person)]


def arm(world: World, kind: str, **how: Any) -> None:
    with world.inside.connection() as connection:
        faults.arm(connection, kind, **how)


def switch(world: World, **how: Any) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, **how)


def test_a_persons_day_becomes_one_completed_task(world: World, mailings: Mailings) -> None:
    contact, lead = world.contact(), world.lead()
    mailings.sent(contact, lead, when="11-20 09:05")
    mailings.sent(contact, when="11-20 23:59", mailing_id="m-2", subject="Grüße — 冬")
    mailings.sent(contact, when="11-21 00:00", mailing_id="m-3")  # belongs to the next day
    report = deliver(world, mailings)
    assert (report.counts.events, report.counts.summaries, report.statuses, report.calls) == (
        3,
        2,
        {Status.WRITTEN: 2},
        1,
    )
    (task,) = tasks(world, contact)
    assert {name: task[name] for name in ("Subject", "Status", "Priority", "TaskSubtype", "ActivityDate")} == {
        "Subject": "Informz: 2 mailings sent on 11/20/25",
        "Status": "Completed",
        "Priority": "Normal",
        "TaskSubtype": "Email",
        "ActivityDate": "2025-11-20",
    }
    assert "Subject: Grüße — 冬\nSent 11/20/25 11:59:00 PM" in task["Description"]
    assert task["Writeback_Key__c"] == f"sent:daily:{DAY}:{contact}"
    (row,) = world.rows(contact)
    assert (row.kind, row.status, row.task_id, row.run_id) == (Kind.SENT, Status.WRITTEN, task["Id"], "run")
    assert tasks(world, lead)[0]["AccountId"] is None


def test_running_a_window_again_makes_no_call(world: World, mailings: Mailings) -> None:
    mailings.sent(world.contact(), world.contact())
    deliver(world, mailings)
    again = deliver(world, mailings)
    assert (again.calls, again.statuses, again.left) == (0, {}, {Status.WRITTEN: 2})


def test_a_late_open_revises_the_one_task_it_belongs_to(world: World, mailings: Mailings) -> None:
    person, other = world.contact(), world.contact()
    mailings.opened(person, other)
    deliver(world, mailings, Kind.OPENED)
    (before,) = tasks(world, person)
    mailings.opened(person, when="11-20 22:00", is_machine_open=True)
    report = deliver(world, mailings, Kind.OPENED)
    assert (report.statuses, report.left, report.calls) == ({Status.WRITTEN: 1}, {Status.WRITTEN: 1}, 1)
    (after,) = tasks(world, person)
    assert after["Id"] == before["Id"]
    assert "Opened 2 times, 1 of them by a machine" in after["Description"]
    assert after["TaskSubtype"] == "Email"
    assert len(tasks(world)) == 2


def test_an_event_delivered_twice_counts_once_and_changes_nothing(world: World, mailings: Mailings) -> None:
    person = world.contact()
    event = mailings.event("sent", person, "11-20 09:05")
    mailings.add(event)
    deliver(world, mailings)
    mailings.add(event, event)
    again = deliver(world, mailings)
    assert (again.counts.events, again.calls, again.left) == (1, 0, {Status.WRITTEN: 1})


def test_sent_and_opened_of_a_day_and_of_its_week_are_tasks_of_their_own(world: World, mailings: Mailings) -> None:
    person = world.contact()
    mailings.sent(person)
    mailings.opened(person)
    deliver(world, mailings)
    deliver(world, mailings, Kind.OPENED)
    deliver(world, mailings, name=WEEK, occurrence=Occurrence.WEEKLY)
    assert [task["Subject"] for task in tasks(world, person)] == [
        "Informz: 1 mailing sent on 11/20/25",
        "Informz: 1 mailing opened on 11/20/25",
        "Informz: 1 mailing sent in the week of 11/17/25",
    ]


def test_a_converted_lead_is_followed_and_its_task_revised_in_place(world: World, mailings: Mailings) -> None:
    known, new = world.lead(), world.lead()
    mailings.sent(known)
    deliver(world, mailings)
    (before,) = tasks(world, known)
    contacts = [world.as_user(admin.convert_lead, lead) for lead in (known, new)]
    mailings.sent(known, new, when="11-20 10:00")
    report = deliver(world, mailings)
    assert (report.statuses, report.redirected) == ({Status.WRITTEN: 2}, 2)
    assert [len(tasks(world, contact)) for contact in contacts] == [1, 1]
    (after,) = tasks(world, contacts[0])
    assert after["Id"] == before["Id"]
    assert "Sent 2 times" in after["Description"]
    (row,) = world.rows(contacts[0])
    assert (row.object_type, row.redirected_from) == (ObjectType.CONTACT, known)
    mailings.sent(known, when="11-20 11:00")
    assert deliver(world, mailings).calls == 1  # the ledger remembers where they went


def test_a_merged_contact_is_followed_through_a_chain(world: World, mailings: Mailings) -> None:
    first, second, third = (world.contact() for _ in range(3))
    world.as_user(admin.merge, second, [first])
    world.as_user(admin.merge, third, [second])
    mailings.sent(first)
    report = deliver(world, mailings)
    assert (report.statuses, len(tasks(world, third))) == ({Status.WRITTEN: 1}, 1)
    assert world.rows(third)[0].redirected_from == first


@pytest.mark.parametrize("purged", [False, True])
def test_a_deleted_person_fails_with_advice_once_and_stops_nobody_else(
    world: World, mailings: Mailings, purged: bool
) -> None:
    gone, other = world.contact(), world.contact()
    world.as_user(admin.delete, gone)
    if purged:
        world.as_user(admin.purge, gone)
    mailings.sent(gone, other)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1, Status.FAILED: 1}
    (row,) = world.rows(gone)
    assert row.error_code in ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY")
    assert row.advice
    again = deliver(world, mailings)
    assert (again.calls, again.left) == (0, {Status.WRITTEN: 1, Status.FAILED: 1})


def test_a_failed_summary_is_written_once_its_cause_is_gone_and_somebody_retried(
    world: World, mailings: Mailings
) -> None:
    person = world.contact()
    world.as_user(admin.delete, person)
    mailings.sent(person)
    deliver(world, mailings)
    world.as_user(admin.undelete, person)
    world.ledger.retry(statuses=[Status.FAILED])
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    assert len(tasks(world, person)) == 1


def test_a_task_that_a_user_deleted_comes_back_only_when_there_is_something_new_to_show(
    world: World, mailings: Mailings
) -> None:
    person = world.contact()
    mailings.opened(person)
    deliver(world, mailings, Kind.OPENED)
    world.as_user(admin.delete, tasks(world, person)[0]["Id"])
    assert deliver(world, mailings, Kind.OPENED).calls == 0
    assert tasks(world, person) == []
    mailings.opened(person, when="11-20 22:00")
    assert deliver(world, mailings, Kind.OPENED).statuses == {Status.WRITTEN: 1}
    (task,) = tasks(world, person)
    assert (task["TaskSubtype"], world.rows(person)[0].task_id) == ("Email", task["Id"])


def test_a_row_that_is_refused_or_locked_stops_no_other(world: World, mailings: Mailings) -> None:
    refused, locked, other = (world.contact() for _ in range(3))
    arm(world, "validation_rule", object="Task", record_id=refused)
    arm(world, "row_lock", object="Task", record_id=locked, times=1)
    mailings.sent(refused, locked, other)
    report = deliver(world, mailings)
    assert report.statuses == {Status.FAILED: 1, Status.WAITING: 1, Status.WRITTEN: 1}
    assert statuses(world, refused) == [Status.FAILED]
    again = deliver(world, mailings)
    assert (again.statuses, again.left) == ({Status.WRITTEN: 1}, {Status.WRITTEN: 1, Status.FAILED: 1})


def test_people_without_a_record_are_counted_and_cost_no_call(world: World, mailings: Mailings) -> None:
    mailings.sent(None, subscriber_id="s-1")
    mailings.sent(None, subscriber_id="s-1", when="11-20 10:00")
    mailings.sent(None, subscriber_id="unlinked")
    mailings.sent("unlinked", subscriber_id="s-3")  # no Contact or Lead has such an id
    report = deliver(world, mailings)
    assert (report.counts, report.calls) == (WindowCounts(4, 4, 0, 2, 0), 0)
    assert statuses(world) == [Status.NO_RECIPIENT, Status.NO_RECIPIENT]
    assert all(row.advice for row in world.rows())
    assert deliver(world, mailings).counts.without_recipient == 2
    assert len(world.rows()) == 2


def test_an_answer_that_never_came_is_settled_later_without_a_second_task(world: World, mailings: Mailings) -> None:
    person = world.contact()
    mailings.sent(person)
    arm(world, "drop_after", path="composite/sobjects", times=1)
    with pytest.raises(OrganisationUnavailable, match="NO_ANSWER"):
        deliver(world, mailings)
    assert (statuses(world, person), len(tasks(world, person))) == ([Status.UNKNOWN], 1)
    assert deliver(world, mailings).left == {Status.UNKNOWN: 1}  # an older request may still be on its way
    world.clock.advance(LEASE + QUIET)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    (task,) = tasks(world, person)
    assert (task["TaskSubtype"], world.rows(person)[0].task_id) == ("Email", task["Id"])


class DiesBeforeRecording(Store):
    """A ledger whose worker ends after its call, before a single answer is recorded."""

    def record(
        self,
        outcomes: Sequence[AttemptOutcome],
        settlements: Sequence[Settlement],
        origins: Sequence[OriginChange],
        now: datetime,
        *,
        release: bool,
        seen: Collection[tuple[str, int]] = (),
        in_between: bool = False,
        ahead: CallAhead | None = None,
    ) -> int:
        raise KeyboardInterrupt


def test_what_a_dead_worker_had_sent_is_settled_by_a_later_run_without_a_second_task(
    world: World, mailings: Mailings
) -> None:
    person = world.contact()
    mailings.sent(person)
    with pytest.raises(KeyboardInterrupt):
        deliver(world, mailings, ledger=DiesBeforeRecording(world.database, world.home))
    assert (statuses(world), len(tasks(world))) == ([Status.SENDING], 1)
    assert deliver(world, mailings).left == {Status.UNKNOWN: 1}
    world.clock.advance(LEASE + QUIET)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    assert len(tasks(world)) == 1


def test_a_window_that_another_worker_delivers_is_left_to_it(world: World, mailings: Mailings) -> None:
    mailings.sent(world.contact())
    assert world.ledger.lease_window(scope_of(Kind.SENT, window(world)), "another worker", world.clock()) is not None
    report = deliver(world, mailings)
    assert (report.busy, report.calls, report.statuses) == (True, 0, {})
    world.clock.advance(LEASE)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}


def test_a_worker_that_lost_its_window_stops_and_writes_nothing_more(world: World, mailings: Mailings) -> None:
    mailings.sent(world.contact())

    class Overtaken(Store):
        def owe_summaries(self, *arguments: Any) -> dict[str, int]:
            world.clock.advance(LEASE)
            assert self.lease_window(scope_of(Kind.SENT, window(world)), "another worker", world.clock())
            return super().owe_summaries(*arguments)

    with pytest.raises(LeaseLost):
        deliver(world, mailings, ledger=Overtaken(world.database, world.home))
    assert tasks(world) == []
    assert world.ledger.lease_window(scope_of(Kind.SENT, window(world)), "a third", world.clock()) is None


def test_trouble_with_the_whole_organisation_stops_the_window_which_stays_owed(
    world: World, mailings: Mailings
) -> None:
    person = world.contact()
    mailings.sent(person)
    arm(world, "daily_quota", path="composite", times=1)
    with pytest.raises(OrganisationUnavailable, match="REQUEST_LIMIT_EXCEEDED"):
        deliver(world, mailings)
    assert statuses(world, person) == [Status.WAITING]
    assert world.ledger.delivered_windows(window(world).start, world.clock()) == []
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}  # and its lease was given back


def test_an_organisation_that_offers_no_tasks_marks_nothing_failed(world: World, mailings: Mailings) -> None:
    mailings.sent(world.contact())
    switch(world, hidden=frozenset({"Task"}))
    assert deliver(world, mailings).statuses == {Status.WAITING: 1}
    assert "tried again by itself" in (world.rows()[0].advice or "")


def test_another_organisation_gets_nothing(
    world: World, mailings: Mailings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mailings.sent(world.contact())
    deliver(world, mailings)
    mailings.sent(world.contact())
    with world_in(tmp_path_factory.mktemp("other")) as other:
        with pytest.raises(WrongOrganisation, match="Nothing was written"):
            deliver(world, mailings, organisation=other.organisation)
        assert tasks(other) == []


def test_a_thousand_summaries_share_a_call_and_new_ones_never_travel_with_changed_ones_for_long(
    world: World, mailings: Mailings
) -> None:
    people = [PersonRef(ObjectType.CONTACT, world.contact()) for _ in range(3)]
    mailings.sent(*(person.salesforce_id for person in people))
    assert deliver(world, mailings).calls == 1
    mailings.sent(*(person.salesforce_id for person in people), world.contact(), when="11-20 10:00")
    report = deliver(world, mailings)
    assert (report.calls, report.statuses) == (1, {Status.WRITTEN: 4})


def test_people_who_moved_cost_a_look_for_all_of_them_and_not_one_for_every_call(
    world: World, mailings: Mailings
) -> None:
    people = [world.contact() for _ in range(2_001)]
    survivor = people[1_500]
    for loser in (people[10], people[1_010], people[2_000]):
        world.as_user(admin.merge, survivor, [loser])
    mailings.sent(*people)
    report = deliver(world, mailings)
    assert (report.statuses, report.redirected) == ({Status.WRITTEN: 2_001}, 3)
    assert len(tasks(world, survivor)) == 4
    writes, looks, writes_again = 3, 2, 1  # the second look is for whom they became
    assert report.calls <= writes + looks + writes_again


def test_a_changed_time_zone_revises_the_tasks_of_a_window_by_its_new_bounds(world: World, mailings: Mailings) -> None:
    person = world.contact()
    mailings.sent(person, when="11-20 02:00", mailing_id="of the evening before")
    mailings.sent(person, when="11-20 12:00")
    deliver(world, mailings)
    settle(world, time_zone="America/New_York")
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 1}
    (task,) = tasks(world, person)
    assert "Sent 11/20/25 07:00:00 AM" in task["Description"]
    assert "of the evening before" not in task["Description"]
    assert world.rows(person)[0].window_start == window(world).start
    assert deliver(world, mailings).calls == 0


KEYLESS = [
    pytest.param({"hidden": frozenset({"Task.Writeback_Key__c"})}, id="lacked"),
    pytest.param({"read_only": frozenset({"Task.Writeback_Key__c"})}, id="forbidden"),
]


@pytest.mark.parametrize("security", KEYLESS)
def test_without_the_key_field_a_task_is_found_by_the_last_line_of_its_text(
    world: World, mailings: Mailings, security: dict[str, Any]
) -> None:
    switch(world, **security)
    person, other = world.contact(), world.contact()
    mailings.opened(person, other)
    report = deliver(world, mailings, Kind.OPENED)
    assert (report.statuses, report.key_in_text) == ({Status.WRITTEN: 2}, True)
    (before,) = tasks(world, person)
    assert before["Description"].splitlines()[-1] == f"opened:daily:{DAY}:{person}"
    assert before["TaskSubtype"] == "Email"
    mailings.opened(person, when="11-20 22:00")
    assert deliver(world, mailings, Kind.OPENED).statuses == {Status.WRITTEN: 1}
    (after,) = tasks(world, person)
    assert after["Id"] == before["Id"]
    assert after["Description"].splitlines()[-1] == f"opened:daily:{DAY}:{person}"


def test_without_the_key_field_what_a_dead_worker_made_is_not_made_twice(world: World, mailings: Mailings) -> None:
    switch(world, hidden=frozenset({"Task.Writeback_Key__c"}))
    lead, contact = world.lead(), world.contact()
    mailings.sent(lead, contact)

    class DiesAfterTheSecondCall(DiesBeforeRecording):
        def record(self, *arguments: Any, **more: Any) -> int:
            if tasks(world):
                raise KeyboardInterrupt
            return Store.record(self, *arguments, **more)

    with pytest.raises(KeyboardInterrupt):
        deliver(world, mailings, ledger=DiesAfterTheSecondCall(world.database, world.home))
    assert len(tasks(world)) == 2
    world.as_user(
        admin.create, "Task", {"WhoId": contact, "Subject": "Call", "ActivityDate": DAY, "Status": "Completed"}
    )
    moved_to = world.as_user(admin.convert_lead, lead)
    mailings.sent(contact, when="11-20 10:00")
    world.clock.advance(LEASE + QUIET)
    assert deliver(world, mailings).statuses == {Status.WRITTEN: 2}
    assert (len(tasks(world, contact)), len(tasks(world, moved_to))) == (2, 1)


def test_a_task_made_without_the_key_field_gets_its_key_once_there_is_one(world: World, mailings: Mailings) -> None:
    switch(world, hidden=frozenset({"Task.Writeback_Key__c"}))
    person = world.contact()
    mailings.sent(person)
    deliver(world, mailings)
    switch(world, hidden=frozenset())
    mailings.sent(person, when="11-20 10:00")
    deliver(world, mailings)
    (task,) = tasks(world, person)
    assert task["Writeback_Key__c"] == f"sent:daily:{DAY}:{person}"
    assert task["Writeback_Key__c"] not in task["Description"]
