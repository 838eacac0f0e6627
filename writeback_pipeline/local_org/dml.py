"""Create, change and upsert one record: which fields may be written, what is required, what the record becomes.

Every write of the API and of an administrator comes through here, one record at a time; how many share a request or
a fate is decided above. What holds for one object only is in `rules`; deletion is in `recycle_bin`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from writeback_pipeline.local_org import fault_rows, ids, records, rules, values
from writeback_pipeline.local_org.errors import (
    ApiError,
    converted_lead,
    entity_is_deleted,
    invalid_cross_reference,
    no_such_column,
    not_found,
)
from writeback_pipeline.local_org.fields import Field, Operation, SObject
from writeback_pipeline.local_org.schema import by_key_prefix, sobject
from writeback_pipeline.local_org.session import Session


def create(session: Session, described: SObject, given: Mapping[str, Any]) -> str:
    """Make a record of the given JSON values and return its id; ApiError when they do not make one."""
    refuse_unless_allowed(described, "create")
    row = _columns(session, described, given, creating=True)
    row |= {name: value for name, value in _defaults(described.name).items() if row.get(name) is None}
    if described.has("OwnerId") and row.get("OwnerId") is None:
        row["OwnerId"] = session.user_id
    _refuse_missing([name for name in described.required if row.get(name) is None])
    row |= rules.before_save(session, described, None, row)
    fault_rows.strike(session, described, "create", None, row)
    row |= _audit(session, described, creating=True)
    record_id = records.new_id(session.connection, described.key_prefix)
    with _unique(session.connection, described, row):
        records.insert(session.connection, described, {"Id": record_id, **row})
    rules.after_create(session, described, record_id, row)
    return record_id


def update(session: Session, described: SObject, record_id: object, given: Mapping[str, Any]) -> str:
    """Change the given fields of a record and return its 18-character id; ApiError when that is refused."""
    refuse_unless_allowed(described, "update")
    return _change(session, described, existing(session.connection, described, record_id), given)


def upsert(
    session: Session,
    described: SObject,
    key: Field,
    value: Any,
    given: Mapping[str, Any],
    *,
    update_only: bool = False,
) -> tuple[str, bool]:
    """Change the one record whose key field has that value, or create it: its id, and whether it is new.

    Several matches are an ApiError of status 300, whose fields are their ids.
    """
    refuse_unless_allowed(described, "upsert")
    matches = find(session.connection, described, key, value)
    if len(matches) == 1:
        return _change(session, described, matches[0], given), False
    if matches:
        found = [row["Id"] for row in matches]
        message = f"{key.name}: more than one record found for external id field: [{', '.join(found)}]"
        raise ApiError(300, "DUPLICATE_EXTERNAL_ID", message, found)
    if update_only or key.type == "id":
        raise not_found()
    return create(session, described, {**given, key.name: value}), True


def existing(connection: sqlite3.Connection, described: SObject, record_id: object) -> sqlite3.Row:
    """The live row of an id given in 15 or 18 characters; ApiError saying why there is none."""
    normalised = ids.normalise(record_id)
    if normalised is None or normalised[:3] != described.key_prefix:
        message = f"{described.label} ID: id value of incorrect type: {record_id}"
        raise ApiError(400, "MALFORMED_ID", message, ["Id"])
    row = records.fetch(connection, described, normalised)
    if row is None:
        raise invalid_cross_reference()
    if described.has("IsDeleted") and row["IsDeleted"]:
        raise entity_is_deleted()
    return row


def find(connection: sqlite3.Connection, described: SObject, key: Field, value: Any) -> list[sqlite3.Row]:
    """The live rows whose key field has that value; an id may be given in either form."""
    return records.find(connection, described, key, ids.normalise(value) if key.type == "id" else value)


def refuse_unless_allowed(described: SObject, operation: Operation) -> None:
    """ApiError when the object as a whole cannot be written in that way."""
    if operation not in described.allows:
        message = f"entity type {described.name} does not support {operation}"
        raise ApiError(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, [])


def _change(session: Session, described: SObject, before: sqlite3.Row, given: Mapping[str, Any]) -> str:
    if described.name == "Lead" and before["IsConverted"]:
        raise converted_lead()
    row = _columns(session, described, given, creating=False)
    _refuse_missing([name for name in row if row[name] is None and not described.field(name).nillable])
    row |= rules.before_save(session, described, before, row)
    record_id: str = before["Id"]
    fault_rows.strike(session, described, "update", record_id, row)
    row |= _audit(session, described, creating=False)
    with _unique(session.connection, described, row):
        records.update(session.connection, described, record_id, row)
    rules.after_update(session, described, record_id, row)
    return record_id


def _columns(session: Session, described: SObject, given: Mapping[str, Any], *, creating: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    refused: list[str] = []
    references: list[Field] = []
    for name, value in given.items():
        if name == "attributes":
            continue
        f = described.by_name.get(name.lower())
        if f is None:
            raise no_such_column(name, described.name)
        if not (f.createable if creating else f.updateable):
            refused.append(f.name)
            continue
        row[f.name] = values.to_stored(f, value)
        if f.type == "reference" and row[f.name] is not None:
            references.append(f)
    if refused:
        message = (
            f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, refused)
    for f in references:
        _check_reference(session.connection, f, row[f.name])
    return row


def _check_reference(connection: sqlite3.Connection, f: Field, value: str) -> None:
    target = by_key_prefix(value[:3])
    if target is None or target.name not in f.reference_to:
        message = f"{f.label}: id value of incorrect type: {value}"
        raise ApiError(400, "FIELD_INTEGRITY_EXCEPTION", message, [f.name])
    row = records.fetch(connection, target, value)
    if row is None:
        raise invalid_cross_reference()
    if target.has("IsDeleted") and row["IsDeleted"]:
        raise entity_is_deleted()
    if target.name == "Lead" and row["IsConverted"]:
        raise converted_lead()


@cache
def _defaults(name: str) -> dict[str, Any]:
    """What a record holds where a create says nothing, in fields that the session cannot see too."""
    return {
        f.name: int(bool(f.default)) if f.type == "boolean" else f.default
        for f in sobject(name).fields
        if f.type == "boolean" or f.default is not None
    }


def _audit(session: Session, described: SObject, *, creating: bool) -> dict[str, str]:
    told = {"LastModifiedDate": session.now, "LastModifiedById": session.user_id, "SystemModstamp": session.now}
    if creating:
        told |= {"CreatedDate": session.now, "CreatedById": session.user_id}
    return {name: value for name, value in told.items() if described.has(name)}


def _refuse_missing(names: list[str]) -> None:
    if names:
        message = f"Required fields are missing: [{', '.join(names)}]"
        raise ApiError(400, "REQUIRED_FIELD_MISSING", message, names)


@contextmanager
def _unique(connection: sqlite3.Connection, described: SObject, row: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        for f in described.fields:
            holders = records.find(connection, described, f, row[f.name]) if f.unique and f.name in row else []
            if holders:
                message = f"duplicate value found: {f.name} duplicates value on record with id: {holders[0]['Id'][:15]}"
                raise ApiError(400, "DUPLICATE_VALUE", message, []) from None
        raise
