"""One person of the embedded organisation as a Salesforce user sees them: the record, its Notes, its Activity History.

Only the organisation's file is read: what stands here is what Salesforce holds, whatever the ledger says.
"""

import base64
import html
import re
import sqlite3
from dataclasses import dataclass

from writeback_pipeline.commands.tables import plain
from writeback_pipeline.local_org import times
from writeback_pipeline.local_org.records import fetch
from writeback_pipeline.local_org.schema import OBJECTS

_NOTES = "SELECT Id, Title, Body, CreatedDate FROM Note WHERE ParentId = ? AND IsDeleted = 0"
_CONTENT_NOTES = (
    "SELECT n.Id, n.Title, n.Content, n.CreatedDate FROM ContentDocumentLink l JOIN ContentNote n "
    "ON n.Id = l.ContentDocumentId WHERE l.LinkedEntityId = ? AND l.IsDeleted = 0 AND n.IsDeleted = 0"
)
_ACTIVITIES = (
    "SELECT Id, Subject, ActivityDate, Status, Description FROM Task "
    "WHERE WhoId = ? AND IsDeleted = 0 AND IsClosed = 1 ORDER BY ActivityDate DESC, Id DESC"
)


@dataclass(frozen=True, slots=True)
class PageNote:
    """An entry of Notes and Attachments."""

    id: str
    title: str
    body: str
    created_at: str


@dataclass(frozen=True, slots=True)
class PageActivity:
    """An entry of the Activity History; `date` is a calendar day."""

    id: str
    subject: str
    date: str | None
    status: str
    description: str | None


@dataclass(frozen=True, slots=True)
class PersonPage:
    """`state` is active, converted, merged or deleted; `became` the record that a conversion or merge led to."""

    id: str
    object_type: str
    name: str
    company: str | None
    email: str | None
    email_opt_out: bool
    state: str
    became: str | None
    notes: tuple[PageNote, ...]
    activity_history: tuple[PageActivity, ...]


def read_page(connection: sqlite3.Connection, object_type: str, salesforce_id: str) -> PersonPage | None:
    """The page of a Contact or Lead by its 18-character id, newest entries first; None when there is no such row."""
    row = fetch(connection, OBJECTS[object_type], salesforce_id)
    if row is None:
        return None
    state, became = _state(row)
    notes = [PageNote(n["Id"], n["Title"], n["Body"] or "", _moment(n)) for n in _select(connection, _NOTES, row)]
    notes += [
        PageNote(n["Id"], n["Title"], _content_text(n["Content"]), _moment(n))
        for n in _select(connection, _CONTENT_NOTES, row)
    ]
    return PersonPage(
        id=row["Id"],
        object_type=object_type,
        name=row["Name"],
        company=row["Company"] if object_type == "Lead" else _account_name(connection, row["AccountId"]),
        email=row["Email"],
        email_opt_out=bool(row["HasOptedOutOfEmail"]),
        state=state,
        became=became,
        notes=tuple(sorted(notes, key=lambda note: (note.created_at, note.id), reverse=True)),
        activity_history=tuple(PageActivity(*task) for task in _select(connection, _ACTIVITIES, row)),
    )


def page_text(page: PersonPage) -> str:
    """The page for a terminal."""
    how = {"converted": "converted to", "merged": "merged into"}.get(page.state)
    facts = {
        "Company" if page.object_type == "Lead" else "Account": page.company or "",
        "Email": page.email or "",
        "Email Opt Out": "yes" if page.email_opt_out else "no",
        "State": f"{how} {page.became}" if how else page.state.replace("deleted", "in the recycle bin"),
    }
    lines = [f"{page.object_type} {page.id}  {plain(page.name)}"]
    lines += [f"  {label:<15}{plain(value)}" for label, value in facts.items()]
    lines += ["", f"Notes ({len(page.notes)})"]
    for note in page.notes:
        lines += [f"  {note.created_at}  {plain(note.title)}", *_indented(note.body)]
    lines += ["", f"Activity History ({len(page.activity_history)})"]
    for activity in page.activity_history:
        lines += [
            f"  {activity.date or '':<10}  {plain(activity.subject)}  ({activity.status})",
            *_indented(activity.description or ""),
        ]
    return "\n".join(line.rstrip() for line in lines)


def _state(row: sqlite3.Row) -> tuple[str, str | None]:
    if "IsConverted" in row.keys() and row["IsConverted"]:  # noqa: SIM118 - a Row yields its values, not its names
        return "converted", row["ConvertedContactId"]
    if row["IsDeleted"]:
        return ("merged", row["MasterRecordId"]) if row["MasterRecordId"] else ("deleted", None)
    return "active", None


def _select(connection: sqlite3.Connection, sql: str, row: sqlite3.Row) -> list[sqlite3.Row]:
    return connection.execute(sql, (row["Id"],)).fetchall()


def _account_name(connection: sqlite3.Connection, account_id: str | None) -> str | None:
    account = fetch(connection, OBJECTS["Account"], account_id) if account_id else None
    return account["Name"] if account else None


def _moment(row: sqlite3.Row) -> str:
    return times.iso(row["CreatedDate"])


def _content_text(content: str | None) -> str:
    """A ContentNote is HTML: its paragraphs as lines."""
    markup = base64.b64decode(content or "").decode(errors="replace")
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"(?i)<br\s*/?>|</p>", "\n", markup))).strip()


def _indented(text: str) -> list[str]:
    return [f"      {plain(line)}" for line in text.splitlines()]
