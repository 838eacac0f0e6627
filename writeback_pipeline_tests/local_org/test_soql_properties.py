"""What holds for every query: no literal escapes, no text breaks the organisation, no condition is half true."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.local_org import ids
from writeback_pipeline.local_org.soql_errors import QueryError
from writeback_pipeline.local_org.soql_grammar import Comparison, Junction, parse
from writeback_pipeline_tests.local_org.soql_support import add, ask, fresh, names, populated, quoted

# Characters of a text that Salesforce can hold: no NUL, no half of a surrogate pair.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80)


@pytest.fixture(scope="module")
def organisation() -> Iterator[sqlite3.Connection]:
    connection = populated()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def empty() -> Iterator[sqlite3.Connection]:
    connection = fresh()
    yield connection
    connection.close()


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


@given(text=st.text(max_size=60))
def test_a_literal_never_ends_before_its_closing_quote(text: str) -> None:
    query = parse(f"SELECT Id FROM Contact WHERE Name = {quoted(text)} AND Email = null")
    assert isinstance(query.where, Junction)
    assert [test.operator for test in query.where.operands if isinstance(test, Comparison)] == ["=", "="]


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


@given(condition=conditions)
def test_conditions_hold_or_do_not_hold_and_nothing_between(organisation: sqlite3.Connection, condition: Test) -> None:
    soql, holds = condition
    emails = {"Ada": "ada@example.org", "Bea": "bea@example.org", "Cem": None}
    assert names(organisation, soql) == [name for name, email in emails.items() if holds(email)]
