"""Who changed in Salesforce, and who is opted out there: the queries, and what their records mean.

Pure. Sending the queries is done by `reads` and `bulk_query`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from simple_salesforce.format import format_soql

from writeback_pipeline.domain.people import ObjectType, person_ref
from writeback_pipeline.domain.records import Gone, Moved
from writeback_pipeline.domain.sync import SeenPerson
from writeback_pipeline.salesforce import lookup

_MORE_FIELDS = ("SystemModstamp", "LastModifiedById")


def changed_soql(kind: ObjectType, since: datetime) -> str:
    """Everybody of that object who changed at `since` or later, with where they went."""
    return format_soql(
        "SELECT {fields:literal}, IsDeleted, MasterRecordId FROM {kind:literal} WHERE SystemModstamp >= {since} "
        "ORDER BY SystemModstamp, Id",
        fields=", ".join((*lookup.FIELDS[kind], *_MORE_FIELDS)),
        kind=kind,
        since=since.astimezone(UTC).replace(microsecond=0),
    )


def opted_out_soql(kind: ObjectType) -> str:
    """Everybody of that object who is opted out and can be written to."""
    converted = " AND IsConverted = false" if kind is ObjectType.LEAD else ""
    fields = ", ".join(("Id", "HasOptedOutOfEmail", *_MORE_FIELDS))
    return f"SELECT {fields} FROM {kind} WHERE HasOptedOutOfEmail = true{converted}"


def seen_person(kind: ObjectType, record: Mapping[str, Any]) -> SeenPerson:
    """What a record of the first query says."""
    held = lookup.held(kind, record)
    return SeenPerson(
        person_ref(kind, record["Id"]),
        opted_out=record["HasOptedOutOfEmail"] is True,
        changed_at=_instant(record["SystemModstamp"]),
        changed_by=record["LastModifiedById"],
        moved_to=held.to if isinstance(held, Moved) else None,
        gone=isinstance(held, Gone),
    )


def opted_out_person(kind: ObjectType, cells: Mapping[str, str]) -> SeenPerson:
    """What a line of the second query's result says, which is text."""
    return SeenPerson(
        person_ref(kind, cells["Id"]),
        opted_out=cells["HasOptedOutOfEmail"] == "true",
        changed_at=_instant(cells["SystemModstamp"]),
        changed_by=cells["LastModifiedById"],
    )


def _instant(text: str) -> datetime:
    return datetime.strptime(text.replace("Z", "+0000"), "%Y-%m-%dT%H:%M:%S.%f%z")
