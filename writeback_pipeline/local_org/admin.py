"""What people do in the organisation's own pages: edit, convert, merge, delete, restore, empty the bin.

Every function is one transaction of its own and sees every field, whatever an API session may see. Used by sample
data, by tests and by the record page.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from writeback_pipeline.local_org import dml, ids, records, recycle_bin, settings, times
from writeback_pipeline.local_org.errors import ApiError, converted_lead, not_found
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.schema import OBJECTS, by_key_prefix, children_of
from writeback_pipeline.local_org.session import Session

ADMINISTRATOR = "admin@local.example"
"""User name of the person in whose name these functions work unless told otherwise."""

_CARRIED_OVER = (
    "FirstName", "LastName", "Salutation", "Email", "Phone", "MobilePhone", "Fax", "Title", "LeadSource", "Description",
    "EmailBouncedReason", "EmailBouncedDate",
)  # fmt: skip
_ADDRESS = ("Street", "City", "State", "PostalCode", "Country")


def session(connection: sqlite3.Connection, username: str = ADMINISTRATOR, now: str | None = None) -> Session:
    """A session of that user which sees every field; `now` is a stamp, by default this moment."""
    row = connection.execute("SELECT Id FROM User WHERE Username = ?", (username,)).fetchone()
    if row is None:
        raise not_found()
    stamp = now or times.stamp(time.time())
    return Session(connection, settings.load(connection), row["Id"], stamp, all_fields=True)


def create(who: Session, object_name: str, values: Mapping[str, Any]) -> str:
    """Make a record and return its id."""
    with records.atomic(who.connection):
        return dml.create(who, OBJECTS[object_name], values)


def edit(who: Session, record_id: str, values: Mapping[str, Any]) -> None:
    """Change a record as that person would on its page."""
    with records.atomic(who.connection):
        dml.update(who, _object_of(record_id), record_id, values)


def delete(who: Session, record_id: str) -> None:
    """Put a record and what hangs on it into the recycle bin."""
    with records.atomic(who.connection):
        recycle_bin.delete(who, _object_of(record_id), record_id)


def undelete(who: Session, record_id: str) -> None:
    """Bring a record back from the recycle bin."""
    with records.atomic(who.connection):
        recycle_bin.undelete(who, record_id)


def purge(who: Session, record_id: str | None = None) -> int:
    """Remove one deleted record, or all of them, for good; how many rows went."""
    with records.atomic(who.connection):
        return recycle_bin.purge(who.connection, record_id)


def convert_lead(who: Session, lead_id: str, contact_id: str | None = None) -> str:
    """Convert a Lead into that Contact, or into a new one with a new Account; the Contact's id.

    An existing Contact keeps what it has: only its empty fields are filled, and a checkbox is never empty.
    """
    lead_object, contact_object = OBJECTS["Lead"], OBJECTS["Contact"]
    with records.atomic(who.connection):
        lead = dml.existing(who.connection, lead_object, lead_id)
        if lead["IsConverted"]:
            raise converted_lead()
        carried = {name: lead[name] for name in _CARRIED_OVER if lead[name] is not None}
        carried |= {f"Mailing{part}": lead[part] for part in _ADDRESS if lead[part] is not None}
        if contact_id is None:
            account_id = dml.create(who, OBJECTS["Account"], {"Name": lead["Company"]})
            flag = {"HasOptedOutOfEmail": bool(lead["HasOptedOutOfEmail"])}
            contact_id = dml.create(who, contact_object, {**carried, **flag, "AccountId": account_id})
        else:
            contact = dml.existing(who.connection, contact_object, contact_id)
            contact_id, account_id = contact["Id"], contact["AccountId"]
            empty = {name: value for name, value in carried.items() if contact[name] is None}
            dml.update(who, contact_object, contact_id, empty)
        changes = {
            "IsConverted": 1, "ConvertedDate": who.now[:10], "ConvertedContactId": contact_id,
            "ConvertedAccountId": account_id, "Status": "Closed - Converted", "LastModifiedDate": who.now,
            "LastModifiedById": who.user_id, "SystemModstamp": who.now,
        }  # fmt: skip
        records.update(who.connection, lead_object, lead["Id"], changes)
        _hand_over_children(who, lead_object, lead["Id"], contact_id)
    return contact_id


def merge(who: Session, winner_id: str, loser_ids: Sequence[str], values: Mapping[str, Any] | None = None) -> None:
    """Merge up to two records into a third of the same object; `values` are what the merging person picked for it."""
    described = _object_of(winner_id)
    if not described.mergeable or not 1 <= len(loser_ids) <= 2:
        raise ApiError(400, "INVALID_OPERATION", f"cannot merge {len(loser_ids) + 1} {described.label} records", [])
    with records.atomic(who.connection):
        winner = dml.update(who, described, winner_id, values or {})
        for loser_id in loser_ids:
            loser = dml.existing(who.connection, described, loser_id)["Id"]
            if loser == winner:
                raise ApiError(400, "INVALID_OPERATION", "a record cannot be merged into itself", [])
            _hand_over_children(who, described, loser, winner)
            recycle_bin.delete(who, described, loser)
            records.update(who.connection, described, loser, {"MasterRecordId": winner})


def _hand_over_children(who: Session, parent: SObject, from_id: str, to_id: str) -> None:
    for child, f in children_of(parent.name):
        if f.cascade:
            who.connection.execute(
                f"UPDATE {child.name} SET {f.name} = ?, SystemModstamp = ? WHERE {f.name} = ? AND IsDeleted = 0",
                (to_id, who.now, from_id),
            )


def _object_of(record_id: str) -> SObject:
    normalised = ids.normalise(record_id)
    described = by_key_prefix(normalised[:3]) if normalised else None
    if described is None:
        raise not_found()
    return described
