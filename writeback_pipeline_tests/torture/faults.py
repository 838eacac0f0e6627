"""The faults of the network, one entry each: what reaches the organisation, and what comes back over which connection.

Facts only; the proxy carries them out. Row locks and wrong counts are the organisation's own switches, thrown for one
call.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from writeback_pipeline_tests.torture.wire import WRITES, CallType, Reply


class Reaches(Enum):
    """Whether the organisation gets the call."""

    NOT_AT_ALL = auto()
    HALF = auto()
    IN_TIME = auto()
    LATE = auto()  # long after the client gave up


class Comes(Enum):
    """How the answer, if any, comes back."""

    WHOLE = auto()
    DRIPPING = auto()  # in small pieces, never silent for as long as the client would wait
    IN_HALF = auto()  # the connection breaks in the middle
    RESET = auto()  # the connection is reset instead
    CLOSED = auto()  # it ends without an answer
    NEVER = auto()  # silence until the client gives up


Answer = Callable[[Reply | None, str], Reply]
"""Makes the answer from the organisation's, where it got the call, and the address of a foreign host."""


def _own(reply: Reply | None, _: str) -> Reply:
    assert reply is not None
    return reply


def _json(status: int, code: str, message: str) -> Answer:
    body = json.dumps([{"errorCode": code, "message": message}]).encode()
    return lambda _reply, _foreign: Reply(status, {"Content-Type": "application/json;charset=UTF-8"}, body)


def _html(status: int, title: str) -> Answer:
    body = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()
    return lambda _reply, _foreign: Reply(status, {"Content-Type": "text/html;charset=utf-8"}, body)


def _cut(reply: Reply | None, _: str) -> Reply:
    assert reply is not None
    return Reply(reply.status, reply.headers, reply.body[: len(reply.body) // 2])


def _redirect(status: int) -> Answer:
    return lambda _reply, foreign: Reply(status, {"Location": f"{foreign}/services/data"}, b"")


@dataclass(frozen=True, slots=True)
class Fault:
    """`refuses_next` strikes the call after the one that drew it; `switch` is one of the organisation's faults.

    `share` makes it as frequent as that many others.
    """

    reaches: Reaches
    comes: Comes = Comes.WHOLE
    answer: Answer = _own
    switch: tuple[str, Mapping[str, Any]] | None = None
    refuses_next: bool = False
    share: int = 1
    strikes: frozenset[CallType] = field(default_factory=lambda: frozenset(CallType))


_CALLS = frozenset(CallType) - {CallType.LOGIN}

FAULTS: dict[str, Fault] = {
    "connection refused": Fault(Reaches.IN_TIME, refuses_next=True),
    "reset before the organisation": Fault(Reaches.NOT_AT_ALL, Comes.RESET),
    "closed before the organisation": Fault(Reaches.NOT_AT_ALL, Comes.CLOSED),
    "reset in mid request": Fault(Reaches.HALF, Comes.RESET),
    "reset after the request": Fault(Reaches.IN_TIME, Comes.RESET),
    "answer dropped": Fault(Reaches.IN_TIME, Comes.CLOSED),
    "reset in mid answer": Fault(Reaches.IN_TIME, Comes.IN_HALF),
    "answer never comes": Fault(Reaches.IN_TIME, Comes.NEVER),
    "committed after the time-out": Fault(Reaches.LATE, Comes.NEVER, share=8, strikes=WRITES),
    "answer drips": Fault(Reaches.IN_TIME, Comes.DRIPPING),
    "500, applied": Fault(Reaches.IN_TIME, answer=_json(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")),
    "500, not applied": Fault(
        Reaches.NOT_AT_ALL, answer=_json(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.")
    ),
    "502 page, applied": Fault(Reaches.IN_TIME, answer=_html(502, "Bad Gateway")),
    "504 page, not applied": Fault(Reaches.NOT_AT_ALL, answer=_html(504, "Gateway Time-out")),
    "503 page": Fault(Reaches.NOT_AT_ALL, answer=_html(503, "Down for maintenance")),
    "401 page": Fault(Reaches.NOT_AT_ALL, answer=_html(401, "Proxy authentication")),
    "200 page": Fault(Reaches.NOT_AT_ALL, answer=_html(200, "Accept the terms of this network")),
    "JSON cut short": Fault(Reaches.IN_TIME, answer=_cut),
    "session expired": Fault(
        Reaches.NOT_AT_ALL, answer=_json(401, "INVALID_SESSION_ID", "Session expired or invalid"), strikes=_CALLS
    ),
    "daily limit": Fault(
        Reaches.NOT_AT_ALL, answer=_json(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    ),
    "too many requests": Fault(Reaches.NOT_AT_ALL, answer=_html(429, "Too Many Requests")),
    "redirect elsewhere": Fault(Reaches.NOT_AT_ALL, answer=_redirect(307)),
    "moved elsewhere, applied": Fault(Reaches.IN_TIME, answer=_redirect(303)),
    "row lock": Fault(Reaches.IN_TIME, switch=("row_lock", {"probability": 0.3}), strikes=WRITES),
    "a result too few": Fault(Reaches.IN_TIME, switch=("result_count", {"by": -1}), strikes=WRITES),
    "a result too many": Fault(Reaches.IN_TIME, switch=("result_count", {"by": 1}), strikes=WRITES),
}
