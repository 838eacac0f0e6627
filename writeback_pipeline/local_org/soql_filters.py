"""Which rows a query keeps and in which order, as SQL: everything from FROM on.

Text compares without regard to case, and a condition is either true or false: a null is unequal to every value, so
`!=`, NOT IN and NOT keep the rows where the field is empty.
"""

import json
from functools import partial

from writeback_pipeline.local_org.soql_errors import refusal
from writeback_pipeline.local_org.soql_grammar import Comparison, Condition, Junction, Literal, Path, Query
from writeback_pipeline.local_org.soql_scope import Column, Scope
from writeback_pipeline.local_org.soql_values import ID_TYPES, TEXT_TYPES, Fail, Value, decoded, value_of

FOLD = "soql_fold"
"""The SQL function that makes texts comparable without regard to case."""

_RANGE_TESTS = {
    "=": "({0} >= {1} AND {0} < {2})",
    "!=": "({0} >= {1} AND {0} < {2}) IS NOT TRUE",
    "<": "{0} < {1}",
    ">=": "{0} >= {1}",
    "<=": "{0} < {2}",
    ">": "{0} >= {2}",
}
"""How a column ({0}) compares with the days of a date function, from {1} to before {2}."""
_SQL_OPERATORS = {"=": "IS", "!=": "IS NOT"}


def rows(scope: Scope, query: Query, *links: str) -> str:
    """FROM to OFFSET for the rows of `query` on `scope`; `links` are conditions of the enclosing statement."""
    statement = scope.statement
    kept = [*links, *_standing(scope)]
    if query.where:
        kept.append(_condition(scope, query.where))
    order = _order(scope, query)
    limit = -1 if query.limit is None else query.limit
    return (
        f"FROM {scope.source} {' '.join(scope.joins)} WHERE {' AND '.join(kept) or 'TRUE'} ORDER BY {order} "
        f"LIMIT {statement.bind(limit)} OFFSET {statement.bind(query.offset)}"
    )


def _standing(scope: Scope) -> list[str]:
    """Unless the query asks for all rows, the recycle bin and archived activities stay out of sight."""
    if scope.statement.include_deleted:
        return []
    hidden = [scope.sobject.field(name).name for name in ("IsDeleted", "IsArchived") if scope.sobject.has(name)]
    return [f'{scope.alias}."{name}" = 0' for name in hidden]


def _order(scope: Scope, query: Query) -> str:
    terms = []
    for key in query.keys:
        column = scope.column(key.path)
        if not column.field.filterable:
            message = f"field '{column.field.name}' can not be sorted in a query call"
            raise refusal(scope.statement.query, key.path.at, "INVALID_FIELD", message)
        direction, nulls = "DESC" if key.descending else "ASC", "LAST" if key.nulls_last else "FIRST"
        terms.append(f"{_comparable(column, ascii_only=False)} {direction} NULLS {nulls}")
    return ", ".join([*terms, scope.identity])  # the id last: the order is total, so pages never overlap


def _condition(scope: Scope, node: Condition) -> str:
    if isinstance(node, Comparison):
        return _comparison(scope, node)
    if isinstance(node, Junction):
        return f"({f' {node.operator} '.join(_condition(scope, operand) for operand in node.operands)})"
    return f"({_condition(scope, node.operand)}) IS NOT TRUE"


def _comparison(scope: Scope, node: Comparison) -> str:
    column = scope.column(node.path)
    kind, operator, values = column.field.type, node.operator, node.values
    fail = partial(refusal, scope.statement.query, node.path.at)
    if not column.field.filterable:
        raise fail("INVALID_FIELD", f"field '{column.field.name}' can not be filtered in a query call")
    if kind == "boolean" and operator not in ("=", "!=", "IN", "NOT IN"):
        raise fail("INVALID_QUERY_FILTER_OPERATOR", "invalid operator on boolean field")
    if operator in ("IN", "NOT IN"):
        if isinstance(values, Query):
            test = _in_query(scope, column, values, fail)
        else:
            test = _in_list(scope, column, values, fail)
        return test if operator == "IN" else f"{test} IS NOT TRUE"
    assert isinstance(values, tuple), "the grammar allows a query after IN only"
    if operator == "LIKE":
        return _like(scope, column, values[0], fail)
    value = value_of(column.field, values[0], fail)
    bind = scope.statement.bind
    if isinstance(value, tuple):
        return _RANGE_TESTS[operator].format(column.sql, bind(value[0]), bind(value[1]))
    left = _comparable(column, ascii_only=not isinstance(value, str) or value.isascii())
    return f"{left} {_SQL_OPERATORS.get(operator, operator)} {bind(value)}"


def _in_list(scope: Scope, column: Column, literals: tuple[Literal, ...], fail: Fail) -> str:
    values: list[Value] = []
    for literal in literals:
        value = value_of(column.field, literal, fail)
        if isinstance(value, tuple):
            raise fail("MALFORMED_QUERY", f"unexpected token: '{literal.text}'")
        values.append(value)
    # One bound JSON text, because SQLite limits how many single values a statement may bind.
    listed = scope.statement.bind(json.dumps([value for value in values if value is not None]))
    left = _comparable(column, ascii_only=all(value.isascii() for value in values if isinstance(value, str)))
    test = f"{left} IN (SELECT value FROM json_each({listed}))"
    return f"({test} OR {column.sql} IS NULL)" if None in values else f"({test})"


def _in_query(scope: Scope, column: Column, query: Query, fail: Fail) -> str:
    statement = scope.statement
    inner = Scope.of(statement, statement.sobject(query.source))
    selected = [inner.column(item) for item in query.items if isinstance(item, Path)]
    fits = len(selected) == len(query.items) == 1 and selected[0].field.type in ID_TYPES
    if not fits or column.field.type not in ID_TYPES:
        raise fail("MALFORMED_QUERY", "a semi-join compares an id with the one id field that the inner query selects")
    return f"({column.sql} IN (SELECT {selected[0].sql} {rows(inner, query)}))"


def _like(scope: Scope, column: Column, literal: Literal, fail: Fail) -> str:
    if column.field.type not in TEXT_TYPES or literal.kind != "STRING":
        raise fail("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {column.field.type} field")
    pattern = decoded(literal, fail, as_pattern=True).casefold()
    return rf"{FOLD}({column.sql}) LIKE {scope.statement.bind(pattern)} ESCAPE '\'"


def _comparable(column: Column, *, ascii_only: bool) -> str:
    """The column as its values are compared; SQLite's own caseless order knows ASCII only, but uses the indexes."""
    if column.field.type not in TEXT_TYPES or column.field.case_sensitive:
        return column.sql
    return f"{column.sql} COLLATE NOCASE" if ascii_only else f"{FOLD}({column.sql})"
