"""A person is erased on request, on either database: nothing of them is left, and their opt-out is honoured still."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.domain.erasure import NotErasable
from writeback_pipeline.domain.ledger import LEASE, Asked, WritebackFilter
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    NOW,
    answered,
    claim_one,
    contact,
    everything,
    intent,
    journalled,
    lead,
    settled,
    unsubscribe,
    written,
)
from writeback_pipeline_tests.postgres import server

ASKED = Asked("olga", NOW + MINUTE)
ANNA: dict[str, Any] = {"email": "Anna@Example.org", "subscriber_id": "sub-4711", "reason": "Anna Arendt wants no mail"}
TRACES = ("anna", "sub-4711")


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return server().new_url() if request.param == "postgresql" else str(tmp_path / "writebacks.duckdb")


@pytest.fixture
def store(place: str, tmp_path: Path) -> Store:
    """A ledger in which Anna has opted out, once refused by Salesforce, and is known without a record, too."""
    store = Store(place, tmp_path)
    anna = unsubscribe(contact(1), key="anna@example.org/2026", **ANNA)
    store.enqueue([anna, unsubscribe(contact(2), email="bert@example.org")], NOW)
    claim = claim_one(store)
    (attempt,) = journalled(store, [intent(claim)])
    refusal = answered(attempt, Answer.REJECTED)._replace(message="INVALID_EMAIL_ADDRESS: anna@example.org")
    failed = settled(claim, Status.WAITING)._replace(error_message="anna@example.org is no address")
    store.record([refusal], [failed], [], NOW, release=True)
    written(store, claim_one(store, NOW + 10 * MINUTE))
    store.enqueue([Change(Kind.UNSUBSCRIBE, contact(1).object_type, None, NOW, **ANNA)], NOW)
    store.settle_without_recipient(NOW, None)
    return store


def texts(place: str) -> str:
    """Everything that is text in any table of the ledger."""
    with open_database(place).reading() as session:
        tables = session.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        ).fetchall()
        return str([session.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables]).lower()


@pytest.mark.parametrize(
    "who", [contact(1).salesforce_id, contact(1).salesforce_id[:15], "ANNA@example.org", "sub-4711"]
)
def test_no_table_holds_anything_of_the_person_and_the_opt_out_stands(store: Store, place: str, who: str) -> None:
    before = everything(store)
    assert all(trace in texts(place) for trace in TRACES)
    found = store.personal_data(who, NOW)
    assert (found.people, found.attempts, found.opted_out) == ((contact(1).salesforce_id,), 3, True)
    assert store.erase(who, ASKED) == found
    assert not [trace for trace in TRACES if trace in texts(place)]
    after = everything(store)
    for was, is_ in zip(before, after, strict=True):
        if was.email == "bert@example.org":
            assert is_ == was
        else:
            kept = was._replace(email=None, subscriber_id=None, reason=None, error_message=is_.error_message)
            assert is_ == kept._replace(delivery_key=is_.delivery_key)
    (done,) = store.latest_actions("erase", 9)
    assert (done.asked, done.writeback_ids) == (ASKED, found.writeback_ids)
    assert [(each.person, each.at) for each in store.erased("anna@example.org")] == [(found.people[0], ASKED.at)]
    assert store.erased("bert@example.org") == []


def test_the_same_changes_are_still_known_and_the_flag_is_still_ours(store: Store) -> None:
    store.erase(contact(1).salesforce_id, ASKED)
    again = unsubscribe(contact(1), key="anna@example.org/2026", **ANNA)
    assert store.enqueue([again, unsubscribe(contact(3))], NOW).known == 1
    store.question(NOW - MINUTE, NOW)
    assert contact(1) in {claim.person for claim in store.claim("worker", NOW + LEASE, limit=9) if claim.flag_is_ours}


def test_a_platform_that_queues_the_same_change_through_its_view_queues_nothing(tmp_path: Path) -> None:
    place = server().new_url()
    store = Store(place, tmp_path)
    store.enqueue([unsubscribe(contact(1), key="anna/1", email="anna@example.org")], NOW)
    store.erase("anna@example.org", ASKED)
    with open_database(place).writing() as session:
        for key in ("anna/1", "anna/2"):
            session.execute(
                "INSERT INTO opt_out_changes (kind, object_type, salesforce_id, occurred_at, delivery_key) "
                "VALUES ('unsubscribe', 'Contact', $1, $2, $3)",
                [contact(1).salesforce_id, NOW, key],
            )
    assert sorted(row.delivery_key[:7] for row in everything(store)) == ["anna/2", "erased/"]


def test_what_is_under_way_is_not_erased(store: Store, place: str) -> None:
    person = contact(2).salesforce_id
    claim = claim_one(store, NOW + 11 * MINUTE)
    assert claim.person == contact(2)
    with pytest.raises(NotErasable, match="under way"):
        store.erase(person, replace(ASKED, at=NOW + 11 * MINUTE))
    journalled(store, [intent(claim, Operation.SET_FLAG)])
    later = replace(ASKED, at=claim.lease_until + timedelta(hours=1))
    with pytest.raises(NotErasable, match=f"writeback {claim.taken[0].id} is under way"):
        store.erase(person, later)
    assert "bert" in texts(place)


def test_a_name_of_several_or_of_nobody_is_refused(store: Store) -> None:
    store.enqueue([unsubscribe(lead(5), email="anna@example.org")], NOW)
    with pytest.raises(NotErasable, match=f"erase each by its id, {contact(1).salesforce_id}, {lead(5).salesforce_id}"):
        store.erase("anna@example.org", ASKED)
    assert store.personal_data(contact(1).salesforce_id, NOW).others == (lead(5).salesforce_id,)
    with pytest.raises(NotErasable, match="nobody is known as carl"):
        store.erase("carl@example.org", ASKED)


def test_all_records_that_a_person_was_are_erased_together(store: Store, place: str) -> None:
    store.redirect({contact(1).salesforce_id: lead(6)}, NOW)
    store.enqueue([unsubscribe(lead(6), NOW + MINUTE, email="anna.neu@example.org")], NOW)
    found = store.erase(contact(1).salesforce_id, ASKED)
    assert found.people == (lead(6).salesforce_id, contact(1).salesforce_id)
    assert "anna" not in texts(place)
    assert len(store.writebacks(WritebackFilter(person=lead(6).salesforce_id))) == 2
