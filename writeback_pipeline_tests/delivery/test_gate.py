"""Calls are made only while there is budget for them and Salesforce is not in trouble."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from writeback_pipeline.delivery import sending
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.report import DeliveryReport
from writeback_pipeline.domain.budget import Admission, CallAhead, Caller, Purpose
from writeback_pipeline.domain.holds import HeldBack, Hold
from writeback_pipeline.domain.ledger import LEASE
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import ApiUsage, OrganisationUnavailable
from writeback_pipeline.domain.writebacks import IllegalTransition, Status
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import intent, written
from writeback_pipeline_tests.world import World

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


def deliver(world: World, **how: Any) -> DeliveryReport:
    """One guarded delivery of opt-outs."""
    with world.guarded(**how) as organisation:
        return OptOutDelivery(world.ledger, organisation, world.clock, run_id="run").run()


def look(world: World, organisation: SalesforceOrganisation, times: int = 1) -> None:
    person = PersonRef(ObjectType.CONTACT, world.contact())
    for _ in range(times):
        organisation.look([person])


def set_limit(world: World, requests: int) -> None:
    """Give the organisation that many daily requests, and half of them to us."""
    with world.inside.connection() as connection:
        org_settings.change(connection, daily_api_requests=requests)


def trouble(world: World, **how: Any) -> OrganisationUnavailable:
    with pytest.raises(OrganisationUnavailable) as met:
        deliver(world, **how)
    return met.value


def test_every_call_is_counted_in_the_ledger_as_the_organisation_counts_it(world: World) -> None:
    world.unsubscribe_all([world.contact() for _ in range(3)])
    report = deliver(world)
    assert report.usage.calls == world.calls_received() == 2
    assert world.ledger.calls_left(Purpose.OPT_OUTS, world.clock()) == 50_000 - 2


def test_when_the_budget_is_spent_rows_wait_and_nothing_fails(world: World) -> None:
    set_limit(world, 20)
    with world.guarded() as organisation, pytest.raises(HeldBack):
        look(world, organisation, times=20)
    person = world.contact()
    world.unsubscribe(person)
    held = trouble(world)
    assert held.code == "API_BUDGET_SPENT"
    assert held.passing
    assert held.retry_after is not None
    assert held.retry_after > 20 * HOUR
    assert world.calls_received() == 10
    assert (world.rows(person)[0].status, world.rows(person)[0].attempts) == (Status.PENDING, 0)
    world.clock.advance(held.retry_after)
    assert deliver(world).statuses[Status.WRITTEN] == 1


def test_a_budget_that_ends_within_a_delivery_burns_no_attempt(world: World) -> None:
    set_limit(world, 20)
    with world.guarded() as organisation:
        look(world, organisation, times=9)
    person = world.contact()
    world.unsubscribe(person)
    assert trouble(world).code == "API_BUDGET_SPENT"
    (row,) = world.rows(person)
    assert (row.status, row.attempts) == (Status.WAITING, 0)
    assert row.next_attempt_at is not None
    assert world.calls_received() == 10
    assert not world.opted_out(person)


def test_activity_leaves_the_reserve_to_opt_outs(world: World) -> None:
    set_limit(world, 100)
    with world.guarded(Purpose.ACTIVITY) as organisation, pytest.raises(HeldBack) as held:
        look(world, organisation, times=100)
    assert held.value.code == "API_BUDGET_SPENT"
    assert world.calls_received() == 40
    world.unsubscribe(world.contact())
    assert deliver(world).statuses[Status.WRITTEN] == 1


def test_activity_steps_back_for_opt_outs_that_are_due_when_calls_are_short(world: World) -> None:
    set_limit(world, 100)
    with world.guarded(Purpose.ACTIVITY) as organisation:
        look(world, organisation, times=35)
        world.unsubscribe_all([world.contact() for _ in range(6)])
        with pytest.raises(HeldBack) as held:
            look(world, organisation)
        assert held.value.code == "OPT_OUTS_FIRST"
        deliver(world)
        look(world, organisation)


def test_the_organisations_own_limit_is_heard_and_nothing_is_sent_beyond_it(world: World) -> None:
    set_limit(world, 8)
    world.ledger.change_settings({"api_budget_share": "1.0"}, "somebody", world.clock())
    for _ in range(8):  # another integration uses it all up
        world.organisation.look([PersonRef(ObjectType.CONTACT, world.contact())])
    with world.guarded() as organisation:
        with pytest.raises(OrganisationUnavailable) as refused:
            look(world, organisation)
        assert refused.value.code == "REQUEST_LIMIT_EXCEEDED"
    hold = world.ledger.hold(Purpose.OPT_OUTS, world.clock() + 30 * MINUTE)
    assert hold is not None
    assert hold.passing
    assert world.ledger.hold(Purpose.OPT_OUTS, world.clock() + 73 * MINUTE) is None


def test_what_the_last_answer_of_a_run_said_holds_for_the_next_run(world: World) -> None:
    set_limit(world, 4)
    world.ledger.change_settings({"api_budget_share": "1.0"}, "somebody", world.clock())
    for _ in range(3):
        world.organisation.look([PersonRef(ObjectType.CONTACT, world.contact())])
    with world.guarded() as organisation:
        look(world, organisation)
    hold = world.ledger.hold(Purpose.OPT_OUTS, world.clock())
    assert hold is not None
    assert hold.code == "API_LIMIT_REACHED"


def test_where_answers_do_not_tell_the_limit_it_is_asked_for_once(world: World) -> None:
    set_limit(world, 30)
    world.fault("no_limit_header")
    with world.guarded() as organisation:
        look(world, organisation, times=3)
    assert world.calls_received() == 4
    with world.guarded() as organisation, pytest.raises(HeldBack):
        look(world, organisation, times=30)
    assert world.calls_received() == 15


def test_an_answer_that_lags_behind_lets_nobody_overshoot(world: World) -> None:
    set_limit(world, 30)
    world.fault("stale_limit_header", calls=12)
    with world.guarded() as organisation, pytest.raises(HeldBack):
        look(world, organisation, times=40)
    assert world.calls_received() == 15


def test_a_call_that_never_left_costs_nothing(world: World) -> None:
    with world.guarded() as organisation:
        look(world, organisation)
    world.url = "http://127.0.0.1:9"
    with world.guarded() as organisation, pytest.raises(OrganisationUnavailable, match="CONNECT_FAILED"):
        look(world, organisation)
    assert world.ledger.calls_left(Purpose.OPT_OUTS, world.clock()) == 50_000 - 1


def left(world: World) -> int:
    return world.ledger.calls_left(Purpose.OPT_OUTS, world.clock())


class CountsAdmissions(Store):
    """A ledger that counts how often a call was asked for by itself."""

    asked = 0

    def admit(self, caller: Caller, heard: ApiUsage, now: datetime, *, calls: int) -> Admission | Hold:
        self.asked += calls
        return super().admit(caller, heard, now, calls=calls)


def test_what_is_sent_is_reserved_with_what_is_entered_before_it(world: World) -> None:
    world.ledger = ledger = CountsAdmissions(world.database, world.home)
    world.unsubscribe_all([world.contact() for _ in range(3)])
    world.ledger.change_settings({"note_object": "ContentNote"}, "somebody", world.clock())  # a call for the flags
    report = deliver(world)
    assert report.statuses == {Status.WRITTEN: 3}
    assert report.usage.calls == world.calls_received() == 50_000 - left(world) == 3
    assert ledger.asked == 1  # for the look


def test_a_call_that_was_reserved_ahead_is_not_asked_for_again_and_given_back_where_it_is_not_made(
    world: World,
) -> None:
    def enter(ahead: CallAhead | None) -> None:
        world.ledger.record([], [], [], world.clock(), release=False, ahead=ahead)

    with world.guarded() as organisation:
        look(world, organisation)
        enter(organisation.call_ahead())
        assert left(world) == 50_000 - 2
        look(world, organisation)
        assert left(world) == 50_000 - 2
        enter(organisation.call_ahead())
        assert left(world) == 50_000 - 3
        organisation.forgo_call()
        organisation.forgo_call()
        assert left(world) == 50_000 - 2
    assert world.calls_received() == 2


def test_what_is_entered_stays_where_the_call_that_was_to_follow_may_not_be_made(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    set_limit(world, 20)
    (claim,) = world.ledger.claim("worker", world.clock(), limit=1)
    with world.guarded() as organisation:
        look(world, organisation, times=10)
        ids = world.ledger.journal([intent(claim, at=world.clock())], ahead=organisation.call_ahead())
        assert None not in ids
        with pytest.raises(HeldBack):
            look(world, organisation)
    assert world.rows(person)[0].status is Status.SENDING
    assert world.calls_received() == 10


def test_a_call_is_not_reserved_where_nothing_could_be_entered(world: World) -> None:
    person = world.contact()
    world.unsubscribe(person)
    (first,) = world.ledger.claim("worker", world.clock(), limit=1)
    written(world.ledger, first)
    world.unsubscribe(person)
    (again,) = world.ledger.claim("worker", world.clock(), limit=1)
    dealt_with = intent(again, row=first.taken[0], at=world.clock())
    with world.guarded() as organisation:
        with pytest.raises(IllegalTransition):
            world.ledger.journal([dealt_with], ahead=organisation.call_ahead())
        assert left(world) == 15_000 // 2
        look(world, organisation)
    assert left(world) == 50_000 - 1


def test_a_call_for_which_the_lease_turns_out_too_short_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = world.contact()
    world.unsubscribe(person)
    monkeypatch.setattr(sending, "CALL_ALLOWANCE", 2 * LEASE)
    assert deliver(world).statuses == {Status.WAITING: 1}
    assert world.calls_received() == 50_000 - left(world) == 1


def test_nothing_is_reserved_ahead_while_trouble_lasts_and_the_call_itself_is_the_probe(world: World) -> None:
    world.unsubscribe(world.contact())
    world.fault("unavailable")
    assert trouble(world).code == "HTTP_503"
    world.heal()
    hold = world.ledger.hold(Purpose.OPT_OUTS, world.clock())
    assert hold is not None
    world.clock.at = hold.until
    before = left(world)
    with world.guarded() as organisation:
        world.ledger.record([], [], [], world.clock(), release=False, ahead=organisation.call_ahead())
        organisation.forgo_call()
        assert left(world) == before
        with world.guarded() as another:
            look(world, another)  # nobody is at work on a probe
        look(world, organisation)
    assert left(world) == 50_000 - 3


TROUBLES = [
    ("unavailable", {}, "HTTP_503"),
    ("session_not_valid", {}, "INVALID_SESSION_ID"),
    ("daily_quota", {}, "REQUEST_LIMIT_EXCEEDED"),
    ("concurrent_limit", {}, "REQUEST_LIMIT_EXCEEDED"),
    ("refusal", {"status": 403, "code": "API_DISABLED_FOR_ORG"}, "API_DISABLED_FOR_ORG"),
    ("drop_before", {}, "NO_ANSWER"),
]


@pytest.mark.parametrize(("kind", "options", "code"), TROUBLES, ids=[each[0] for each in TROUBLES])
def test_while_salesforce_is_in_trouble_nobody_calls_it_but_one_probe_a_step(
    world: World, kind: str, options: dict[str, Any], code: str
) -> None:
    person = world.contact()
    world.unsubscribe(person)
    world.fault(kind, **options)
    assert trouble(world).code == code
    for _ in range(3):
        strikes = struck(world)
        for _ in range(3):
            assert trouble(world).code == code
        assert struck(world) == strikes  # nothing came through
        hold = world.ledger.hold(Purpose.OPT_OUTS, world.clock())
        assert hold is not None
        world.clock.at = hold.until
        assert world.ledger.hold(Purpose.OPT_OUTS, world.clock()) is None
        assert trouble(world).code == code
        assert 0 < struck(world) - strikes <= 2  # a session is renewed once
    assert (world.rows(person)[0].status, world.rows(person)[0].attempts) == (Status.PENDING, 0)
    world.heal()
    hold = world.ledger.hold(Purpose.OPT_OUTS, world.clock())
    assert hold is not None
    world.clock.at = hold.until
    assert deliver(world).statuses[Status.WRITTEN] == 1
    assert world.opted_out(person)


def struck(world: World) -> int:
    """How many requests a fault has met."""
    from writeback_pipeline.local_org import faults

    with world.inside.connection() as connection:
        return sum(faults.injected(connection).values())


def test_a_person_need_not_wait_and_counts_as_a_probe(world: World) -> None:
    world.unsubscribe(world.contact())
    world.fault("unavailable", times=1)
    assert trouble(world).code == "HTTP_503"
    assert isinstance(trouble(world), HeldBack)
    assert deliver(world, manual=True).statuses[Status.WRITTEN] == 1
    assert world.ledger.hold(Purpose.OPT_OUTS, world.clock()) is None


def test_after_trouble_few_people_are_served_first_until_a_write_proves_that_it_is_over(world: World) -> None:
    people = [world.contact() for _ in range(300)]
    world.unsubscribe_all(people)
    world.fault("unavailable", times=1)
    trouble(world)
    settled: list[int] = []
    with world.guarded(manual=True) as organisation:
        OptOutDelivery(world.ledger, organisation, world.clock, progress=settled.append).run()
    assert settled == [200, 300]
    world.unsubscribe_all([world.contact() for _ in range(300)])
    with world.guarded() as organisation:
        OptOutDelivery(world.ledger, organisation, world.clock, progress=settled.append).run()
    assert settled == [200, 300, 300]


def test_a_broken_trigger_stops_after_one_call_instead_of_burning_the_queue(world: World) -> None:
    world.ledger.change_settings(
        {"concurrent_calls": "1"}, "somebody", world.clock()
    )  # calls under way are not recalled
    people = [world.contact() for _ in range(1_100)]
    world.unsubscribe_all(people)
    world.fault("trigger_error", object="Contact", cause="System.NullPointerException: de-reference a null object")
    met = trouble(world)
    assert (met.code, met.passing) == ("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", False)
    statuses = [row.status for row in world.rows()]
    assert 0 < statuses.count(Status.FAILED) <= 1_000
    assert statuses.count(Status.PENDING) + statuses.count(Status.WAITING) >= 100
    hold = world.ledger.hold(Purpose.OPT_OUTS, world.clock())
    assert hold is not None
    assert "rows of one call were refused alike" in hold.words


def test_a_few_refused_rows_stop_nobody(world: World) -> None:
    people = [world.contact() for _ in range(30)]
    world.unsubscribe_all(people)
    for person in people[:5]:
        world.fault("validation_rule", record_id=person)
    report = deliver(world)
    assert (report.statuses[Status.FAILED], report.statuses[Status.WRITTEN]) == (5, 25)
    assert world.ledger.hold(Purpose.OPT_OUTS, world.clock()) is None


def test_a_login_is_not_tried_either_while_salesforce_is_in_trouble(world: World) -> None:
    world.unsubscribe(world.contact())
    world.fault("refusal", path="/services/oauth2/token", code="invalid_grant")
    assert trouble(world).code == "invalid_grant"
    strikes = struck(world)
    assert isinstance(trouble(world), HeldBack)
    assert struck(world) == strikes


def test_a_ledger_that_cannot_count_a_call_lets_it_not_be_made(world: World) -> None:
    patient = world.ledger._database
    with world.guarded() as organisation:
        world.ledger._database = open_database(world.database, wait=timedelta(milliseconds=50))
        with open_database(world.database).writing(), pytest.raises(HeldBack, match="LEDGER_BUSY"):
            look(world, organisation)
        world.ledger._database = patient
        assert world.calls_received() == 0
        look(world, organisation)
