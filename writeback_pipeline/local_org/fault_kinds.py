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
    """What happens in the organisation, what it does on the wire, and options of its own with their defaults."""

    level: Level
    happens: str
    does: str
    options: Mapping[str, Any] = field(default_factory=dict)


_LOCKED = "unable to obtain exclusive access to this record"
_TRIGGER_CAUSE = (
    f"System.DmlException: Update failed. First exception on row 0; first error: UNABLE_TO_LOCK_ROW, {_LOCKED}: []"
)

KINDS: dict[str, Kind] = {
    "daily_quota": Kind("call", "Today's API calls are used up.", "403 REQUEST_LIMIT_EXCEEDED, TotalRequests"),
    "concurrent_limit": Kind(
        "call", "Too many long calls run at the same time.", "403 REQUEST_LIMIT_EXCEEDED, ConcurrentRequests"
    ),
    "expired_session": Kind(
        "call",
        "The session has ended: the client has to sign in again.",
        "401 INVALID_SESSION_ID; the token that was shown is worthless from then on",
    ),
    "session_not_valid": Kind(
        "call",
        "The session is refused for good: signing in again does not help.",
        "401 INVALID_SESSION_ID that no new session cures",
    ),
    "unavailable": Kind("call", "Salesforce is down for a while.", "503, as a page or as JSON", {"html": True}),
    "server_error": Kind(
        "call",
        "Something breaks inside Salesforce, before or after the work is done.",
        "500 UNKNOWN_EXCEPTION, with or without the writes done",
        {"applied": False},
    ),
    "refusal": Kind(
        "call",
        "Salesforce refuses the call with an error of your choice.",
        "any refusal",
        {"status": 400, "code": "UNKNOWN_CODE", "message": "This was refused on demand."},
    ),
    "redirect": Kind(
        "call",
        "The organisation has moved: the call is sent to another address.",
        "sends the client elsewhere",
        {"status": 302, "location": "https://elsewhere.example/"},
    ),
    "slow": Kind(
        "call",
        "The work is done at once, but the answer takes long.",
        "does the work, then holds the answer",
        {"seconds": 1.0},
    ),
    "late_commit": Kind(
        "call",
        "Salesforce dawdles and then does the work, even if the client has given up.",
        "waits, then does the work, whether or not anybody still listens",
        {"seconds": 1.0},
    ),
    "truncated": Kind(
        "call",
        "The work is done, but the connection breaks in the middle of the answer.",
        "does the work; the connection ends in the middle of the body",
    ),
    "drop_before": Kind(
        "call", "The connection breaks before anything is done.", "the connection ends, nothing is done"
    ),
    "drop_after": Kind(
        "call",
        "The work is done, but the connection breaks before any answer.",
        "the connection ends after the work is done",
    ),
    "no_limit_header": Kind("call", "Answers do not say how many API calls are used.", "Sforce-Limit-Info is missing"),
    "stale_limit_header": Kind(
        "call", "Answers tell fewer used API calls than there are.", "Sforce-Limit-Info lags behind", {"calls": 10}
    ),
    "row_lock": Kind("row", "Somebody else is saving the same record.", "UNABLE_TO_LOCK_ROW", {"message": _LOCKED}),
    "trigger_error": Kind(
        "row",
        "The organisation's own code fails when a record is saved.",
        "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY around any cause, by default a lock",
        {"trigger": "ContactTrigger", "cause": _TRIGGER_CAUSE},
    ),
    "validation_rule": Kind(
        "row",
        "A rule of the organisation rejects the record.",
        "FIELD_CUSTOM_VALIDATION_EXCEPTION, never on a delete",
        {"message": "The record breaks a validation rule.", "fields": []},
    ),
    "duplicate_rule": Kind(
        "row",
        "Salesforce takes the record for a duplicate of another.",
        "DUPLICATES_DETECTED unless the call allows it, never on a delete",
        {"message": "Use one of these records?"},
    ),
    "row_error": Kind(
        "row",
        "Salesforce refuses a record with an error of your choice.",
        "any refusal of a row",
        {"status": 400, "code": "UNKNOWN_CODE", "message": "This was refused on demand.", "fields": []},
    ),
    "result_count": Kind(
        "collection",
        "The list of results is shorter or longer than what was sent.",
        "that many results too many, or too few",
        {"by": -1},
    ),
    "job_failed": Kind(
        "job",
        "A Bulk job breaks off half way.",
        "a Bulk job fails after that many rows; the others stay unprocessed",
        {"after_rows": 0, "message": "InternalServerError : Processing failed on demand"},
    ),
}
