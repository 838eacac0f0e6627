"""Rows that are written together, up to 200 of them: what one may find refused because of the others.

Shared by collections and Bulk jobs. What holds for a row by itself is in `dml`; how a request names its rows, and what
a refusal does to the neighbours, is decided by the caller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from writeback_pipeline.local_org import dml, recycle_bin
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.fields import Field, SObject
from writeback_pipeline.local_org.session import Session

MOST_ROWS = 200
_MOST_UPDATES_OF_ONE_RECORD = 12

Write = Callable[[SObject, Mapping[str, Any]], tuple[str, bool]]
"""Writes one row of the set, given as field values by name in any case: the record's id, and whether it is new."""


def creator(session: Session) -> Write:
    """Makes records."""
    return lambda described, given: (dml.create(session, described, given), True)


def updater(session: Session) -> Write:
    """Changes the records that the rows name by their Id."""
    seen: Counter[str] = Counter()

    def update(described: SObject, given: Mapping[str, Any]) -> tuple[str, bool]:
        record_id, values = _without(given, "Id")
        if not record_id:
            raise ApiError(400, "MISSING_ARGUMENT", "Id not specified in an update call", [])
        short = str(record_id)[:15]
        seen[short] += 1
        if seen[short] > _MOST_UPDATES_OF_ONE_RECORD:
            message = (
                f"Maximum number of duplicate updates in one batch ({_MOST_UPDATES_OF_ONE_RECORD} allowed). Attempt to "
                f"update Id more than once in this Api call: {short}"
            )
            raise ApiError(400, "DUPLICATE_VALUE", message, [])
        return dml.update(session, described, record_id, values), False

    return update


def upserter(session: Session, key: Field, rows: Iterable[Any]) -> Write:
    """Changes or makes the records that the rows name by `key`; `rows` are all of the set, whatever they may be."""
    values = (_without(row, key.name)[0] for row in rows if isinstance(row, Mapping))
    times = Counter(_fold(key, value) for value in values if value)

    def upsert(described: SObject, given: Mapping[str, Any]) -> tuple[str, bool]:
        value, values = _without(given, key.name)
        if not value and key.type == "id":
            return dml.create(session, described, values), True
        if not value:
            raise ApiError(400, "MISSING_ARGUMENT", f"{key.name} not specified", [])
        if times[_fold(key, value)] > 1:
            raise ApiError(400, "DUPLICATE_VALUE", f"Duplicate external id specified: {value}", [key.name])
        try:
            return dml.upsert(session, described, key, value, values)
        except ApiError as error:
            if error.status == 300:  # here the ids are no fields to blame
                error.fields = []
            raise

    return upsert


def deleter(session: Session) -> Write:
    """Puts the records that the rows name by their Id into the recycle bin."""

    def delete(described: SObject, given: Mapping[str, Any]) -> tuple[str, bool]:
        return recycle_bin.delete(session, described, _without(given, "Id")[0]), False

    return delete


def _without(row: Mapping[str, Any], name: str) -> tuple[Any, dict[str, Any]]:
    """The value of that field, None if the row has none, and the others."""
    value = next((value for given, value in row.items() if given.lower() == name.lower()), None)
    return value, {given: value for given, value in row.items() if given.lower() != name.lower()}


def _fold(key: Field, value: Any) -> str:
    return str(value) if key.case_sensitive or key.type == "id" else str(value).lower()
