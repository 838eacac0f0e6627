"""What a deployed and assigned `salesforce_package` brings to the organisation, and taking it away again.

A new organisation of Salesforce's has none of it: custom metadata is missing, Email Opt Out is hidden from everybody.
"""

from __future__ import annotations

import sqlite3

from writeback_pipeline.local_org import settings

CONTENTS = frozenset({"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail", "Task.Writeback_Key__c", "Writeback__c"})
"""The objects and fields that a session sees thanks to it."""


def install(connection: sqlite3.Connection) -> None:
    """Deploy it and assign its permission set; records that were made before it was taken away are there again."""
    settings.change(connection, hidden=settings.load(connection).hidden - CONTENTS)


def uninstall(connection: sqlite3.Connection) -> None:
    """Leave the organisation as a new one without the package is."""
    settings.change(connection, hidden=settings.load(connection).hidden | CONTENTS)
