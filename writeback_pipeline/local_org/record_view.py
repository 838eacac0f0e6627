"""A Contact or Lead as a Salesforce user sees it: the record, its Notes and Attachments, its Activity History.

Read from the organisation's file, field-level security aside. How it is printed is up to the record page and to the
command line.
"""

from __future__ import annotations

import base64
import html
import re
import sqlite3
from dataclasses import dataclass

from writeback_pipeline.local_org import times
from writeback_pipeline.local_org.fields import Field
from writeback_pipeline.local_org.records import fetch
from writeback_pipeline.local_org.schema import OBJECTS, by_key_prefix

PEOPLE = ("Contact", "Lead")
"""The objects whose records have such a page."""

_PREFIXES = {OBJECTS[name].key_prefix for name in PEOPLE}

_AUDIT = ("CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "SystemModstamp")
_NOT_DETAILS = {
    "Id",
    "IsDeleted",
    "MasterRecordId",
    "Salutation",
    "FirstName",
    "LastName",
    "HasOptedOutOfEmail",
    *_AUDIT,
}
_MADE_BY = "(SELECT Name FROM User WHERE User.Id = n.CreatedById) AS CreatedBy"
_NOTES = f"SELECT Id, Title, Body, CreatedDate, {_MADE_BY} FROM Note n WHERE ParentId = ? AND IsDeleted = 0"
_CONTENT_NOTES = (
    f"SELECT n.Id, n.Title, n.Content, n.CreatedDate, {_MADE_BY} FROM ContentDocumentLink l JOIN ContentNote n "
    "ON n.Id = l.ContentDocumentId WHERE l.LinkedEntityId = ? AND l.IsDeleted = 0 AND n.IsDeleted = 0"
)
_ACTIVITIES = (
    "SELECT Id, Subject, ActivityDate, Status, Description FROM Task "
    "WHERE WhoId = ? AND IsDeleted = 0 AND IsClosed = 1 ORDER BY ActivityDate DESC, Id DESC"
)

_PERSON_OF = (
    "SELECT Id FROM Contact WHERE Id = ?1 UNION ALL SELECT Id FROM Lead WHERE Id = ?1 "
    "UNION ALL SELECT ParentId FROM Note WHERE Id = ?1 UNION ALL SELECT WhoId FROM Task WHERE Id = ?1 "
    "UNION ALL SELECT LinkedEntityId FROM ContentDocumentLink WHERE ContentDocumentId = ?1 AND IsDeleted = 0"
)


@dataclass(frozen=True, slots=True)
class ShownNote:
    """An entry of Notes and Attachments."""

    id: str
    title: str
    body: str
    created_at: str
    created_by: str | None


@dataclass(frozen=True, slots=True)
class ShownActivity:
    """An entry of the Activity History; `date` is a calendar day."""

    id: str
    subject: str
    date: str | None
    status: str
    description: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """When the record was made or last changed, and who did it."""

    at: str
    by: str | None


@dataclass(frozen=True, slots=True)
class RecordView:
    """`state` is active, converted, merged or deleted; `became` the record that a conversion or merge led to."""

    id: str
    object_type: str
    name: str
    company: str | None
    email: str | None
    email_opt_out: bool
    state: str
    became: str | None
    created: Change
    last_modified: Change
    notes: tuple[ShownNote, ...]
    activity_history: tuple[ShownActivity, ...]


def view(connection: sqlite3.Connection, object_type: str, salesforce_id: str) -> RecordView | None:
    """What the page of a Contact or Lead shows, by 18-character id, newest entries first; None without such a row."""
    row = fetch(connection, OBJECTS[object_type], salesforce_id)
    if row is None:
        return None
    state, became = _state(row)
    notes = [_note(n, n["Body"] or "") for n in _select(connection, _NOTES, row)]
    notes += [_note(n, _content_text(n["Content"])) for n in _select(connection, _CONTENT_NOTES, row)]
    return RecordView(
        id=row["Id"],
        object_type=object_type,
        name=row["Name"],
        company=row["Company"] if object_type == "Lead" else _named(connection, row["AccountId"]),
        email=row["Email"],
        email_opt_out=bool(row["HasOptedOutOfEmail"]),
        state=state,
        became=became,
        created=_change(connection, row, "Created"),
        last_modified=_change(connection, row, "LastModified"),
        notes=tuple(sorted(notes, key=lambda note: (note.created_at, note.id), reverse=True)),
        activity_history=tuple(ShownActivity(*task) for task in _select(connection, _ACTIVITIES, row)),
    )


def details(connection: sqlite3.Connection, object_type: str, salesforce_id: str) -> dict[str, str]:
    """The other fields that are filled in, by label, as text; references by the name of what they refer to."""
    described = OBJECTS[object_type]
    row = fetch(connection, described, salesforce_id)
    shown = [f for f in described.fields if f.name not in _NOT_DETAILS]
    return {_label(f): _text(connection, f, row[f.name]) for f in shown if row and row[f.name] not in (None, 0)}


def person_of(connection: sqlite3.Connection, record_id: str) -> str | None:
    """The Contact or Lead on whose page a record is shown: itself, or whom a Note or Task hangs on."""
    found = connection.execute(_PERSON_OF, (record_id,)).fetchall()
    return next((person for (person,) in found if person and person[:3] in _PREFIXES), None)


def _state(row: sqlite3.Row) -> tuple[str, str | None]:
    if "IsConverted" in row.keys() and row["IsConverted"]:  # noqa: SIM118 - a Row yields its values, not its names
        return "converted", row["ConvertedContactId"]
    if row["IsDeleted"]:
        return ("merged", row["MasterRecordId"]) if row["MasterRecordId"] else ("deleted", None)
    return "active", None


def _select(connection: sqlite3.Connection, sql: str, row: sqlite3.Row) -> list[sqlite3.Row]:
    return connection.execute(sql, (row["Id"],)).fetchall()


def _note(row: sqlite3.Row, body: str) -> ShownNote:
    return ShownNote(row["Id"], row["Title"], body, times.iso(row["CreatedDate"]), row["CreatedBy"])


def _change(connection: sqlite3.Connection, row: sqlite3.Row, what: str) -> Change:
    return Change(times.iso(row[f"{what}Date"]), _named(connection, row[f"{what}ById"]))


def _named(connection: sqlite3.Connection, record_id: str | None) -> str | None:
    described = by_key_prefix(record_id[:3]) if record_id else None
    row = fetch(connection, described, record_id) if described and record_id else None
    return row["Name"] if row else None


def _label(f: Field) -> str:
    return f.label.removesuffix(" ID") if f.type == "reference" else f.label


def _text(connection: sqlite3.Connection, f: Field, stored: object) -> str:
    if f.type == "boolean":
        return "Yes"
    if f.type == "reference":
        return _named(connection, str(stored)) or str(stored)
    return times.iso(str(stored)) if f.type == "datetime" else str(stored)


def _content_text(content: str | None) -> str:
    """A ContentNote is HTML: its paragraphs as lines."""
    markup = base64.b64decode(content or "").decode(errors="replace")
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?i)<br\s*/?>|</p>", "\n", markup))).strip()
