"""Queries against a small organisation: what each clause keeps, how it is refused, and that no literal escapes."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writeback_pipeline.local_org import ids, records, schema
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.soql import QueryResult, run
from writeback_pipeline.local_org.soql_errors import QueryError
from writeback_pipeline.local_org.soql_grammar import Comparison, Junction, parse

ADMIN = ids.make("005", 1)
ACME = ids.make("001", 1)
ADA, BEA, CEM, GONE = (ids.make("003", number) for number in range(1, 5))
LEAD = ids.make("00Q", 1)
NOON = "2026-11-23T12:00:00.000+0000"

# Characters of a text that Salesforce can hold: no NUL, no half of a surrogate pair.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80)


def add(connection: sqlite3.Connection, sobject: str, record_id: str, **values: Any) -> None:
    described = schema.sobject(sobject)
    flags = {f.name: 0 for f in described.fields if f.type == "boolean"}
    times = {f.name: NOON for f in described.fields if f.name in ("CreatedDate", "SystemModstamp")}
    records.insert(connection, described, {"Id": record_id, **flags, **times, **values})


def fresh() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    records.create_tables(connection)
    return connection


@pytest.fixture(scope="module")
def organisation() -> Iterator[sqlite3.Connection]:
    connection = fresh()
    add(connection, "User", ADMIN, Name="Admin", LastName="Admin")
    add(connection, "Account", ACME, Name="Äcme & Söhne", OwnerId=ADMIN, AnnualRevenue=1250000.5, NumberOfEmployees=12)
    add(connection, "Contact", ADA, Name="Ada Åberg", LastName="Åberg", Email="Ada@Example.org", AccountId=ACME,
        OwnerId=ADMIN, Birthdate="1990-02-28")  # fmt: skip
    add(connection, "Contact", BEA, Name="Bea O'Hara", LastName="O'Hara", Email="bea@example.org", OwnerId=ADMIN,
        HasOptedOutOfEmail=1, CreatedDate="2026-11-23T12:00:01.000+0000")  # fmt: skip
    add(connection, "Contact", CEM, Name="Cem", LastName="100%_\\", OwnerId=ADMIN)
    add(connection, "Contact", GONE, Name="Gone", LastName="Gone", Email="gone@example.org", IsDeleted=1)
    add(connection, "Lead", LEAD, Name="Lea", LastName="Lea", Company="Acme", OwnerId=ADMIN)
    for number, title in ((1, "second"), (2, "first")):
        add(connection, "Note", ids.make("002", number), ParentId=ADA, Title=title, Body="text")
    add(connection, "Note", ids.make("002", 3), ParentId=ADA, Title="deleted", IsDeleted=1)
    add(connection, "Task", ids.make("00T", 1), WhoId=ADA, Subject="Called", Writeback_Key__c="Key")
    add(connection, "Task", ids.make("00T", 2), WhoId=LEAD, Subject="Mailed")
    add(connection, "Task", ids.make("00T", 3), WhoId=ADA, Subject="Archived", IsArchived=1)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def empty() -> Iterator[sqlite3.Connection]:
    connection = fresh()
    yield connection
    connection.close()


def ask(
    connection: sqlite3.Connection, text: str, *, include_deleted: bool = False, hidden: str | None = None
) -> QueryResult:
    def visible(name: str) -> SObject:
        described = schema.sobject(name)
        kept = tuple(f for f in described.fields if f.name != hidden)
        return SObject(described.name, described.label, described.label_plural, described.key_prefix, kept)

    return run(connection, text, api_version="60.0", visible=visible, include_deleted=include_deleted)


def names(connection: sqlite3.Connection, where: str) -> list[str]:
    result = ask(connection, f"SELECT Name FROM Contact WHERE {where} ORDER BY Name")
    return [record["Name"].split()[0] for record in result.records]


def refused(connection: sqlite3.Connection, text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        ask(connection, text)
    return caught.value


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
    assert "entity 'Name'" in refused(organisation, "SELECT Who.HasOptedOutOfEmail FROM Task").message


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
        ("Account.NumberOfEmployees >= 12 AND Account.AnnualRevenue < 1.3e6", None),
        ("Account.NumberOfEmployees >= 12 AND Account.AnnualRevenue < 1300000", ["Ada"]),
        ("AccountId IN (SELECT Id FROM Account WHERE AnnualRevenue > 5)", ["Ada"]),
        ("Id NOT IN (SELECT WhoId FROM Task)", ["Bea", "Cem"]),
        (f"Id = '{ADA[:15]}'", ["Ada"]),
        (f"Id IN ('{ADA}', '{GONE}', '{LEAD}')", ["Ada"]),
    ],
)
def test_where_keeps_what_salesforce_would_keep(
    organisation: sqlite3.Connection, where: str, expected: list[str] | None
) -> None:
    if expected is None:
        assert refused(organisation, f"SELECT Name FROM Contact WHERE {where}").error_code == "MALFORMED_QUERY"
    else:
        assert names(organisation, where) == expected


def test_a_case_sensitive_external_id_is_compared_exactly(organisation: sqlite3.Connection) -> None:
    assert ask(organisation, "SELECT Id FROM Task WHERE Writeback_Key__c = 'Key'").total_size == 1
    assert ask(organisation, "SELECT Id FROM Task WHERE Writeback_Key__c = 'KEY'").total_size == 0


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


def test_the_excerpt_points_at_the_offending_word() -> None:
    """Three messages as Salesforce worded them, character for character up to the caret."""
    unknown_type = refused(fresh(), "SELECT Id,Name,BillingCity,IsDeleted FROM Accout")
    assert unknown_type.message.startswith(
        "\nName,BillingCity,IsDeleted FROM Accout\n                                ^\nERROR at Row:1:Column:43\n"
        "sObject type 'Accout' is not supported."
    )
    unknown_field = refused(fresh(), "select Id, Company,Email,LastName,SF_date__c, ConvertedContactId from Lead")
    assert unknown_field.message.startswith(
        "\nselect Id, Company,Email,LastName,SF_date__c, ConvertedContactId from\n"
        "                                  ^\nERROR at Row:1:Column:35\n"
        "No such column 'SF_date__c' on entity 'Lead'."
    )
    bad_id = refused(fresh(), "SELECT Id, HasOptedOutOfEmail FROM Contact\nWHERE (Id = 'somethingwonky') LIMIT 1")
    assert bad_id.message == (
        "\nWHERE (Id = 'somethingwonky') LIMIT 1\n       ^\nERROR at Row:2:Column:8\ninvalid ID field: somethingwonky"
    )


@pytest.mark.parametrize(
    ("query", "code", "words"),
    [
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Contact;", "MALFORMED_QUERY", "unexpected token: ';'"),
        ("DELETE FROM Contact", "MALFORMED_QUERY", "unexpected token: 'DELETE'"),
        ("SELECT Id FROM Contact WHERE Name = 'O'Hara'", "MALFORMED_QUERY", "unexpected token: 'Hara'"),
        ("SELECT Id FROM Contact WHERE Name = 'a' AND Id = null OR Id = null", "MALFORMED_QUERY", "token: 'OR'"),
        ("SELECT Id FROM Contact WHERE Name = 'a' AND NOT (Id = null)", "MALFORMED_QUERY", "token: 'NOT'"),
        ("SELECT Id FROM Contact WHERE Name IN ()", "MALFORMED_QUERY", "unexpected token: ')'"),
        ("SELECT Id FROM Contact WHERE CreatedDate > 2026-11-23T12:00:00 02:00", "MALFORMED_QUERY", "token: 'T12'"),
        ("SELECT Id FROM Contact WHERE Birthdate = 2026-02-30", "MALFORMED_QUERY", "Invalid date: 2026-02-30"),
        (r"SELECT Id FROM Contact WHERE Name = '\q'", "MALFORMED_QUERY", "Illegal character sequence"),
        (r"SELECT Id FROM Contact WHERE Name = '\ud83d'", "MALFORMED_QUERY", "Illegal character sequence"),
        ("SELECT COUNT(), Id FROM Contact", "MALFORMED_QUERY", "unexpected token: 'COUNT'"),
        ("SELECT FIELDS(ALL) FROM Contact", "MALFORMED_QUERY", "LIMIT of at most 200"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY", "Implementation restriction"),
        ("SELECT Id FROM Contact WHERE Id IN (SELECT Name FROM Lead)", "MALFORMED_QUERY", "semi-join"),
        (f"SELECT Id FROM Contact WHERE Name = '{'x' * 4001}'", "MALFORMED_QUERY", "exceeds 4000 characters"),
        (f"SELECT Id FROM Contact WHERE Name = 'x'{' ' * 100_000}", "MALFORMED_QUERY", "longer than 100000"),
        ("SELECT Id FROM Campaign", "INVALID_TYPE", "sObject type 'Campaign' is not supported"),
        ("SELECT Id, (SELECT Id FROM Cases) FROM Contact", "INVALID_TYPE", "relationship 'Cases' in FROM part"),
        ("SELECT Foo__c FROM Contact", "INVALID_FIELD", "No such column 'Foo__c' on entity 'Contact'"),
        ("SELECT Account.Foo FROM Contact", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'"),
        ("SELECT Boss.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Boss' in field path"),
        ("SELECT Id, Id FROM Contact", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Id FROM Note WHERE Body = 'x'", "INVALID_FIELD", "field 'Body' can not be filtered in a query call"),
        ("SELECT Id FROM Contact ORDER BY Description", "INVALID_FIELD", "can not be sorted"),
        ("SELECT Id FROM Contact WHERE Email = 5", "INVALID_FIELD", "type string and should be enclosed"),
        ("SELECT Id FROM Contact WHERE CreatedDate = '2026'", "INVALID_FIELD", "type dateTime and should not be"),
        ("SELECT Id FROM Contact WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"),
        (f"SELECT Id FROM Contact WHERE Id IN ('{ADA}', 'abc')", "INVALID_QUERY_FILTER_OPERATOR", "ID field: abc"),
        (f"SELECT Id FROM Contact WHERE Id = '{ADA[:15]}ZZZ'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field"),
        ("SELECT Id FROM Contact WHERE Id LIKE '003%'", "INVALID_QUERY_FILTER_OPERATOR", "invalid operator on id"),
        ("SELECT Id FROM Contact OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "offset allowed is 2000"),
        ("SELECT Id FROM Contact WHERE " + "(NOT " * 5000 + "Id = null" + ")" * 5000, "QUERY_TOO_COMPLICATED", ""),
        ("SELECT Id FROM Contact WHERE " + " OR ".join(["Id = null"] * 5000), "QUERY_TOO_COMPLICATED", ""),
    ],
)
def test_a_wrong_query_is_refused_with_salesforces_code(
    organisation: sqlite3.Connection, query: str, code: str, words: str
) -> None:
    error = refused(organisation, query)
    assert (error.status, error.error_code) == (400, code)
    assert words in error.message


def test_thousands_of_ids_fit_one_list(organisation: sqlite3.Connection) -> None:
    listed = ", ".join(f"'{ids.make('003', number)}'" for number in range(4_000))
    assert ask(organisation, f"SELECT Id FROM Contact WHERE Id IN ({listed})").total_size == 3


@settings(deadline=None)
@given(stored=texts)
def test_any_stored_text_is_found_by_its_own_literal_and_nothing_else_is(
    empty: sqlite3.Connection, stored: str
) -> None:
    empty.execute("DELETE FROM Account")
    add(empty, "Account", ids.make("001", 1), Name=stored)
    add(empty, "Account", ids.make("001", 2), Name=f"{stored}!")
    like = quoted(stored).replace("%", "\\%").replace("_", "\\_")
    for test in (f"= {quoted(stored)}", f"IN ('?', {quoted(stored)})", f"LIKE {like}"):
        found = ask(empty, f"SELECT Id, Name FROM Account WHERE Name {test}")
        assert [record["Name"] for record in found.records] == [stored]


@settings(deadline=None)
@given(text=st.text(max_size=60))
def test_a_literal_never_ends_before_its_closing_quote(text: str) -> None:
    query = parse(f"SELECT Id FROM Contact WHERE Name = {quoted(text)} AND Email = null")
    assert isinstance(query.where, Junction)
    assert [test.operator for test in query.where.operands if isinstance(test, Comparison)] == ["=", "="]


@settings(deadline=None)
@given(text=st.text(alphabet="SELECTFROMWHERE idname'\\()=<>!,.%_01: \n", max_size=80))
def test_no_text_whatever_does_more_than_be_refused(empty: sqlite3.Connection, text: str) -> None:
    for query in (text, f"SELECT Id FROM Contact WHERE {text}"):
        with suppress(QueryError):
            assert ask(empty, query).total_size == 0


# A condition as (SOQL, whether it holds for an address): the model of a logic that knows no third value.
Test = tuple[str, Callable[[str | None], bool]]
comparisons: list[Test] = [
    ("Email = 'ada@example.org'", lambda email: email == "ada@example.org"),
    ("Email != 'ada@example.org'", lambda email: email != "ada@example.org"),
    ("Email = null", lambda email: email is None),
    ("Email < 'b'", lambda email: email is not None and email < "b"),
    ("Email LIKE '%a@%'", lambda email: email is not None and "a@" in email),
    ("Email IN ('bea@example.org', null)", lambda email: email in ("bea@example.org", None)),
    ("Email NOT IN ('bea@example.org')", lambda email: email != "bea@example.org"),
]


def negated(test: Test) -> Test:
    return f"(NOT {test[0]})", lambda email: not test[1](email)


def joined(word: str, verdict: Callable[[Iterable[object]], bool]) -> Callable[[list[Test]], Test]:
    def join(tests: list[Test]) -> Test:
        return f"({f' {word} '.join(test[0] for test in tests)})", lambda email: verdict(t[1](email) for t in tests)

    return join


conditions = st.recursive(
    st.sampled_from(comparisons),
    lambda inner: (
        inner.map(negated)
        | st.lists(inner, min_size=2, max_size=3).map(joined("AND", all))
        | st.lists(inner, min_size=2, max_size=3).map(joined("OR", any))
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(condition=conditions)
def test_conditions_hold_or_do_not_hold_and_nothing_between(organisation: sqlite3.Connection, condition: Test) -> None:
    soql, holds = condition
    emails = {"Ada": "ada@example.org", "Bea": "bea@example.org", "Cem": None}
    assert names(organisation, soql) == [name for name, email in emails.items() if holds(email)]
