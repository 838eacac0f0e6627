"""Queries that Salesforce refuses: the code, the words, and the excerpt that points at the place."""

import sqlite3
from collections.abc import Iterator

import pytest

from writeback_pipeline.local_org.soql_errors import QueryError
from writeback_pipeline_tests.local_org.soql_support import ADA, ask, fresh, populated


@pytest.fixture(scope="module")
def organisation() -> Iterator[sqlite3.Connection]:
    connection = populated()
    yield connection
    connection.close()


def refused(connection: sqlite3.Connection, text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        ask(connection, text)
    return caught.value


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
        ("SELECT Id FROM Account WHERE AnnualRevenue < 1.3e6", "MALFORMED_QUERY", "unexpected token: 'e6'"),
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
        ("SELECT Who.HasOptedOutOfEmail FROM Task", "INVALID_FIELD", "'HasOptedOutOfEmail' on entity 'Name'"),
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
