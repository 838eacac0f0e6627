"""What a query shows of each row, as one SQL expression that makes the record's JSON: fields, parents, child records.

SQLite builds the JSON so that nesting costs no second statement; which rows there are is `soql_filters`' business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from writeback_pipeline.local_org import schema
from writeback_pipeline.local_org.fields import Field
from writeback_pipeline.local_org.soql_errors import refusal
from writeback_pipeline.local_org.soql_filters import rows
from writeback_pipeline.local_org.soql_grammar import Function, Path, Query
from writeback_pipeline.local_org.soql_scope import Column, Scope

MAX_ROWS_OF_ALL_FIELDS = 200

_FIELD_GROUPS: dict[str | None, Callable[[Field], bool]] = {
    "ALL": lambda _: True,
    "STANDARD": lambda field: not field.name.endswith("__c"),
    "CUSTOM": lambda field: field.name.endswith("__c"),
}


@dataclass(frozen=True, slots=True)
class _Shown:
    """One JSON object of the answer: the record it shows and its members, values as SQL or parents as objects."""

    scope: Scope
    members: dict[str, "str | _Shown"] = field(default_factory=dict)


def record(scope: Scope, query: Query) -> str:
    """SQL of the JSON text of one record of `query`."""
    shown = _Shown(scope)
    for item in query.items:
        if isinstance(item, Path):
            _add_field(shown, item)
        elif isinstance(item, Query):
            _add_children(shown, item)
        else:
            for path in _field_group(scope, query, item):
                _add_field(shown, path)
    return _json_object(shown)


def _add_field(shown: _Shown, path: Path) -> None:
    column = shown.scope.column(path)
    holder = shown
    for parent in shown.scope.chain(path)[1:]:
        member = holder.members.setdefault(parent.relationship, _Shown(parent))
        assert isinstance(member, _Shown), "a relationship never has the name of a field"
        holder = member
    if column.field.name in holder.members:
        message = f"duplicate field selected: {'.'.join(path.names)}"
        raise refusal(shown.scope.statement.query, path.at, "INVALID_FIELD", message)
    holder.members[column.field.name] = _json_value(column)


def _add_children(shown: _Shown, query: Query) -> None:
    scope, name = shown.scope, query.source.names[0]
    statement = scope.statement
    for described, reference in schema.children_of(scope.sobject.name):
        relationship = reference.child_relationship
        if relationship and relationship.lower() == name.lower():
            child = Scope.of(statement, statement.visible(described.name))
            one = record(child, query)
            link = f'{child.alias}."{reference.name}" = {scope.identity}'
            shown.members[relationship] = (
                "(SELECT json(CASE WHEN count(*) THEN json_object('totalSize', count(*), 'done', json('true'), "
                f"'records', json_group_array(json(one))) END) FROM (SELECT {one} AS one {rows(child, query, link)}))"
            )
            return
    message = (
        f"Didn't understand relationship '{name}' in FROM part of query call. If you are attempting to use a custom "
        "relationship, be sure to append the '__r' after the custom relationship name. Please reference your WSDL "
        "or the describe call for the appropriate names."
    )
    raise refusal(statement.query, query.source.at, "INVALID_TYPE", message)


def _field_group(scope: Scope, query: Query, function: Function) -> list[Path]:
    fail = partial(refusal, scope.statement.query, query.source.at, "MALFORMED_QUERY")
    if function.name != "FIELDS" or function.argument not in _FIELD_GROUPS:
        raise fail(f"unexpected token: '{function.argument or function.name}'")
    bounded = query.limit is not None and query.limit <= MAX_ROWS_OF_ALL_FIELDS
    if function.argument != "STANDARD" and not bounded:
        raise fail(f"The SOQL FIELDS function must have a LIMIT of at most {MAX_ROWS_OF_ALL_FIELDS}")
    return [Path((f.name,), query.source.at) for f in scope.sobject.fields if _FIELD_GROUPS[function.argument](f)]


def _json_object(shown: _Shown) -> str:
    scope = shown.scope
    url = f"'{scope.statement.data_url}' || {scope.type} || '/' || {scope.identity}"
    entity = "'Name'" if scope.polymorphic else scope.type
    members = [f"'attributes', json_object('type', {entity}, 'url', {url})"]
    for name, member in shown.members.items():
        if isinstance(member, _Shown):
            exists = f"{member.scope.identity} IS NOT NULL"
            member = f"json(CASE WHEN {exists} THEN {_json_object(member)} END)"
        members.append(f"'{name}', {member}")
    return f"json_object({', '.join(members)})"


def _json_value(column: Column) -> str:
    if column.field.type == "boolean":
        return f"json(CASE {column.sql} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)"
    return column.sql
