"""Answers queries: one query text becomes one SQLite statement, whose rows are the JSON records of the answer.

Paging, the count of API calls and the address of the next page belong to the HTTP side.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.soql_errors import QueryError, refusal
from writeback_pipeline.local_org.soql_filters import FOLD, rows
from writeback_pipeline.local_org.soql_grammar import Comparison, Function, Junction, Path, Query, parse
from writeback_pipeline.local_org.soql_scope import Column, Scope, Statement
from writeback_pipeline.local_org.soql_select import record

MAX_OFFSET = 2_000

_COUNT = Function("COUNT", None)
_LINK_KEYS = ("id", "linkedentityid", "contentdocumentid")
_TOO_LARGE = ("too large", "too many", "stack overflow", "at most")
"""What SQLite says of a statement that is beyond its limits, as opposed to a locked or damaged database."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """All records of a query, with `attributes` and native JSON values; COUNT() has a total and no records."""

    total_size: int
    records: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """A query as columns, each the path of a field, `Account.Name`, and the field; and its rows, of stored values."""

    columns: list[tuple[str, Field]]
    rows: sqlite3.Cursor


def run(
    connection: sqlite3.Connection,
    text: str,
    *,
    api_version: str,
    visible: Callable[[str], SObject],
    include_deleted: bool,
) -> QueryResult:
    """The answer to the query `text`; raises QueryError where Salesforce would refuse it.

    `visible` gives the object of a name (any case) with the fields the session may see, KeyError when there is none.
    """
    connection.create_function(FOLD, 1, _folded, deterministic=True)
    statement = Statement(text, f"/services/data/v{api_version}/sobjects/", visible, include_deleted)
    with _within_limits():
        query, scope = _read(statement)
        counted = query.items == (_COUNT,)
        shown = "1" if counted else record(scope, query)
        sql = f"SELECT {shown} {rows(scope, query)}"
        if counted:
            return QueryResult(connection.execute(f"SELECT count(*) FROM ({sql})", statement.values).fetchone()[0], [])
        records = [json.loads(row[0]) for row in connection.execute(sql, statement.values)]
        return QueryResult(len(records), records)


def run_as_table(
    connection: sqlite3.Connection, text: str, *, visible: Callable[[str], SObject], include_deleted: bool
) -> Table:
    """The answer as rows to be fetched one after the other; refuses what `run` does, and all but plain fields."""
    connection.create_function(FOLD, 1, _folded, deterministic=True)
    with _within_limits():
        statement, columns, sql = _as_table(text, visible, include_deleted=include_deleted)
        return Table(columns, connection.execute(sql, statement.values))


def queried_object(text: str, visible: Callable[[str], SObject]) -> SObject:
    """The object that a query for a table asks for; QueryError for one that `run_as_table` would refuse."""
    with _within_limits():
        statement, _, _ = _as_table(text, visible, include_deleted=False)
        return statement.sobject(parse(text).source)


def _as_table(
    text: str, visible: Callable[[str], SObject], *, include_deleted: bool
) -> tuple[Statement, list[tuple[str, Field]], str]:
    statement = Statement(text, "", visible, include_deleted)
    query, scope = _read(statement)
    columns: dict[str, Column] = {}
    for item in query.items:
        if not isinstance(item, Path) or query.offset:
            raise QueryError(400, "FEATURENOTENABLED", "Aggregate Relationships not supported in Bulk Query")
        parents = [parent.relationship for parent in scope.chain(item)[1:]]
        column = scope.column(item)
        columns[".".join([*parents, column.field.name])] = column
    shown = ", ".join(column.sql for column in columns.values())
    return (
        statement,
        [(name, column.field) for name, column in columns.items()],
        f"SELECT {shown} {rows(scope, query)}",
    )


def _read(statement: Statement) -> tuple[Query, Scope]:
    query = parse(statement.query)
    scope = Scope.of(statement, statement.sobject(query.source))
    _check_whole(scope, query)
    return query, scope


@contextmanager
def _within_limits() -> Iterator[None]:
    try:
        yield
    except (RecursionError, sqlite3.OperationalError) as error:
        if isinstance(error, RecursionError) or any(words in str(error) for words in _TOO_LARGE):
            raise QueryError(
                400,
                "QUERY_TOO_COMPLICATED",
                "Query is either selecting too many fields or the filter conditions are too complicated.",
            ) from error
        raise


def _folded(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


def _check_whole(scope: Scope, query: Query) -> None:
    """The rules about a query as a whole, which no single name or value breaks."""
    if query.offset > MAX_OFFSET:
        raise QueryError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {MAX_OFFSET}")
    if scope.sobject.name == "ContentDocumentLink" and not _names_a_link(query):
        raise refusal(
            scope.statement.query,
            query.source.at,
            "MALFORMED_QUERY",
            "Implementation restriction: ContentDocumentLink requires a filter by a single Id on ContentDocumentId "
            "or LinkedEntityId using the equals operator or multiple Id's using the IN operator.",
        )


def _names_a_link(query: Query) -> bool:
    where = query.where
    tests = where.operands if isinstance(where, Junction) and where.operator == "AND" else (where,)
    return any(
        isinstance(test, Comparison) and test.operator in ("=", "IN") and test.path.names[0].lower() in _LINK_KEYS
        for test in tests
    )
