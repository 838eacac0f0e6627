"""A small organisation to ask, for the tests of queries."""

import sqlite3
from pathlib import Path
from typing import Any

from writeback_pipeline.local_org import ids, records, schema
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.soql import QueryResult, run

ADMIN = ids.make("005", 1)
ACME = ids.make("001", 1)
ADA, BEA, CEM, GONE = (ids.make("003", number) for number in range(1, 5))
LEAD = ids.make("00Q", 1)
NOON = "2026-11-23T12:00:00.000+0000"


def add(connection: sqlite3.Connection, sobject: str, record_id: str, **values: Any) -> None:
    described = schema.sobject(sobject)
    flags = {f.name: 0 for f in described.fields if f.type == "boolean"}
    times = {f.name: NOON for f in described.fields if f.name in ("CreatedDate", "SystemModstamp")}
    records.insert(connection, described, {"Id": record_id, **flags, **times, **values})


def fresh() -> sqlite3.Connection:
    connection = records.connect(Path(":memory:"))
    records.create_tables(connection)
    return connection


def populated() -> sqlite3.Connection:
    """An organisation of three live Contacts, one deleted one, a Lead, and what hangs on them."""
    connection = fresh()
    add(connection, "User", ADMIN, Name="Admin", LastName="Admin")
    add(connection, "Account", ACME, Name="Äcme & Söhne", OwnerId=ADMIN, AnnualRevenue=1250000.5, NumberOfEmployees=12)
    add(connection, "Contact", ADA, Name="Ada Åberg", LastName="Åberg", Email="Ada@Example.org", AccountId=ACME,
        OwnerId=ADMIN, Birthdate="1990-02-28")  # fmt: skip
    add(connection, "Contact", BEA, Name="Bea O'Hara", LastName="O'Hara", Email="bea@example.org", OwnerId=ADMIN,
        HasOptedOutOfEmail=1, CreatedDate="2026-11-23T12:00:01.000+0000")  # fmt: skip
    add(connection, "Contact", CEM, Name="Cem", LastName="100%_\\", OwnerId=ADMIN)
    add(connection, "Contact", GONE, Name="Gone", LastName="Gone", Email="gone@example.org", IsDeleted=1)
    add(connection, "Lead", LEAD, Name="Lea", LastName="Lea", Company="Acme", OwnerId=ADMIN)
    for number, title in ((1, "second"), (2, "first")):
        add(connection, "Note", ids.make("002", number), ParentId=ADA, Title=title, Body="text")
    add(connection, "Note", ids.make("002", 3), ParentId=ADA, Title="deleted", IsDeleted=1)
    add(connection, "Task", ids.make("00T", 1), WhoId=ADA, Subject="Called", Writeback_Key__c="Key")
    add(connection, "Task", ids.make("00T", 2), WhoId=LEAD, Subject="Mailed")
    add(connection, "Task", ids.make("00T", 3), WhoId=ADA, Subject="Archived", IsArchived=1)
    return connection


def ask(
    connection: sqlite3.Connection, text: str, *, include_deleted: bool = False, hidden: str | None = None
) -> QueryResult:
    def visible(name: str) -> SObject:
        described = schema.sobject(name)
        kept = tuple(f for f in described.fields if f.name != hidden)
        return SObject(described.name, described.label, described.label_plural, described.key_prefix, kept)

    return run(connection, text, api_version="60.0", visible=visible, include_deleted=include_deleted)


def names(connection: sqlite3.Connection, where: str) -> list[str]:
    result = ask(connection, f"SELECT Name FROM Contact WHERE {where} ORDER BY Name")
    return [record["Name"].split()[0] for record in result.records]


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
