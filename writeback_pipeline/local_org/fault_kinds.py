"""The faults there are: what each one does, where it acts, which options choose its victims and which describe it.

Facts only. Arming and counting is in `faults`; what a fault does is in `fault_calls`, `fault_rows` and `bulk_worker`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["call", "row", "collection", "job"]
"""Where a fault acts: on one HTTP call, on one written row, on a collection's list of results, on one Bulk job."""

MATCHERS: dict[Level, frozenset[str]] = {
    "call": frozenset({"path", "method"}),
    "row": frozenset({"object", "operation", "record_id", "times_per_record"}),
    "collection": frozenset(),
    "job": frozenset({"object", "operation"}),
}
OPERATIONS: dict[Level, tuple[str, ...]] = {
    "row": ("create", "update", "delete"),
    "job": ("insert", "update", "upsert", "delete"),
}
"""What the matcher `operation` may name; the row of an upsert is a create or an update."""


@dataclass(frozen=True, slots=True)
class Kind:
    """`options` are the fault's own, with their defaults."""

    level: Level
    does: str
    options: Mapping[str, Any] = field(default_factory=dict)


_LOCKED = "unable to obtain exclusive access to this record"
_TRIGGER_CAUSE = (
    f"System.DmlException: Update failed. First exception on row 0; first error: UNABLE_TO_LOCK_ROW, {_LOCKED}: []"
)

KINDS: dict[str, Kind] = {
    "daily_quota": Kind("call", "403 REQUEST_LIMIT_EXCEEDED, TotalRequests"),
    "concurrent_limit": Kind("call", "403 REQUEST_LIMIT_EXCEEDED, ConcurrentRequests"),
    "expired_session": Kind("call", "401 INVALID_SESSION_ID; the token that was shown is worthless from then on"),
    "session_not_valid": Kind("call", "401 INVALID_SESSION_ID that no new session cures"),
    "unavailable": Kind("call", "503, as a page or as JSON", {"html": True}),
    "server_error": Kind("call", "500 UNKNOWN_EXCEPTION, with or without the writes done", {"applied": False}),
    "refusal": Kind(
        "call", "any refusal", {"status": 400, "code": "UNKNOWN_CODE", "message": "This was refused on demand."}
    ),
    "redirect": Kind("call", "sends the client elsewhere", {"status": 302, "location": "https://elsewhere.example/"}),
    "slow": Kind("call", "does the work, then holds the answer", {"seconds": 1.0}),
    "late_commit": Kind("call", "waits, then does the work, whether or not anybody still listens", {"seconds": 1.0}),
    "truncated": Kind("call", "does the work; the connection ends in the middle of the body"),
    "drop_before": Kind("call", "the connection ends, nothing is done"),
    "drop_after": Kind("call", "the connection ends after the work is done"),
    "no_limit_header": Kind("call", "Sforce-Limit-Info is missing"),
    "stale_limit_header": Kind("call", "Sforce-Limit-Info lags behind", {"calls": 10}),
    "row_lock": Kind("row", "UNABLE_TO_LOCK_ROW", {"message": _LOCKED}),
    "trigger_error": Kind(
        "row",
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY around any cause, by default a lock",
        {"trigger": "ContactTrigger", "cause": _TRIGGER_CAUSE},
    ),
    "validation_rule": Kind(
        "row",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION, never on a delete",
        {"message": "The record breaks a validation rule.", "fields": []},
    ),
    "duplicate_rule": Kind(
        "row",
        "DUPLICATES_DETECTED unless the call allows it, never on a delete",
        {"message": "Use one of these records?"},
    ),
    "row_error": Kind(
        "row",
        "any refusal of a row",
        {"status": 400, "code": "UNKNOWN_CODE", "message": "This was refused on demand.", "fields": []},
    ),
    "result_count": Kind("collection", "that many results too many, or too few", {"by": -1}),
    "job_failed": Kind(
        "job",
        "a Bulk job fails after that many rows; the others stay unprocessed",
        {"after_rows": 0, "message": "InternalServerError : Processing failed on demand"},
    ),
}
