"""The sample people: the same for everybody, loaded with the history that each group's name promises."""

import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from writeback_pipeline.local_org import admin, ids, sample, state, values
from writeback_pipeline.local_org.sample_people import SamplePerson, invent
from writeback_pipeline.local_org.schema import OBJECTS

EVERYBODY = sample.people()
GROUPS = (
    EVERYBODY.contacts,
    EVERYBODY.leads,
    EVERYBODY.converted_leads,
    EVERYBODY.merged_contacts,
    EVERYBODY.deleted,
    EVERYBODY.purged,
)


@pytest.fixture(scope="module")
def organisation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    opened = state.open_org(tmp_path_factory.mktemp("sample") / "organisation.sqlite")
    with opened.connection() as connection:
        sample.load(connection)
        yield connection
    opened.close()


def row(organisation: sqlite3.Connection, person: SamplePerson) -> sqlite3.Row | None:
    found: sqlite3.Row | None = organisation.execute(
        f"SELECT * FROM {person.object_type} WHERE Id = ?", (person.id,)
    ).fetchone()
    return found


def user(organisation: sqlite3.Connection, username: str) -> str:
    return str(organisation.execute("SELECT Id FROM User WHERE Username = ?", (username,)).fetchone()[0])


def test_everybody_is_the_same_in_another_process() -> None:
    script = "from writeback_pipeline.local_org import sample; print(ascii(sample.people()))"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == ascii(EVERYBODY) == ascii(invent())


def test_every_id_is_valid_and_given_to_one_person_only() -> None:
    people = list(chain.from_iterable(GROUPS))
    assert len({person.id for person in people}) == len(people)
    for person in people:
        assert ids.normalise(person.id) == person.id
        assert person.id.startswith(OBJECTS[person.object_type].key_prefix)


def test_every_field_could_have_been_written_through_the_api() -> None:
    for person in chain.from_iterable(GROUPS):
        described = OBJECTS[person.object_type]
        given = {"FirstName": person.first_name, "LastName": person.last_name, "Email": person.email}
        for name, value in given.items():
            assert values.to_stored(described.field(name), value) == value
    for account in EVERYBODY.accounts:
        assert values.to_stored(OBJECTS["Account"].field("Name"), account.name) == account.name


def test_names_come_in_many_scripts() -> None:
    letters = {letter for person in EVERYBODY.contacts for letter in person.name}
    assert letters >= set("éßłığ\N{CYRILLIC SMALL LETTER I}\N{HEBREW LETTER HE}\N{ARABIC LETTER ALEF}王")
    assert any(ord(letter) > 0xFFFF for letter in letters)
    assert any("🚀" in account.name for account in EVERYBODY.accounts)


def test_live_people_are_there_as_they_are_described(organisation: sqlite3.Connection) -> None:
    assert len(EVERYBODY.contacts) + len(EVERYBODY.leads) >= 2_000
    for person in (*EVERYBODY.contacts, *EVERYBODY.leads):
        stored = row(organisation, person)
        assert stored
        assert (stored["Name"], stored["Email"], stored["IsDeleted"]) == (person.name, person.email, 0)
    assert organisation.execute("SELECT count(*) FROM Account").fetchone()[0] == len(EVERYBODY.accounts)


def test_addresses_are_shared_within_and_across_objects() -> None:
    contacts = Counter((person.email or "").lower() for person in EVERYBODY.contacts if person.email)
    leads = {(person.email or "").lower() for person in EVERYBODY.leads}
    assert sum(times == 2 for times in contacts.values()) == 30
    assert len(leads & set(contacts)) == 60
    assert any(person.email is None for person in EVERYBODY.contacts)


def test_a_converted_lead_stays_beside_the_contact_that_it_became(organisation: sqlite3.Connection) -> None:
    contacts = {person.id: person for person in EVERYBODY.contacts}
    assert len(EVERYBODY.converted_leads) == 40
    for lead in EVERYBODY.converted_leads:
        stored = row(organisation, lead)
        assert stored
        assert (stored["IsConverted"], stored["IsDeleted"], stored["ConvertedContactId"]) == (1, 0, lead.became)
        contact = contacts[stored["ConvertedContactId"]]
        assert contact.email == lead.email == stored["Email"]
        assert stored["ConvertedAccountId"] == contact.account.id


def test_merged_contacts_lead_to_a_live_one_some_over_two_steps(organisation: sqlite3.Connection) -> None:
    steps = Counter[int]()
    for loser in EVERYBODY.merged_contacts:
        stored, hops = row(organisation, loser), 0
        while stored and stored["MasterRecordId"]:
            assert stored["IsDeleted"]
            hops += 1
            stored = organisation.execute("SELECT * FROM Contact WHERE Id = ?", (stored["MasterRecordId"],)).fetchone()
        assert stored
        assert not stored["IsDeleted"]
        steps[hops] += 1
    assert steps == {1: 18, 2: 2}


def test_the_deleted_are_in_the_recycle_bin_and_can_come_back(organisation: sqlite3.Connection) -> None:
    assert len(EVERYBODY.deleted) == 15
    for person in EVERYBODY.deleted:
        stored = row(organisation, person)
        assert stored
        assert (stored["IsDeleted"], stored["MasterRecordId"]) == (1, None)
    organisation.execute("SAVEPOINT trial")
    admin.undelete(admin.session(organisation), EVERYBODY.deleted[0].id)
    restored = row(organisation, EVERYBODY.deleted[0])
    organisation.execute("ROLLBACK TO trial")
    organisation.execute("RELEASE trial")
    assert restored
    assert not restored["IsDeleted"]


def test_of_the_purged_nothing_is_left(organisation: sqlite3.Connection) -> None:
    assert len(EVERYBODY.purged) == 5
    assert not any(row(organisation, person) for person in EVERYBODY.purged)


def test_opt_outs_made_in_salesforce_name_the_administrator(organisation: sqlite3.Connection) -> None:
    administrator = user(organisation, admin.ADMINISTRATOR)
    assert len(EVERYBODY.opted_out_in_salesforce) == 60
    for person in EVERYBODY.opted_out_in_salesforce:
        stored = row(organisation, person)
        assert stored
        assert (stored["HasOptedOutOfEmail"], stored["LastModifiedById"]) == (1, administrator)
        assert stored["LastModifiedDate"] > stored["CreatedDate"]
    flagged = sum(
        organisation.execute(f"SELECT count(*) FROM {name} WHERE HasOptedOutOfEmail").fetchone()[0]
        for name in ("Contact", "Lead")
    )
    assert flagged == 60


def test_new_records_never_get_a_sample_persons_id(tmp_path: Path) -> None:
    taken = [person.id for person in chain.from_iterable(GROUPS) if person.object_type == "Contact"]
    opened = state.reset(tmp_path / "organisation.sqlite")
    with opened.connection() as connection:
        new = admin.create(admin.session(connection), "Contact", {"LastName": "New"})
    opened.close()
    assert new > max(taken)
