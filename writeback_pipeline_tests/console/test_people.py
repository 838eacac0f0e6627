"""A person's page over HTTP: the story as `writebacks why` tells it, and Salesforce asked only on demand."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from writeback_pipeline.commands.console_ports import look
from writeback_pipeline.delivery.synchronising import synchronise
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.story import moments, standing
from writeback_pipeline.environment import read_environment
from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.console.serving import OPERATOR, VIEWER, Client, Served, local_access, serving
from writeback_pipeline_tests.words import words
from writeback_pipeline_tests.world import World

HOSTILE = "<script>alert(1)</script>"
EMAIL = "ann@example.org"


@dataclass
class Both:
    """A world, and the console over its ledger."""

    world: World
    client: Client

    def person(self, who: str) -> str:
        return words(self.client.get(f"/people/{quote(who)}"))

    def look(self, who: str, record: str) -> str:
        page = self.client.get(f"/people/{quote(who)}")
        token = page.text.partition('name="csrf" value="')[2].partition('"')[0]
        answer = self.client.post("/people", {"csrf": token, "who": who, "record": record})
        assert answer.status_code == 200
        return words(answer)


@pytest.fixture
def both(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    for name, value in world.variables.items():
        monkeypatch.setenv(name, value)
    environment = read_environment(world.variables)
    with serving(world.home, local_access(), lambda ref: look(environment, world.ledger, ref)) as served:
        yield Both(world, Client(served.address))


def test_the_page_tells_what_why_tells(both: Both) -> None:
    person = both.world.contact()
    both.world.unsubscribe(person, email=EMAIL, reason=HOSTILE, subscriber_id="s-1")
    both.world.deliver()
    (facts,) = both.world.ledger.story(person)
    for who in (person, person[:15], EMAIL, "ANN@example.org", "s-1"):
        text = both.person(who)
        for sentence in [*(moment.told for moment in moments(facts)), *standing(facts)]:
            assert sentence in text
        assert "On the platform Opted out." in text
    assert HOSTILE not in both.client.get(f"/people/{person}").text


def test_a_person_is_followed_through_a_conversion(both: Both) -> None:
    lead = both.world.lead()
    both.world.unsubscribe(lead)
    contact = both.world.as_user(admin.convert_lead, lead)
    both.world.deliver()
    for who in (lead, contact):
        text = both.person(who)
        assert f"Contact {contact}, once Lead {lead}" in text
        assert f"Lead {lead} turned out to be converted: everything goes on with Contact {contact}." in text


def test_an_address_that_two_share_tells_two_stories(both: Both) -> None:
    one, two = both.world.contact(), both.world.contact()
    for person in (one, two):
        both.world.unsubscribe(person, email=EMAIL)
    text = both.person(EMAIL)
    assert "2 people go by that name." in text
    assert text.index(f"Contact {one}") < text.index(f"Contact {two}")


def test_what_salesforce_was_last_known_to_hold_is_told_without_asking_it(both: Both) -> None:
    person = both.world.contact()
    both.world.unsubscribe(person)
    assert "Email Opt Out was never heard of." in both.person(person)
    both.world.deliver()
    calls = both.world.calls_received()
    assert "Email Opt Out was ticked when it was last heard of" in both.person(person)
    assert both.world.calls_received() == calls


def test_a_look_costs_one_call_of_the_budget(both: Both) -> None:
    person = both.world.contact()
    both.world.unsubscribe(person)
    both.world.deliver()
    both.look(person, person)
    received, made = both.world.calls_received(), both.world.ledger.overview(datetime.now(UTC)).calls_made
    assert "Email Opt Out is ticked. Looked at 2026-11-23" in both.look(person, person)
    assert both.world.calls_received() == received + 1
    assert both.world.ledger.overview(datetime.now(UTC)).calls_made == made + 1


def test_two_sides_that_differ_are_told_apart(both: Both) -> None:
    person = both.world.contact()
    both.world.unsubscribe(person)
    both.world.deliver()
    assert "The two sides differ" not in both.look(person, person)
    both.world.as_user(admin.edit, person, {"HasOptedOutOfEmail": False})
    text = both.look(person, person)
    assert "Email Opt Out is not ticked." in text
    assert "The two sides differ" in text


def test_a_record_that_is_gone_or_moved_is_told(both: Both) -> None:
    lead, deleted = both.world.lead(), both.world.contact()
    for person in (lead, deleted):
        both.world.unsubscribe(person)
    contact = both.world.as_user(admin.convert_lead, lead)
    both.world.as_user(admin.delete, deleted)
    assert f"it is Contact {contact} now. Looked at" in both.look(lead, lead)
    assert "The record is in the recycle bin." in both.look(deleted, deleted)


def test_a_salesforce_that_does_not_answer_leaves_the_page_standing(both: Both) -> None:
    person = both.world.contact()
    both.world.unsubscribe(person)
    both.world.fault("unavailable")
    text = both.look(person, person)
    assert "Salesforce did not say:" in text
    assert "Queued as writeback 1" in text
    assert both.world.ledger.hold(Purpose.OPT_OUTS, datetime.now(UTC)) is None  # nobody's delivery waits for a look


def test_another_organisation_than_the_ledger_s_is_not_believed(both: Both) -> None:
    person = both.world.contact()
    both.world.unsubscribe(person)
    both.world.ledger.pin_organisation("00D000000000001AAA")
    assert "This ledger belongs to organisation 00D000000000001AAA" in both.look(person, person)


def test_an_opt_out_made_in_salesforce_is_told_with_its_origin(both: Both) -> None:
    synchronise(both.world.ledger, both.world.organisation, both.world.clock())
    person = both.world.contact()
    both.world.as_user(admin.edit, person, {"HasOptedOutOfEmail": True})
    synchronise(both.world.ledger, both.world.organisation, both.world.clock())
    text = both.person(person)
    assert "Opted out in Salesforce since" in text
    assert "Email Opt Out was ticked when it was last heard of" in text


def test_the_search_box_leads_to_the_person(client: Client) -> None:
    assert client.get("/people?q=%20a/b%2Fc@example.org").headers["Location"] == "/people/a%2Fb%2Fc@example.org"
    assert client.get("/people?q=").status_code == 200


@pytest.mark.parametrize("who", ["nobody@example.org", "//evil.example", HOSTILE, "\u202e", "x" * 3000])
def test_a_stranger_is_said_to_be_one(client: Client, who: str) -> None:
    answer = client.get(f"/people/{quote(who, safe='')}")
    assert answer.status_code == 404
    assert HOSTILE not in answer.text


def test_only_an_operator_may_spend_a_call(guarded: Served) -> None:
    viewer, operator = Client(guarded.address), Client(guarded.address)
    viewer.sign_in(VIEWER)
    operator.sign_in(OPERATOR)
    assert viewer.post("/people", {"who": "x", "record": "y"}).status_code == 403
    assert operator.post("/people", {"who": "x", "record": "y"}).status_code == 404
