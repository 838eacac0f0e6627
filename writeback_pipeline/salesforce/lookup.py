"""How people and Notes are looked up, and what the records that come back mean.

Pure: builds requests and reads records. Sending them is the work of `reads`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from simple_salesforce.format import format_soql

from writeback_pipeline.domain.people import ObjectType, PersonRef, person_ref
from writeback_pipeline.domain.records import FoundNote, Gone, Held, Live, Moved
from writeback_pipeline.domain.settings import NoteObject
from writeback_pipeline.salesforce.calls import Request, soql_request
from writeback_pipeline.salesforce.reads import MAX_QUERY_BYTES, in_chunks

MAX_IDS = 2000
"""Ids that one read by id may ask for."""

FIELDS = {
    ObjectType.CONTACT: ("Id", "HasOptedOutOfEmail", "AccountId"),
    ObjectType.LEAD: ("Id", "HasOptedOutOfEmail", "IsConverted", "ConvertedContactId"),
}

_PREDECESSORS = {
    ObjectType.CONTACT: ((ObjectType.LEAD, "ConvertedContactId"), (ObjectType.CONTACT, "MasterRecordId")),
    ObjectType.LEAD: ((ObjectType.LEAD, "MasterRecordId"),),
}

_NOTE_PREFIXES = {"002": "Note", "069": "ContentDocument"}

_NOTE_QUERIES = {
    NoteObject.NOTE: "SELECT Id, ParentId, Title, Body FROM Note WHERE ParentId IN {parents} AND Title IN {titles}",
    NoteObject.CONTENT_NOTE: (
        "SELECT Id, LinkedEntityId, ContentDocumentId, ContentDocument.Title FROM ContentDocumentLink "
        "WHERE LinkedEntityId IN {parents} AND ContentDocument.Title IN {titles}"
    ),
}


def people_reads(people: Iterable[PersonRef]) -> list[Request]:
    """Reads by id, one object each; ids that are deleted or unknown come back as null."""
    return [
        Request("POST", f"composite/sobjects/{kind}", {"ids": chunk, "fields": list(FIELDS[kind])})
        for kind, ids in _by_object(people)
        for chunk in in_chunks(ids, lambda _: 1, MAX_IDS)
    ]


def missing_people_queries(people: Iterable[PersonRef]) -> list[Request]:
    """Queries that also find what lies in the recycle bin, merged records with the record they were merged into."""
    return [
        soql_request(
            format_soql(
                "SELECT {fields:literal}, IsDeleted, MasterRecordId FROM {kind:literal} WHERE Id IN {ids}",
                fields=", ".join(FIELDS[kind]),
                kind=kind,
                ids=chunk,
            )
        )
        for kind, ids in _by_object(people)
        for chunk in in_chunks(ids, encoded_size, MAX_QUERY_BYTES)
    ]


def held(kind: ObjectType, record: Mapping[str, Any]) -> Held:
    """What one record of a read or a query says of the person."""
    if record.get("IsConverted"):
        contact = record.get("ConvertedContactId")
        return Moved(person_ref(ObjectType.CONTACT, contact)) if contact else Gone("NOT_FOUND")
    if record.get("IsDeleted"):
        master = record.get("MasterRecordId")
        return Moved(person_ref(kind, master)) if master else Gone("ENTITY_IS_DELETED")
    return Live(opted_out=record["HasOptedOutOfEmail"] is True, account_id=record.get("AccountId"))


def note_queries(keys: Sequence[tuple[str, str]], objects: Collection[NoteObject]) -> list[Request]:
    """Queries for the notes with these (parent's id, title); they may also find notes that mix two keys."""
    return [
        soql_request(
            format_soql(
                _NOTE_QUERIES[each],
                parents=sorted({parent for parent, _ in chunk}),
                titles=sorted({title for _, title in chunk}),
            )
        )
        for each in objects
        for chunk in in_chunks(keys, lambda key: encoded_size(key[0]) + encoded_size(key[1]), MAX_QUERY_BYTES)
    ]


def preview_queries(ids: Collection[str]) -> list[Request]:
    """Queries for how the texts of these ContentNotes begin."""
    return [
        soql_request(format_soql("SELECT Id, TextPreview FROM ContentNote WHERE Id IN {ids}", ids=chunk))
        for chunk in in_chunks(sorted(ids), encoded_size, MAX_QUERY_BYTES)
    ]


def preview(record: Mapping[str, Any]) -> tuple[str, str | None]:
    """A ContentNote's id, and how its text begins; None where Salesforce shows nothing of it."""
    return record["Id"], record["TextPreview"]


def note_reads(ids: Collection[str]) -> list[Request]:
    """Reads by id of Notes and ContentNotes; what was deleted comes back as null."""
    by_object = {sobject: [id_ for id_ in ids if id_.startswith(prefix)] for prefix, sobject in _NOTE_PREFIXES.items()}
    return [
        Request("POST", f"composite/sobjects/{sobject}", {"ids": chunk, "fields": ["Id"]})
        for sobject, theirs in by_object.items()
        for chunk in in_chunks(theirs, lambda _: 1, MAX_IDS)
    ]


def found_note(record: Mapping[str, Any]) -> tuple[str, FoundNote]:
    """What one record of such a query says: the id of the parent, and the Note or ContentNote."""
    if "LinkedEntityId" in record:
        document = record["ContentDocument"] or {}
        return record["LinkedEntityId"], FoundNote(record["ContentDocumentId"], document.get("Title", ""))
    return record["ParentId"], FoundNote(record["Id"], record["Title"], record["Body"] or "")


def predecessor_queries(people: Iterable[PersonRef]) -> list[Request]:
    """Queries for the records that became these people: Leads converted to them, records merged into them."""
    return [
        soql_request(
            format_soql(
                "SELECT Id, {link:literal} FROM {sobject:literal} WHERE {link:literal} IN {ids}",
                link=link,
                sobject=sobject,
                ids=chunk,
            )
        )
        for kind, ids in _by_object(people)
        for sobject, link in _PREDECESSORS[kind]
        for chunk in in_chunks(ids, encoded_size, MAX_QUERY_BYTES)
    ]


def predecessor(record: Mapping[str, Any]) -> tuple[str, str]:
    """What one record of such a query says: its id, and the id of the record that it became."""
    return record["Id"], record.get("ConvertedContactId") or record["MasterRecordId"]


def task_queries(people: Iterable[str], first: date, last: date) -> list[Request]:
    """Queries for the Tasks of those people from the first day to the last; a Task's text can be read, not searched."""
    return [
        soql_request(
            format_soql(
                "SELECT Id, Description FROM Task WHERE WhoId IN {people} AND ActivityDate >= {first} "
                "AND ActivityDate <= {last} AND IsDeleted = false ORDER BY Id",
                people=chunk,
                first=first,
                last=last,
            )
        )
        for chunk in in_chunks(sorted(set(people)), encoded_size, MAX_QUERY_BYTES)
    ]


def last_line(task: Mapping[str, Any]) -> str:
    """The last line of a Task's text; empty where there is none."""
    lines = (task["Description"] or "").splitlines()
    return lines[-1].strip() if lines else ""


def _by_object(people: Iterable[PersonRef]) -> Iterator[tuple[ObjectType, list[str]]]:
    people = list(people)
    for kind in ObjectType:
        ids = [person.salesforce_id for person in people if person.object_type is kind]
        if ids:
            yield kind, ids


def encoded_size(literal: str) -> int:
    """The bytes that one more literal of a list takes in the URL of a query."""
    return len(quote(format_soql("{},", literal), safe=""))
