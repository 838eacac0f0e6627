"""The gateway against the embedded organisation, over real HTTP."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from writeback_pipeline.domain.people import ObjectType, PersonRef, id_suffix
from writeback_pipeline.domain.records import (
    Answer,
    FoundNote,
    Gone,
    Live,
    Moved,
    Operation,
    OrganisationUnavailable,
    RowResult,
    RowWrite,
)
from writeback_pipeline.local_org import admin, certificates, records, sample, settings, state, tokens, usage
from writeback_pipeline.local_org.schema import OBJECTS
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline.salesforce.connection import (
    ClientCredentials,
    JwtBearer,
    SalesforceConnection,
    from_environment,
)
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation

PEOPLE = sample.people()
CONTACTS = [PersonRef(ObjectType.CONTACT, person.id) for person in PEOPLE.contacts]
LEADS = [PersonRef(ObjectType.LEAD, person.id) for person in PEOPLE.leads]
UNKNOWN = PersonRef(ObjectType.CONTACT, "003zzzzzzzzzzzz" + id_suffix("003zzzzzzzzzzzz"))


@dataclass
class Org:
    """The running organisation: where it is, and its insides for arranging and checking."""

    url: str
    database: Path
    connection: sqlite3.Connection
    gateways: list[SalesforceOrganisation] = field(default_factory=list)

    def gateway(self) -> SalesforceOrganisation:
        organisation = SalesforceOrganisation(SalesforceConnection(self.url, "local", ClientCredentials("local")))
        self.gateways.append(organisation)
        return organisation

    def calls(self) -> int:
        return usage.used(self.connection, time.time())

    def record(self, object_name: str, record_id: str) -> sqlite3.Row:
        found = records.fetch(self.connection, OBJECTS[object_name], record_id)
        assert found is not None
        return found

    def notes_on(self, parent_id: str) -> list[sqlite3.Row]:
        return self.connection.execute("SELECT * FROM Note WHERE ParentId = ? ORDER BY Id", (parent_id,)).fetchall()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    database = tmp_path_factory.mktemp("org") / "org.db"
    state.reset(database).close()
    with run_in_thread(database) as server, closing(records.connect(database)) as connection:
        yield Org(server.url, database, connection)


@pytest.fixture
def org(running: Org) -> Iterator[Org]:
    before = settings.load(running.connection)
    yield running
    settings.change(
        running.connection,
        hidden=before.hidden,
        lead_assignment_owner=before.lead_assignment_owner,
        daily_api_requests=before.daily_api_requests,
    )
    while running.gateways:
        running.gateways.pop().close()


def flag(person: PersonRef, value: bool = True) -> RowWrite:
    operation = Operation.SET_FLAG if value else Operation.CLEAR_FLAG
    return RowWrite(operation, person.object_type, {"HasOptedOutOfEmail": value}, record_id=person.salesforce_id)


def note(person: PersonRef, title: str = "unsubscribed", body: str = "Reason: none") -> RowWrite:
    fields = {"ParentId": person.salesforce_id, "Title": title, "Body": body}
    return RowWrite(Operation.CREATE_NOTE, "Note", fields)


def counting(org: Org, act: Callable[[], object]) -> int:
    before = org.calls()
    act()
    return org.calls() - before


def test_the_organisations_id_costs_no_call(org: Org) -> None:
    gateway = org.gateway()
    assert counting(org, lambda: gateway.organisation_id) == 0
    assert gateway.organisation_id == tokens.organisation_id(org.connection)


def test_a_thousand_mixed_people_cost_one_call(org: Org) -> None:
    gateway = org.gateway()
    people = [*CONTACTS[:600], *LEADS[:400]]
    assert counting(org, lambda: gateway.look(people)) == gateway.usage.calls == 1
    held = gateway.look(people)
    assert list(held) == [person.salesforce_id for person in people]
    assert all(isinstance(each, Live) for each in held.values())
    opted_out = {person.id for person in PEOPLE.opted_out_in_salesforce}
    for person in people:
        assert held[person.salesforce_id] == Live(
            opted_out=person.salesforce_id in opted_out,
            account_id=PEOPLE.contacts[CONTACTS.index(person)].account.id if person in CONTACTS else None,
        )


def test_what_moved_or_is_gone_is_told_apart(org: Org) -> None:
    converted, deleted, purged = PEOPLE.converted_leads[0], PEOPLE.deleted[0], PEOPLE.purged[0]
    odd = [
        PersonRef(ObjectType.LEAD, converted.id),
        PersonRef(ObjectType(deleted.object_type), deleted.id),
        PersonRef(ObjectType(purged.object_type), purged.id),
        UNKNOWN,
    ]
    gateway = org.gateway()
    held = gateway.look([*CONTACTS[:5], *odd])
    became = org.record("Lead", converted.id)["ConvertedContactId"]
    assert [held[person.salesforce_id] for person in odd] == [
        Moved(PersonRef(ObjectType.CONTACT, became)),
        Gone("ENTITY_IS_DELETED"),
        Gone("NOT_FOUND"),
        Gone("NOT_FOUND"),
    ]
    assert gateway.usage.calls == 2


def test_a_chain_of_merges_is_followed_hop_by_hop(org: Org) -> None:
    first, second, third = CONTACTS[1200:1203]
    who = admin.session(org.connection)
    admin.merge(who, second.salesforce_id, [first.salesforce_id])
    admin.merge(who, third.salesforce_id, [second.salesforce_id])
    held = org.gateway().look([first, second, third])
    assert held[first.salesforce_id] == Moved(second)
    assert held[second.salesforce_id] == Moved(third)
    assert isinstance(held[third.salesforce_id], Live)


def test_a_merged_lead_leads_to_a_lead(org: Org) -> None:
    loser, winner = LEADS[500:502]
    admin.merge(admin.session(org.connection), winner.salesforce_id, [loser.salesforce_id])
    assert org.gateway().look([loser]) == {loser.salesforce_id: Moved(winner)}


def test_a_converted_lead_that_was_deleted_afterwards_is_still_followed(org: Org) -> None:
    lead = LEADS[510]
    who = admin.session(org.connection)
    contact = admin.convert_lead(who, lead.salesforce_id)
    admin.delete(who, lead.salesforce_id)
    assert org.gateway().look([lead]) == {lead.salesforce_id: Moved(PersonRef(ObjectType.CONTACT, contact))}


def test_a_hidden_flag_is_one_configuration_error(org: Org) -> None:
    settings.change(org.connection, hidden=frozenset({"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail"}))
    for people in ([CONTACTS[0]], [CONTACTS[0], LEADS[0]]):
        with pytest.raises(OrganisationUnavailable) as refused:
            org.gateway().look(people)
        assert refused.value.code == "INVALID_FIELD"
        assert "permission set" in refused.value.advice
        assert not refused.value.passing


def test_five_hundred_flags_and_notes_are_one_call_and_all_arrive(org: Org) -> None:
    people = [*CONTACTS[100:350], *LEADS[100:350]]
    gateway = org.gateway()
    rows = [*map(flag, people[:400]), *map(note, people)]
    results: list[RowResult] = []
    assert counting(org, lambda: results.extend(gateway.write(rows))) == gateway.usage.calls == 1
    assert {result.answer for result in results} == {Answer.OK}
    for person, result in zip(people, results[400:], strict=True):
        assert [row["Id"] for row in org.notes_on(person.salesforce_id)] == [result.record_id]
    held = gateway.look(people)
    assert [held[person.salesforce_id].opted_out for person in people[:400]] == [True] * 400  # type: ignore[union-attr]


def test_a_batch_is_one_call(org: Org) -> None:
    people = [*CONTACTS[900:1150], *LEADS[100:350]]
    gateway = org.gateway()
    rows = [*map(flag, people), *map(note, people), note(people[0], body="@{odd}")]
    groups = gateway.batches(rows)
    assert len(groups) == 3
    for group in groups:
        group_rows = [rows[position] for position in group]
        before = org.calls()
        assert {result.answer for result in gateway.write(group_rows)} == {Answer.OK}
        assert org.calls() - before == 1


def test_the_gateway_counts_as_the_organisation_does(org: Org) -> None:
    gateway = org.gateway()
    gateway.look([*CONTACTS[:2], *LEADS[:2], UNKNOWN])
    gateway.write([flag(CONTACTS[0]), note(CONTACTS[0])])
    gateway.find_notes([(CONTACTS[0].salesforce_id, "unsubscribed")])
    assert gateway.usage.calls == 4
    assert gateway.usage.used == org.calls()
    assert gateway.usage.limit == settings.load(org.connection).daily_api_requests


def test_a_refused_row_leaves_its_neighbours_alone(org: Org) -> None:
    converted = PersonRef(ObjectType.LEAD, PEOPLE.converted_leads[0].id)
    deleted = PEOPLE.deleted[0]
    first, last = CONTACTS[400], LEADS[400]
    rows = [
        flag(first),
        flag(converted),
        flag(PersonRef(ObjectType(deleted.object_type), deleted.id)),
        flag(UNKNOWN),
        flag(last),
        note(UNKNOWN),
        note(first, title="x" * 81),
        note(first),
    ]
    results = org.gateway().write(rows)
    assert [(result.answer, result.code) for result in results] == [
        (Answer.OK, None),
        (Answer.REJECTED, "CANNOT_UPDATE_CONVERTED_LEAD"),
        (Answer.REJECTED, "ENTITY_IS_DELETED"),
        (Answer.REJECTED, results[3].code),
        (Answer.OK, None),
        (Answer.REJECTED, results[5].code),
        (Answer.REJECTED, "STRING_TOO_LONG"),
        (Answer.OK, None),
    ]
    assert {result.record_id for result in results if result.answer is Answer.REJECTED} == {None}
    assert results[0].record_id == first.salesforce_id
    assert results[4].record_id == last.salesforce_id
    assert [row["Title"] for row in org.notes_on(first.salesforce_id)] == ["unsubscribed"]


def test_opting_a_lead_out_does_not_hand_it_to_somebody_else(org: Org) -> None:
    seller = tokens.user_id(org.connection, "sales@local.example")
    settings.change(org.connection, lead_assignment_owner=tokens.user_id(org.connection, admin.ADMINISTRATOR))
    alone, together = LEADS[410:412]
    gateway = org.gateway()
    gateway.write([flag(alone)])
    gateway.write([flag(together), note(together)])
    for lead in (alone, together):
        assert org.record("Lead", lead.salesforce_id)["HasOptedOutOfEmail"] == 1
        assert org.record("Lead", lead.salesforce_id)["OwnerId"] == seller


def test_a_reason_that_looks_like_a_reference_arrives_as_it_is(org: Org) -> None:
    one, two = CONTACTS[420:422]
    body = "Reason: @{part0[0].id} and @{nothing}"
    gateway = org.gateway()
    results = gateway.write([flag(one), flag(two), note(one, body=body), note(two)])
    assert {result.answer for result in results} == {Answer.OK}
    assert [row["Body"] for row in org.notes_on(one.salesforce_id)] == [body]


def test_an_expired_session_costs_one_login_and_loses_nothing(org: Org) -> None:
    lead = LEADS[430]
    settings.change(org.connection, lead_assignment_owner=tokens.user_id(org.connection, admin.ADMINISTRATOR))
    gateway = org.gateway()
    gateway.look([lead])
    tokens.expire_all(org.connection)
    results = gateway.write([flag(lead), note(lead)])
    assert [result.answer for result in results] == [Answer.OK, Answer.OK]
    assert len(org.notes_on(lead.salesforce_id)) == 1
    assert org.record("Lead", lead.salesforce_id)["OwnerId"] == tokens.user_id(org.connection, "sales@local.example")


def test_used_up_requests_are_told_before_anything_is_written(org: Org) -> None:
    gateway = org.gateway()
    settings.change(org.connection, daily_api_requests=org.calls())
    for act in (lambda: gateway.look(CONTACTS[:1]), lambda: gateway.write([flag(CONTACTS[440])])):
        with pytest.raises(OrganisationUnavailable) as refused:
            act()
        assert (refused.value.code, refused.value.passing) == ("REQUEST_LIMIT_EXCEEDED", True)
    assert org.record("Contact", CONTACTS[440].salesforce_id)["HasOptedOutOfEmail"] == 0


def test_notes_are_found_by_parent_and_title_also_in_the_recycle_bin(org: Org) -> None:
    one, two = CONTACTS[450:452]
    gateway = org.gateway()
    title = 'O\'Brien \\ left "us"'
    results = gateway.write([note(one, title), note(one, title), note(one, title.lower()), note(two, "kept")])
    ids = [result.record_id or "" for result in results]
    admin.delete(admin.session(org.connection), ids[1])
    found = gateway.find_notes([(one.salesforce_id, title), (two.salesforce_id, title), (two.salesforce_id, "kept")])
    assert {key: [each.note_id for each in notes] for key, notes in found.items()} == {
        (one.salesforce_id, title): sorted(ids[:2]),
        (two.salesforce_id, title): [],
        (two.salesforce_id, "kept"): [ids[3]],
    }


def test_hundreds_of_notes_are_found_in_a_call_or_two(org: Org) -> None:
    people = CONTACTS[500:800]
    gateway = org.gateway()
    title = "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"
    written = gateway.write([note(person, title) for person in people])
    found: dict[tuple[str, str], list[FoundNote]] = {}
    keys = [(person.salesforce_id, title) for person in people]
    assert counting(org, lambda: found.update(gateway.find_notes(keys))) <= 2
    assert [[each.note_id for each in found[key]] for key in keys] == [[result.record_id] for result in written]


def test_a_task_is_created_once_for_its_key(org: Org) -> None:
    person = CONTACTS[460]
    fields = {"WhoId": person.salesforce_id, "Subject": "Informz: 3 sent", "Status": "Completed"}
    row = RowWrite(Operation.UPSERT_TASK, "Task", fields, external_id=("Writeback_Key__c", "sent/2026-11-01/460"))
    gateway = org.gateway()
    (first,), (again,) = gateway.write([row]), gateway.write([row])
    assert first.answer is again.answer is Answer.OK
    assert first.record_id == again.record_id
    assert first.record_id is not None
    assert first.record_id.startswith("00T")


def test_a_jwt_login_is_let_in(org: Org, tmp_path: Path) -> None:
    client = tokens.create_jwt_client(org.connection, tmp_path)
    connection = from_environment(
        {
            "SALESFORCE_URL": org.url,
            "SALESFORCE_CLIENT_ID": client.client_id,
            "SALESFORCE_USERNAME": client.username,
            "SALESFORCE_PRIVATE_KEY_FILE": str(client.private_key_path),
        }
    )
    assert connection is not None
    assert isinstance(connection.auth, JwtBearer)
    with closing(SalesforceOrganisation(connection)) as gateway:
        assert isinstance(gateway.look(CONTACTS[:1])[CONTACTS[0].salesforce_id], Live)


def test_a_wrong_secret_is_told_without_showing_it(org: Org) -> None:
    connection = SalesforceConnection(org.url, "local", ClientCredentials("wr0ng-secret"))
    with closing(SalesforceOrganisation(connection)) as gateway, pytest.raises(OrganisationUnavailable) as refused:
        gateway.look(CONTACTS[:1])
    assert refused.value.code == "invalid_client"
    assert "SALESFORCE_CLIENT_SECRET" in refused.value.advice
    assert "wr0ng-secret" not in f"{refused.value} {refused.value!r}"


def test_https_is_verified(org: Org, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificates.for_loopback(org.database.parent / "tls")
    with run_in_thread(org.database, certificate=certificate) as secure:
        connection = SalesforceConnection(secure.url, "local", ClientCredentials("local"))
        with closing(SalesforceOrganisation(connection)) as gateway:
            with pytest.raises(OrganisationUnavailable) as refused:
                gateway.look(CONTACTS[:1])
            assert (refused.value.code, refused.value.passing) == ("CERTIFICATE_REFUSED", False)
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
            assert gateway.look(CONTACTS[:1])
