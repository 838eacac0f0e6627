"""The ASGI application: from bytes on the wire to the organisation's resources and back.

Reads the request, checks the token, counts the call, and prints the answer; what the answer says is decided in `api`.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette import requests, responses
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from writeback_pipeline.local_org import settings, times, tokens, usage
from writeback_pipeline.local_org.api import auth, root, routes, soap
from writeback_pipeline.local_org.api.dispatch import refusal
from writeback_pipeline.local_org.api.http import Request, Response
from writeback_pipeline.local_org.errors import ApiError, json_parser_error
from writeback_pipeline.local_org.session import Session
from writeback_pipeline.local_org.state import Organisation

Clock = Callable[[], float]

_LOG = logging.getLogger(__name__)

_LONGEST_URI = 16_384
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_COMMON_HEADERS = {
    "Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private",
    "Server": "sfdcedge",
    "Vary": "Accept-Encoding",
}
_URI_TOO_LONG = Response(
    414, b"<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>", {"Content-Type": "text/html;charset=iso-8859-1"}
)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in, whole, and what answering it takes."""

    request: requests.Request
    body: bytes
    connection: sqlite3.Connection
    now: float

    @property
    def base_url(self) -> str:
        """Scheme and host under which the client reached the organisation."""
        return f"{self.request.url.scheme}://{self.request.headers.get('host', self.request.url.netloc)}"

    @property
    def form(self) -> dict[str, str]:
        """The body of a form post."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def header(self, name: str) -> str:
        """A header's value, empty when it is not there."""
        return self.request.headers.get(name, "")


Answer = Callable[[Call], Response]


def create(organisation: Organisation, clock: Clock) -> Starlette:
    """The application that serves an opened organisation; `clock` gives the time in seconds since 1970."""

    def endpoint(answer: Answer) -> Callable[[requests.Request], Awaitable[responses.Response]]:
        def in_thread(request: requests.Request, body: bytes) -> Response:
            with organisation.connection() as connection:
                return answer(Call(request, body, connection, clock()))

        async def respond(request: requests.Request) -> responses.Response:
            body = await request.body()
            return _printed(await run_in_threadpool(in_thread, request, body))

        return respond

    paths: list[tuple[str, Answer]] = [
        ("/services/oauth2/token", _token),
        ("/services/oauth2/userinfo", _userinfo),
        ("/services/oauth2/revoke", _revoke),
        ("/services/Soap/u/{version}", _soap),
        ("/services/data", _versions),
        ("/services/data/", _versions),
        ("/services/data/{rest:path}", _data),
    ]
    return Starlette(routes=[Route(path, endpoint(answer), methods=_METHODS) for path, answer in paths])


def _versions(_: Call) -> Response:
    return Response(200, root.versions())


def _token(call: Call) -> Response:
    form = call.form | auth.basic_credentials(call.header("authorization"))
    return auth.token(auth.TokenRequest(call.connection, form, call.base_url, call.now))


def _userinfo(call: Call) -> Response:
    try:
        return auth.userinfo(call.connection, _bearer(call), call.base_url)
    except ApiError:
        return Response(403, b"Bad_OAuth_Token", {"Content-Type": "text/html;charset=UTF-8"})


def _revoke(call: Call) -> Response:
    given = call.form | dict(call.request.query_params)
    return auth.revoke(call.connection, given.get("token", ""))


def _soap(call: Call) -> Response:
    envelope = call.body.decode(errors="replace")
    return soap.login(call.connection, call.request.path_params["version"], envelope, call.base_url, call.now)


def _data(call: Call) -> Response:
    path = call.request.scope["raw_path"].decode("latin-1").split("?", 1)[0]
    if len(path) + len(call.request.url.query) > _LONGEST_URI:
        return _URI_TOO_LONG
    chosen = settings.load(call.connection)
    try:
        user_id = _bearer(call)
        usage.count(call.connection, chosen, call.now)
    except ApiError as error:
        return refusal(error)
    answer = _resource(call, path, Session(call.connection, chosen, user_id, times.stamp(call.now)))
    limit = f"api-usage={usage.used(call.connection, call.now)}/{chosen.daily_api_requests}"
    return Response(answer.status, answer.body, {**answer.headers, "Sforce-Limit-Info": limit})


def _resource(call: Call, path: str, session: Session) -> Response:
    try:
        parsed = _json(call.header("content-type"), call.body)
    except ApiError as error:
        return refusal(error)
    query = dict(parse_qsl(call.request.url.query, keep_blank_values=True))
    headers = dict(call.request.headers)
    request = Request(call.request.method, path, query, headers, parsed, base_url=call.base_url, now=call.now)
    try:
        return routes.handle(session, request)
    except Exception:
        return _unexpected()


def _unexpected() -> Response:
    """The answer to a request that ran into a fault of the organisation itself, which is logged under its number."""
    error_id = secrets.token_hex(8)
    _LOG.exception("request failed, ErrorId %s", error_id)
    message = f"An unexpected error occurred. Please include this ErrorId if you contact support: {error_id}"
    return refusal(ApiError(500, "UNKNOWN_EXCEPTION", message))


def _bearer(call: Call) -> str:
    scheme, _, token = (call.header("authorization") or "Bearer").partition(" ")
    if scheme.lower() not in ("bearer", "oauth"):
        raise ApiError(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
    user_id = tokens.bearer(call.connection, token.strip(), call.now)
    if user_id is None:
        raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
    return user_id


def _json(content_type: str, body: bytes) -> Any:
    if not body:
        return None
    if content_type and content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", f"Content-Type '{content_type}' not supported")
    try:
        parsed = json.loads(body, parse_constant=_refuse_constant)
        if b"\\u" in body:  # half a surrogate pair is no character and could not be stored
            parsed = json.loads(json.dumps(parsed, ensure_ascii=False).encode(errors="replace"))
    except (ValueError, RecursionError) as error:
        raise json_parser_error(f"The body is not JSON: {error}") from None
    return parsed


def _refuse_constant(name: str) -> None:
    raise ValueError(f"unexpected token {name}")


def _printed(answer: Response) -> responses.Response:
    headers = {**_COMMON_HEADERS, "X-SFDC-Request-Id": secrets.token_hex(16), **answer.headers}
    if answer.body is None:
        return responses.Response(status_code=answer.status, headers=headers)
    if isinstance(answer.body, bytes):
        content, content_type = answer.body, "application/octet-stream"
    else:
        content = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
        content_type = "application/json;charset=UTF-8"
    return responses.Response(content, answer.status, {"Content-Type": content_type, **headers})
