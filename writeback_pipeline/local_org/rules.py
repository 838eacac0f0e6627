"""What Salesforce does by itself when a record of one particular object is saved: derived fields, companions, bans.

One small function per object, found through a table. Rules that hold for every object are in `dml`.
"""

from __future__ import annotations

import base64
import html
import re
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from writeback_pipeline.local_org import records
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.schema import OBJECTS
from writeback_pipeline.local_org.session import Session

_CONTENT_VERSION_PREFIX = "068"
_TAG = re.compile(r"<[^>]*>")

Row = Mapping[str, Any]
Value = Callable[[str], Any]
"""The value that a field is about to have, changed or not."""


def before_save(session: Session, described: SObject, before: sqlite3.Row | None, row: Row) -> dict[str, Any]:
    """The derived columns to store along with the changed ones; ApiError when the object forbids the change."""
    rule = _BEFORE_SAVE.get(described.name)
    if rule is None:
        return {}

    def value(name: str) -> Any:
        return row[name] if name in row else before[name] if before else None

    return rule(session, value, before)


def after_create(session: Session, described: SObject, record_id: str, row: Row) -> None:
    """Make the records that come with a new one: a note's document, and its owner's share in it."""
    if described.name != "ContentNote":
        return
    document = OBJECTS["ContentDocument"]
    shared = {f.name: row[f.name] for f in document.fields if f.name in row}
    records.insert(session.connection, document, {"Id": record_id, **shared})
    link = OBJECTS["ContentDocumentLink"]
    share = {
        "Id": records.new_id(session.connection, link.key_prefix),
        "LinkedEntityId": row["OwnerId"],
        "ContentDocumentId": record_id,
        "IsDeleted": 0,
        "SystemModstamp": session.now,
        "ShareType": "I",
        "Visibility": "AllUsers",
    }
    records.insert(session.connection, link, share)


def after_update(session: Session, described: SObject, record_id: str, row: Row) -> None:
    """Carry a change over to the record that shares its id: a note and its document are one thing."""
    twin = TWINS.get(described.name)
    if twin is not None:
        shared = {name: value for name, value in row.items() if OBJECTS[twin].has(name)}
        records.update(session.connection, OBJECTS[twin], record_id, shared)


def _person(_: Session, value: Value, __: sqlite3.Row | None) -> dict[str, Any]:
    return {"Name": " ".join(filter(None, (value("FirstName"), value("LastName"))))}


def _contact(session: Session, value: Value, before: sqlite3.Row | None) -> dict[str, Any]:
    bounced = value("EmailBouncedReason") is not None or value("EmailBouncedDate") is not None
    return {**_person(session, value, before), "IsEmailBounced": int(bounced)}


def _lead(session: Session, value: Value, before: sqlite3.Row | None) -> dict[str, Any]:
    derived = _person(session, value, before)
    if session.assignment_rules and session.settings.lead_assignment_owner:
        derived["OwnerId"] = session.settings.lead_assignment_owner
    return derived


def _task(session: Session, value: Value, before: sqlite3.Row | None) -> dict[str, Any]:
    who, what = value("WhoId"), value("WhatId")
    if who and what and who.startswith(OBJECTS["Lead"].key_prefix):
        message = "Related To ID must be blank when Name ID is a lead"
        raise ApiError(400, "FIELD_INTEGRITY_EXCEPTION", message, ["WhatId", "WhoId"])
    closed = value("Status") == "Completed"
    closed_before = before is not None and bool(before["IsClosed"])
    derived: dict[str, Any] = {
        "IsClosed": int(closed),
        "IsHighPriority": int(value("Priority") == "High"),
        "TaskSubtype": value("TaskSubtype") or "Task",
        "AccountId": what or _account_of(session.connection, who),
    }
    if closed != closed_before:
        derived["CompletedDateTime"] = session.now if closed else None
    return derived


def _account_of(connection: sqlite3.Connection, who: str | None) -> str | None:
    contact = records.fetch(connection, OBJECTS["Contact"], who) if who else None
    return contact["AccountId"] if contact else None


def _content_note(session: Session, value: Value, _: sqlite3.Row | None) -> dict[str, Any]:
    content = base64.b64decode(value("Content") or "")
    text = html.unescape(_TAG.sub(" ", content.decode(errors="replace")))
    return {
        "FileType": "SNOTE",
        "TextPreview": " ".join(text.split())[:255] or None,
        "ContentSize": len(content),
        "LatestPublishedVersionId": records.new_id(session.connection, _CONTENT_VERSION_PREFIX),
    }


def _content_document_link(session: Session, value: Value, before: sqlite3.Row | None) -> dict[str, Any]:
    doubled = session.connection.execute(
        "SELECT 1 FROM ContentDocumentLink WHERE LinkedEntityId = ? AND ContentDocumentId = ? AND IsDeleted = 0",
        (value("LinkedEntityId"), value("ContentDocumentId")),
    ).fetchone()
    if before is None and doubled:
        message = "duplicate value found: <unknown> duplicates value on record with id: <unknown>"
        raise ApiError(400, "DUPLICATE_VALUE", message, [])
    return {}


def _writeback(session: Session, _: Value, before: sqlite3.Row | None) -> dict[str, Any]:
    return {} if before else {"Name": f"W-{records.count(session.connection, 'Writeback__c'):07}"}


TWINS = {"ContentNote": "ContentDocument", "ContentDocument": "ContentNote"}
"""Objects whose records come in pairs with one id."""

_BEFORE_SAVE: dict[str, Callable[[Session, Value, sqlite3.Row | None], dict[str, Any]]] = {
    "Contact": _contact,
    "Lead": _lead,
    "Task": _task,
    "ContentNote": _content_note,
    "ContentDocumentLink": _content_document_link,
    "Writeback__c": _writeback,
}
