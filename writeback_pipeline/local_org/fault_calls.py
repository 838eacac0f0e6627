"""What faults do to one HTTP call as a whole: to its answer, to the time it takes, to the connection it came over.

Of the faults that decide what comes back at most one strikes a call; faults of the limit header join it.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from writeback_pipeline.local_org import faults
from writeback_pipeline.local_org.api.dispatch import refusal
from writeback_pipeline.local_org.api.http import Response
from writeback_pipeline.local_org.errors import ApiError, unknown_exception
from writeback_pipeline.local_org.faults import Fault

Ending = Literal["whole", "truncated", "dropped"]


@dataclass(frozen=True, slots=True)
class Sent:
    """An answer, and how much of it gets through before the connection ends."""

    response: Response
    ending: Ending = "whole"


Pause = Callable[[float], bool]
"""Waits that many seconds; false when the server was told to stop meanwhile."""

LIMIT_HEADER = "Sforce-Limit-Info"
_NOTHING = Sent(Response(500), "dropped")
_LIMIT_FAULTS = {"no_limit_header", "stale_limit_header"}
_MAINTENANCE = (
    b"<html><head><title>Maintenance</title></head><body><h1>We are down for maintenance.</h1>"
    b"<p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>"
)


def choose(connection: sqlite3.Connection, armed: Sequence[Fault], method: str, url: str) -> list[Fault]:
    """The faults that strike this call; `url` is its path and query."""
    chosen: list[Fault] = []
    for fault in armed:
        if fault.level != "call" or fault.method not in ("", method) or not re.search(fault.path, url):
            continue
        alone = fault.kind in _LIMIT_FAULTS or not any(other.kind not in _LIMIT_FAULTS for other in chosen)
        if alone and faults.strikes(connection, fault):
            chosen.append(fault)
    return chosen


def perform(chosen: Sequence[Fault], answer: Callable[[], Response], revoke: Callable[[], None], pause: Pause) -> Sent:
    """Answer a call as the faults that struck it have it; `revoke` makes the token that it showed worthless."""
    deciding = next((fault for fault in chosen if fault.kind not in _LIMIT_FAULTS), None)
    sent = _perform(deciding, answer, revoke, pause) if deciding else Sent(answer())
    for fault in chosen:
        if fault.kind in _LIMIT_FAULTS:
            sent = replace(sent, response=_with_other_limit(sent.response, fault))
    return sent


def _perform(fault: Fault, answer: Callable[[], Response], revoke: Callable[[], None], pause: Pause) -> Sent:
    options = fault.options
    match fault.kind:
        case "drop_before":
            return _NOTHING
        case "drop_after":
            return Sent(answer(), "dropped")
        case "truncated":
            return Sent(answer(), "truncated")
        case "slow":
            response = answer()
            pause(options["seconds"])
            return Sent(response)
        case "late_commit":
            return Sent(answer()) if pause(options["seconds"]) else _NOTHING
        case "server_error":
            if options["applied"]:
                answer()
        case "expired_session":
            revoke()
    return Sent(_REPLACEMENTS[fault.kind](fault))


def _unavailable(fault: Fault) -> Response:
    if fault.options["html"]:
        return Response(503, _MAINTENANCE, {"Content-Type": "text/html;charset=utf-8"})
    return refusal(ApiError(503, "SERVER_UNAVAILABLE", "server too busy"))


def _as_told(fault: Fault) -> Response:
    return refusal(ApiError(fault.options["status"], fault.options["code"], fault.options["message"]))


def _redirect(fault: Fault) -> Response:
    return Response(fault.options["status"], None, {"Location": fault.options["location"]})


def _always(status: int, code: str, message: str) -> Callable[[Fault], Response]:
    return lambda _: refusal(ApiError(status, code, message))


_REPLACEMENTS: dict[str, Callable[[Fault], Response]] = {
    "daily_quota": _always(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    "concurrent_limit": _always(
        403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."
    ),
    "expired_session": _always(401, "INVALID_SESSION_ID", "Session expired or invalid"),
    "session_not_valid": _always(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
    "unavailable": _unavailable,
    "server_error": lambda _: refusal(unknown_exception(secrets.token_hex(8))),
    "refusal": _as_told,
    "redirect": _redirect,
}


def _with_other_limit(response: Response, fault: Fault) -> Response:
    told = response.headers.get(LIMIT_HEADER)
    if told is None:
        return response
    headers = {name: value for name, value in response.headers.items() if name != LIMIT_HEADER}
    if fault.kind == "stale_limit_header":
        used, _, most = told.removeprefix("api-usage=").partition("/")
        headers[LIMIT_HEADER] = f"api-usage={max(0, int(used) - fault.options['calls'])}/{most}"
    return replace(response, headers=headers)
