"""Composite: up to 25 subrequests in one counted call, later ones built on the answers of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from writeback_pipeline.local_org import records
from writeback_pipeline.local_org.api import dispatch, subrequests
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.api.subrequests import Send, Subrequest
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.session import Session

_MOST, _MOST_HEAVY = 25, 5
_HEAVY = ("query", "queryAll", "query/{locator}", "queryAll/{locator}", "composite/sobjects",
          "composite/sobjects/{sobject}", "composite/sobjects/{sobject}/{field}")  # fmt: skip


class _RolledBackError(Exception):
    """Undoes the transaction of an all-or-none call in which a subrequest failed."""


def routes(send: Send) -> list[Route]:
    """The resource, its subrequests answered by `send`."""

    def composite(session: Session, request: Request) -> Response:
        body = request.json if isinstance(request.json, dict) else {}
        listed = body.get("compositeRequest")
        if isinstance(listed, list) and len(listed) > _MOST:
            return _too_many(f"The request can\u2019t contain more than {_MOST} operations.")
        given = subrequests.read(listed)
        if sum(_is_heavy(each) for each in given) > _MOST_HEAVY:
            return _too_many(
                f"The request can\u2019t contain more than {_MOST_HEAVY} query or sObject Collections operations."
            )
        if body.get("allOrNone") is True:
            answers = _all_or_none(send, session, request, given)
        else:
            answers = subrequests.run(_guarded(send), session, request, given, stop_on_failure=False)
        return Response(200, {"compositeResponse": subrequests.printed(given, answers)})

    return [Route("composite", {"POST": composite})]


def _all_or_none(send: Send, session: Session, request: Request, given: Sequence[Subrequest]) -> list[Response]:
    answers: list[Response] = []
    try:
        with records.atomic(session.connection):
            answers = subrequests.run(_guarded(send), session, request, given, stop_on_failure=True)
            if subrequests.failed(answers[-1]):
                raise _RolledBackError
    except _RolledBackError:
        # What collections have told about their rows stays as it was told, although the rows are undone with the rest.
        told = [
            answer if answer is answers[-1] or subrequests.is_row_results(answer) else subrequests.rolled_back()
            for answer in answers
        ]
        return told + [subrequests.rolled_back()] * (len(given) - len(answers))
    return answers


def _guarded(send: Send) -> Send:
    def answer(session: Session, request: Request) -> Response:
        if dispatch.matches("sobjects(/.*)?", request.path) or any(_matches_heavy(request.path)):
            return send(session, request)
        return dispatch.refusal(ApiError(400, "INVALID_INPUT", f"{request.path} cannot be used in a composite request"))

    return answer


def _is_heavy(each: Subrequest) -> bool:
    return any(_matches_heavy(each.path))


def _matches_heavy(path: str) -> list[bool]:
    return [dispatch.matches(pattern, path) for pattern in _HEAVY]


def _too_many(message: str) -> Response:
    refused: dict[str, Any] = {
        "body": [{"errorCode": "LIMIT_EXCEEDED", "message": message}],
        "httpHeaders": {},
        "httpStatusCode": 400,
        "referenceId": None,
    }
    return Response(400, {"compositeResponse": [refused]})
