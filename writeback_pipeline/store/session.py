"""What the store's statements need of a database: run SQL with `$1`-style values, fetch the rows.

Statements keep to what DuckDB and PostgreSQL both take, and ask the session's dialect where they differ. Bulk values
arrive as one array per column and are unnested, long ones of DuckDB as the text of a JSON array, which is not copied by
every step that plans the statement; a column that never changes, as one value.
Two clauses are left out because of what they cost in DuckDB once a table is large: ON CONFLICT takes milliseconds per
row, conflict or not, so bulk inserts leave known rows out themselves; RETURNING turns an update in place into a delete
and an insert of the whole row, so what was updated is selected afterwards. Instants are kept as TIMESTAMP in UTC:
aware ones are bound as they are (the session's time zone is UTC), and read back through `in_utc`.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import methodcaller
from typing import Any, NamedTuple, Protocol, overload

from writeback_pipeline.store.dialect import Dialect

FEW = 200
"""Rows that are looked up one by one; more of them are found sooner by reading the column once."""

_IN_JSON = ("TEXT", "BIGINT", "INTEGER", "BOOLEAN")
"""The types of what JSON tells as it is."""


class Rows(Protocol):
    """The answer to a statement."""

    def fetchall(self) -> list[Any]:
        """Every row, as tuples."""

    def fetchmany(self, size: int, /) -> list[Any]:
        """The next rows, as many at most."""


class Connection(Protocol):
    """What either driver's connection can do."""

    def execute(self, query: Any, parameters: Any = ..., /) -> Rows:
        """Run one statement."""


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection inside a transaction that somebody else began and will end."""

    connection: Connection
    dialect: Dialect

    def execute(self, query: str, parameters: Sequence[object] = ()) -> Rows:
        """Run one statement."""
        return self.connection.execute(query, parameters)

    def among(self, column: str, type_: str, members: Collection[object], values: list[object]) -> str:
        """The condition that the column holds one of the members, which are added to the statement's `values`.

        Few are bound one by one for DuckDB: that is what it looks up in an index, whatever the size of the table, where
        nothing else is asked of the rows. What else there is to ask is asked of a MATERIALIZED result.
        """
        if self.dialect.looks_up_lists and 0 < len(members) <= FEW:
            first = len(values) + 1
            values += members
            return f"{column} IN ({', '.join(f'${number}' for number in range(first, len(values) + 1))})"
        return f"{column} IN ({self.listed(type_, members, values)})"

    def listed(self, type_: str, members: Collection[object], values: list[object]) -> str:
        """A SELECT of the members, which are added to the statement's `values`."""
        column = self._whole(len(values) + 1, type_, list(members))
        values.append(column.value)
        return f"SELECT {column.term}{_texts([column])}"

    def selected(self, columns: Mapping[str, str], rows: Iterable[Sequence[object]]) -> tuple[str, list[object]]:
        """A SELECT of these rows, its columns given with their types, and what is bound as its $1, $2, ...

        A column that says the same in every row is bound once: most of what a large statement costs is the binding. The
        first column, which identifies the row, is always bound whole.
        """
        bound = [
            _Bound(f"${number}::{type_}", column[0])
            if number > 1 and column and column.count(column[0]) == len(column)
            else self._whole(number, type_, column)
            for number, (type_, column) in enumerate(
                zip(columns.values(), as_columns(rows, len(columns)), strict=True), 1
            )
        ]
        terms = (f"{each.term} AS {name}" for name, each in zip(columns, bound, strict=True))
        return f"SELECT {', '.join(terms)}{_texts(bound)}", [each.value for each in bound]

    def _whole(self, number: int, type_: str, column: list[object]) -> "_Bound":
        if self.dialect.takes_lists_as_json and len(column) > FEW and type_ in _IN_JSON:
            return _Bound(f"unnest(from_json_strict(v.c{number}, '[\"{type_}\"]'))", json.dumps(column), text=number)
        return _Bound(f"unnest(${number}::{type_}[])", column)


class _Bound(NamedTuple):
    """A term and the value bound for it; `text` is the number of one that is taken from a text."""

    term: str
    value: object
    text: int | None = None


def _texts(bound: Iterable[_Bound]) -> str:
    """Where such terms are taken from: a row of their texts, as what is constant would be read while planning."""
    numbers = [each.text for each in bound if each.text is not None]
    if not numbers:
        return ""
    return f" FROM (VALUES ({', '.join(f'${n}' for n in numbers)})) v({', '.join(f'c{n}' for n in numbers)})"


def unnested(columns: Mapping[str, str]) -> str:
    """A SELECT that turns the arrays bound as $1, $2, ... into rows of these columns, given with their types."""
    return "SELECT " + ", ".join(
        f"unnest(${number}::{type_}[]) AS {name}" for number, (name, type_) in enumerate(columns.items(), 1)
    )


def as_columns(rows: Iterable[Sequence[object]], width: int) -> list[list[object]]:
    """Rows as one list per column, ready to be bound for `unnested`."""
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]


@overload
def in_utc(instant: datetime) -> datetime: ...
@overload
def in_utc(instant: None) -> None: ...
def in_utc(instant: datetime | None) -> datetime | None:
    """A stored instant as an aware one."""
    return None if instant is None else instant.replace(tzinfo=UTC)


def all_in_utc(column: Sequence[datetime | None]) -> Iterable[datetime | None]:
    """The same of a column, several times faster."""
    absent = column.count(None)
    if absent == len(column):
        return column
    return map(in_utc if absent else _WITH_UTC, column)


_WITH_UTC = methodcaller("replace", tzinfo=UTC)


def storable(text: str | None) -> str | None:
    """Somebody else's text as either database takes it: half a surrogate pair or a NUL becomes a replacement mark."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")
