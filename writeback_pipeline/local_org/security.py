"""Field-level security: the objects and fields that are left of the schema for an ordinary session.

A hidden field is not there at all, exactly as if the organisation had never had it; a read-only one stays visible.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.schema import sobject
from writeback_pipeline.local_org.settings import OrgSettings


def visible(settings: OrgSettings, name: str) -> SObject:
    """The object as an ordinary session sees it; KeyError when it is unknown or hidden."""
    described = sobject(name)
    if described.name in settings.hidden:
        raise KeyError(described.name)
    return _trimmed(described, settings.hidden, settings.read_only)


@lru_cache(maxsize=256)
def _trimmed(described: SObject, hidden: frozenset[str], read_only: frozenset[str]) -> SObject:
    fields = tuple(
        replace(f, createable=False, updateable=False) if f"{described.name}.{f.name}" in read_only else f
        for f in described.fields
        if f"{described.name}.{f.name}" not in hidden
    )
    return described if fields == described.fields else replace(described, fields=fields)
