"""Queries against a small organisation: what each clause keeps, and how records, parents and children are shown."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from writeback_pipeline.local_org import ids, records, schema
from writeback_pipeline.local_org.soql import QueryResult
from writeback_pipeline.local_org.soql_errors import QueryError
from writeback_pipeline_tests.local_org.soql_support import (
    ACME,
    ADA,
    ADMIN,
    BEA,
    GONE,
    LEAD,
    add,
    ask,
    fresh,
    names,
    populated,
)


@pytest.fixture(scope="module")
def organisation() -> Iterator[sqlite3.Connection]:
    connection = populated()
    yield connection
    connection.close()


def test_a_record_carries_its_attributes_and_native_json_values(organisation: sqlite3.Connection) -> None:
    query = f"select id, hasoptedoutofemail, Birthdate, Email, CreatedDate from contact where Id = '{BEA}'"
    assert ask(organisation, query).records == [
        {
            "attributes": {"type": "Contact", "url": f"/services/data/v60.0/sobjects/Contact/{BEA}"},
            "Id": BEA,
            "HasOptedOutOfEmail": True,
            "Birthdate": None,
            "Email": "bea@example.org",
            "CreatedDate": "2026-11-23T12:00:01.000+0000",
        }
    ]


def test_fields_of_parents_nest_and_a_missing_parent_is_null(organisation: sqlite3.Connection) -> None:
    query = "SELECT Account.Name, Account.AnnualRevenue, Account.Owner.Name FROM Contact ORDER BY Name LIMIT 2"
    ada, bea = ask(organisation, query).records
    assert ada["Account"] == {
        "attributes": {"type": "Account", "url": f"/services/data/v60.0/sobjects/Account/{ACME}"},
        "Name": "Äcme & Söhne",
        "AnnualRevenue": 1250000.5,
        "Owner": {
            "attributes": {"type": "User", "url": f"/services/data/v60.0/sobjects/User/{ADMIN}"},
            "Name": "Admin",
        },
    }
    assert bea["Account"] is None


def test_a_parent_of_several_possible_types_shows_its_name_and_type(organisation: sqlite3.Connection) -> None:
    query = "SELECT Who.Name, Who.Type FROM Task WHERE Who.Type = 'Lead'"
    (record,) = ask(organisation, query).records
    assert record["Who"] == {
        "attributes": {"type": "Name", "url": f"/services/data/v60.0/sobjects/Lead/{LEAD}"},
        "Name": "Lea",
        "Type": "Lead",
    }


def test_child_records_nest_with_their_own_total_or_are_null(organisation: sqlite3.Connection) -> None:
    query = "SELECT (SELECT Title FROM Notes ORDER BY Title), (SELECT Id FROM Tasks) FROM Contact ORDER BY Name LIMIT 2"
    ada, bea = ask(organisation, query).records
    assert (ada["Notes"]["totalSize"], ada["Notes"]["done"]) == (2, True)
    assert [note["Title"] for note in ada["Notes"]["records"]] == ["first", "second"]
    assert ada["Notes"]["records"][0]["attributes"]["type"] == "Note"
    assert ada["Tasks"]["totalSize"] == 1
    assert bea["Notes"] is None
    with_deleted = ask(organisation, query, include_deleted=True).records[0]
    assert (with_deleted["Notes"]["totalSize"], with_deleted["Tasks"]["totalSize"]) == (3, 2)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Email = 'ADA@example.ORG'", ["Ada"]),
        ("LastName = 'åBERG'", ["Ada"]),
        ("Email != 'ada@example.org'", ["Bea", "Cem"]),
        ("Email <> null", ["Ada", "Bea"]),
        ("Email = null", ["Cem"]),
        ("Email = ''", ["Cem"]),
        ("Email IN ('bea@example.org', null)", ["Bea", "Cem"]),
        ("Email NOT IN ('bea@example.org')", ["Ada", "Cem"]),
        ("Email NOT IN ('bea@example.org', null)", ["Ada"]),
        ("LastName LIKE 'o_HA%'", ["Bea"]),
        ("LastName LIKE 'Å%'", ["Ada"]),
        (r"LastName LIKE '100\%\_\\'", ["Cem"]),
        (r"LastName LIKE '1__\\%'", []),
        (r"LastName = 'O\'Hara'", ["Bea"]),
        (r"LastName = '\u00c5berg'", ["Ada"]),
        ("(NOT Email LIKE '%@example.org')", ["Cem"]),
        ("NOT (Email = 'ada@example.org' OR HasOptedOutOfEmail = true)", ["Cem"]),
        ("HasOptedOutOfEmail = TRUE", ["Bea"]),
        ("HasOptedOutOfEmail = null", ["Ada", "Cem"]),
        ("(Email = null OR HasOptedOutOfEmail = true) AND LastName > 'A'", ["Bea"]),
        ("Birthdate < 1990-03-01", ["Ada"]),
        ("Birthdate >= 1990-03-01", []),
        ("CreatedDate > 2026-11-23T12:00:00Z", ["Bea"]),
        ("CreatedDate > 2026-11-23T14:00:00.500+02:00", ["Bea"]),
        ("CreatedDate <= 2026-11-23T04:00:00-0800", ["Ada", "Cem"]),
        ("Account.Name LIKE 'äcme%'", ["Ada"]),
        ("Account.Name = null", ["Bea", "Cem"]),
        ("Account.NumberOfEmployees >= 12 AND Account.AnnualRevenue < 1300000", ["Ada"]),
        ("AccountId IN (SELECT Id FROM Account WHERE AnnualRevenue > 5)", ["Ada"]),
        ("Id NOT IN (SELECT WhoId FROM Task)", ["Bea", "Cem"]),
        (f"Id = '{ADA[:15]}'", ["Ada"]),
        (f"Id IN ('{ADA}', '{GONE}', '{LEAD}')", ["Ada"]),
    ],
)
def test_where_keeps_what_salesforce_would_keep(
    organisation: sqlite3.Connection, where: str, expected: list[str]
) -> None:
    assert names(organisation, where) == expected


def test_a_case_sensitive_external_id_is_compared_exactly(organisation: sqlite3.Connection) -> None:
    assert ask(organisation, "SELECT Id FROM Task WHERE Writeback_Key__c = 'Key'").total_size == 1
    assert ask(organisation, "SELECT Id FROM Task WHERE Writeback_Key__c = 'KEY'").total_size == 0


@time_machine.travel(datetime(2026, 11, 23, 23, 59, 59, tzinfo=UTC), tick=False)
def test_date_functions_cover_whole_days_in_utc() -> None:
    connection = fresh()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for name, moment in (
        ("first", timedelta()),
        ("eve", timedelta(seconds=-1)),
        ("old", timedelta(days=-2, seconds=-1)),
    ):
        created = (midnight + moment).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
        add(connection, "Contact", records.new_id(connection, "003"), Name=name, CreatedDate=created)
    assert names(connection, "CreatedDate = TODAY") == ["first"]
    assert names(connection, "CreatedDate != TODAY") == ["eve", "old"]
    assert names(connection, "CreatedDate = yesterday") == ["eve"]
    assert names(connection, "CreatedDate <= YESTERDAY") == ["eve", "old"]
    assert names(connection, "CreatedDate = LAST_N_DAYS:2") == ["eve", "first"]
    assert names(connection, "CreatedDate < LAST_N_DAYS:2") == ["old"]
    assert names(connection, "CreatedDate > TODAY") == []


def test_deleted_rows_show_only_when_all_rows_are_asked_for(organisation: sqlite3.Connection) -> None:
    query = f"SELECT Id, IsDeleted FROM Contact WHERE Id = '{GONE}'"
    assert ask(organisation, query).records == []
    assert ask(organisation, query, include_deleted=True).records[0]["IsDeleted"] is True


def test_nulls_sort_first_unless_the_query_says_otherwise(organisation: sqlite3.Connection) -> None:
    def order(keys: str) -> list[str]:
        return [r["Name"][:3] for r in ask(organisation, f"SELECT Name FROM Contact ORDER BY {keys}").records]

    assert order("Email") == ["Cem", "Ada", "Bea"]
    assert order("Email DESC") == ["Cem", "Bea", "Ada"]
    assert order("Email DESC NULLS LAST") == ["Bea", "Ada", "Cem"]
    assert order("Account.Name NULLS LAST, Name DESC") == ["Ada", "Cem", "Bea"]


def test_count_limit_and_offset(organisation: sqlite3.Connection) -> None:
    assert ask(organisation, "SELECT COUNT() FROM Contact") == QueryResult(3, [])
    assert ask(organisation, "SELECT count() FROM Contact WHERE Email = null LIMIT 2") == QueryResult(1, [])
    page = ask(organisation, "SELECT Name FROM Contact ORDER BY Name LIMIT 5 OFFSET 1")
    assert (page.total_size, page.records[0]["Name"]) == (2, "Bea O'Hara")


@pytest.mark.parametrize("name", sorted(schema.OBJECTS))
def test_every_object_can_be_selected_with_all_its_fields(organisation: sqlite3.Connection, name: str) -> None:
    only = "WHERE Id = null" if name == "ContentDocumentLink" else ""
    for group in ("ALL", "STANDARD"):
        for record in ask(organisation, f"SELECT FIELDS({group}) FROM {name} {only} LIMIT 200").records:
            custom = [f for f in record if f.endswith("__c")]
            assert bool(custom) == (group == "ALL" and name == "Task")
            assert set(record) - {"attributes"} <= {f.name for f in schema.sobject(name).fields}


def test_a_hidden_field_does_not_exist_for_the_session(organisation: sqlite3.Connection) -> None:
    with pytest.raises(QueryError, match="No such column 'HasOptedOutOfEmail' on entity 'Contact'"):
        ask(organisation, "SELECT HasOptedOutOfEmail FROM Contact", hidden="HasOptedOutOfEmail")


def test_thousands_of_ids_fit_one_list(organisation: sqlite3.Connection) -> None:
    listed = ", ".join(f"'{ids.make('003', number)}'" for number in range(4_000))
    assert ask(organisation, f"SELECT Id FROM Contact WHERE Id IN ({listed})").total_size == 3
