"""What faults do to single rows: a write that is refused, and a collection's list of results that is too short or long.

Called by everything that writes; with nothing armed it costs a look at an empty tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from writeback_pipeline.local_org import faults
from writeback_pipeline.local_org.api.http import LAST_VERSION
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.faults import Fault
from writeback_pipeline.local_org.fields import SObject
from writeback_pipeline.local_org.session import Session

_NOT_ON_DELETE = {"validation_rule", "duplicate_rule"}


def strike(session: Session, described: SObject, operation: str, record_id: str | None, row: Mapping[str, Any]) -> None:
    """ApiError when an armed fault strikes this write; `operation` is create, update or delete.

    A write touches its own record and every record that it refers to, people aside: a new Note locks its parent.
    """
    for fault in session.faults:
        if (
            fault.level != "row"
            or fault.object not in ("", described.name)
            or fault.operation not in ("", operation)
            or (operation == "delete" and fault.kind in _NOT_ON_DELETE)
            or (session.allow_duplicates and fault.kind == "duplicate_rule")
        ):
            continue
        touched = _touched(described, record_id, row)
        if fault.record_id and fault.record_id not in touched:
            continue
        if faults.strikes(session.connection, fault, touched[0] if touched else ""):
            raise _ERRORS[fault.kind](session, fault, described)


def counted(session: Session, results: list[Any]) -> list[Any]:
    """A collection's results, in as wrong a number as an armed fault wants it."""
    for fault in session.faults:
        if fault.level == "collection" and faults.strikes(session.connection, fault):
            by = fault.options["by"]
            return results + results[-1:] * by if by > 0 else results[:by]
    return results


def _touched(described: SObject, record_id: str | None, row: Mapping[str, Any]) -> list[str]:
    referred = [row.get(f.name) for f in described.fields if f.type == "reference" and "User" not in f.reference_to]
    return [touched for touched in (record_id, *referred) if touched]


def _row_lock(_: Session, fault: Fault, __: SObject) -> ApiError:
    return ApiError(400, "UNABLE_TO_LOCK_ROW", fault.options["message"], [])


def _trigger_error(_: Session, fault: Fault, __: SObject) -> ApiError:
    trigger = fault.options["trigger"]
    message = (
        f"{trigger}: execution of AfterUpdate\n\ncaused by: {fault.options['cause']}\n\n"
        f"Trigger.{trigger}: line 1, column 1"
    )
    return ApiError(400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, [])


def _validation_rule(_: Session, fault: Fault, __: SObject) -> ApiError:
    return ApiError(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", fault.options["message"], fault.options["fields"])


def _duplicate_rule(session: Session, fault: Fault, described: SObject) -> ApiError:
    """The record found is any other one: what the rule compares does not matter here."""
    message, name = fault.options["message"], described.name
    (other,) = session.connection.execute(f"SELECT max(Id) FROM {name}").fetchone()
    url = f"/services/data/v{LAST_VERSION}.0/sobjects/{name}/{other}"
    record = {"attributes": {"type": name, "url": url}, "Id": other}
    found = {"additionalInformation": [], "fieldDiffs": [], "matchConfidence": 100.0, "record": record}
    match = {
        "entityType": name, "errors": [], "matchEngine": "FuzzyMatchEngine", "matchRecords": [found],
        "rule": f"Standard_{name}_Match_Rule_v1_1", "size": 1, "success": True,
    }  # fmt: skip
    result = {
        "allowSave": True, "duplicateRule": f"Standard_{name}_Duplicate_Rule", "duplicateRuleEntityType": name,
        "errorMessage": message, "matchResults": [match],
    }  # fmt: skip
    return ApiError(400, "DUPLICATES_DETECTED", message, details={"duplicateResult": result})


def _row_error(_: Session, fault: Fault, __: SObject) -> ApiError:
    options = fault.options
    return ApiError(options["status"], options["code"], options["message"], options["fields"])


_ERRORS: dict[str, Callable[[Session, Fault, SObject], ApiError]] = {
    "row_lock": _row_lock,
    "trigger_error": _trigger_error,
    "validation_rule": _validation_rule,
    "duplicate_rule": _duplicate_rule,
    "row_error": _row_error,
}
