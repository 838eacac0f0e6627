"""The sample organisation: puts the sample people, their companies and their history into an empty organisation.

Plain rows are written at once; opt-outs, conversions, merges and deletions are done through `admin`, the way a
Salesforce user does them, so that they leave the same traces.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from writeback_pipeline.local_org import admin, records
from writeback_pipeline.local_org.sample_people import SampleAccount, SamplePeople, SamplePerson, invent
from writeback_pipeline.local_org.schema import OBJECTS

_SELLER = "sales@local.example"
_ENTERED, _OPTED_OUT, _CLEANED_UP = (
    "2026-09-01T08:00:00.000+0000",
    "2026-10-05T14:30:00.000+0000",
    "2026-11-16T09:15:00.000+0000",
)


@cache
def people() -> SamplePeople:
    """The sample people; needs no organisation."""
    return invent()


def load(connection: sqlite3.Connection) -> None:
    """Put the sample people into an organisation that has users, but nobody else yet."""
    everybody = people()
    rows = (
        *everybody.contacts,
        *everybody.leads,
        *everybody.converted_leads,
        *everybody.merged_contacts,
        *everybody.deleted,
    )
    with records.atomic(connection):
        seller = admin.session(connection, _SELLER).user_id
        _insert(connection, "Account", seller, map(_account, everybody.accounts))
        _insert(connection, "Contact", seller, (_contact(p) for p in rows if p.object_type == "Contact"))
        _insert(connection, "Lead", seller, (_lead(p) for p in rows if p.object_type == "Lead"))
        _let_history_happen(connection, everybody)


def _let_history_happen(connection: sqlite3.Connection, everybody: SamplePeople) -> None:
    registrar = admin.session(connection, now=_OPTED_OUT)
    for person in everybody.opted_out_in_salesforce:
        admin.edit(registrar, person.id, {"HasOptedOutOfEmail": True})
    cleaner = admin.session(connection, now=_CLEANED_UP)
    for lead in everybody.converted_leads:
        admin.convert_lead(cleaner, lead.id, lead.became)
    for loser in everybody.merged_contacts:
        admin.merge(cleaner, loser.became or "", [loser.id])
    for person in everybody.deleted:
        admin.delete(cleaner, person.id)


def _insert(connection: sqlite3.Connection, object_name: str, user_id: str, rows: Iterable[Mapping[str, Any]]) -> None:
    described = OBJECTS[object_name]
    same: dict[str, Any] = {f.name: 0 for f in described.fields if f.type == "boolean"}
    same |= dict.fromkeys(("CreatedDate", "LastModifiedDate", "SystemModstamp"), _ENTERED)
    same |= dict.fromkeys(("CreatedById", "LastModifiedById", "OwnerId"), user_id)
    for row in rows:
        records.insert(connection, described, {**same, **row})


def _account(account: SampleAccount) -> dict[str, Any]:
    return {"Id": account.id, "Name": account.name, "Type": "Customer - Direct"}


def _contact(person: SamplePerson) -> dict[str, Any]:
    return {**_person(person), "AccountId": person.account.id}


def _lead(person: SamplePerson) -> dict[str, Any]:
    return {**_person(person), "Company": person.account.name, "Status": "Open - Not Contacted"}


def _person(person: SamplePerson) -> dict[str, Any]:
    return {
        "Id": person.id,
        "FirstName": person.first_name,
        "LastName": person.last_name,
        "Name": person.name,
        "Email": person.email,
        "LeadSource": "Web",
    }
