"""Composite batch: up to 25 independent requests in one HTTP call, each of them counted."""

from __future__ import annotations

from typing import Any

from writeback_pipeline.local_org import usage
from writeback_pipeline.local_org.api import dispatch
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.api.subrequests import Send, split_url
from writeback_pipeline.local_org.errors import ApiError, json_parser_error
from writeback_pipeline.local_org.session import Session

_MOST = 25


def routes(send: Send) -> list[Route]:
    """The resource, its requests answered by `send`."""

    def batch(session: Session, request: Request) -> Response:
        listed, halt_on_error = _read(request.json)
        answers: list[Response] = []
        for place, element in enumerate(listed):
            if halt_on_error and any(answer.status >= 400 for answer in answers):
                halted = ApiError(412, "BATCH_PROCESSING_HALTED", "Batch processing halted per request")
                answers.append(dispatch.refusal(halted))
            else:
                answers.append(_send_one(send, session, request, element, first=place == 0))
        results = [{"statusCode": answer.status, "result": answer.body} for answer in answers]
        return Response(200, {"hasErrors": any(each.status >= 400 for each in answers), "results": results})

    return [Route("composite/batch", {"POST": batch})]


def _read(body: Any) -> tuple[list[dict[str, Any]], bool]:
    listed = body.get("batchRequests") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise json_parser_error("The list batchRequests is required")
    if len(listed) > _MOST:
        raise ApiError(400, "LIMIT_EXCEEDED", f"The request can\u2019t contain more than {_MOST} operations.")
    return listed, body.get("haltOnError") is True


def _send_one(send: Send, session: Session, request: Request, element: dict[str, Any], *, first: bool) -> Response:
    if not first:  # the call itself has been counted once
        try:
            usage.count(session.connection, session.settings, session.user_id, request.now)
        except ApiError as error:
            return dispatch.refusal(error)
    path, query = split_url(str(element.get("url", "")))
    path = path if path.startswith("/") else f"/services/data/{path}"
    method, body = str(element.get("method", "")), element.get("richInput")
    return send(session, Request(method, path, query, {}, body, base_url=request.base_url, now=request.now))
