"""Who is at work in the organisation, when, and what they may see: what every read and write needs to know."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from writeback_pipeline.local_org import security
from writeback_pipeline.local_org.faults import Fault
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.schema import sobject
from writeback_pipeline.local_org.settings import OrgSettings


@dataclass(frozen=True, slots=True)
class Session:
    """`now` is a stamp; `assignment_rules` says whether Lead writes run them; `all_fields` ignores security.

    `faults` may strike what is written; `allow_duplicates` saves in spite of duplicate rules.
    """

    connection: sqlite3.Connection
    settings: OrgSettings
    user_id: str
    now: str
    assignment_rules: bool = False
    all_fields: bool = False
    faults: tuple[Fault, ...] = ()
    allow_duplicates: bool = False

    def visible(self, name: str) -> SObject:
        """The object of that name, in any case, with the fields that this session may see; KeyError if none."""
        return sobject(name) if self.all_fields else security.visible(self.settings, name)
