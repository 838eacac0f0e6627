"""The ASGI application: from bytes on the wire to the organisation's resources and back.

Reads the request, checks the token, counts the call, and lets faults strike it; what the answer says is decided in
`api`, how it gets onto the wire in `wire`.
"""

from __future__ import annotations

import json
import logging
import secrets
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

from starlette import requests, responses
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from writeback_pipeline.local_org import fault_calls, faults, settings, times, tokens, usage, wire
from writeback_pipeline.local_org.api import auth, root, routes, soap
from writeback_pipeline.local_org.api import faults as fault_desk
from writeback_pipeline.local_org.api.dispatch import refusal
from writeback_pipeline.local_org.api.http import Request, Response
from writeback_pipeline.local_org.errors import ApiError, json_parser_error, unknown_exception
from writeback_pipeline.local_org.fault_calls import Pause, Sent
from writeback_pipeline.local_org.faults import Fault
from writeback_pipeline.local_org.pages import site
from writeback_pipeline.local_org.session import Session
from writeback_pipeline.local_org.state import Organisation

Clock = Callable[[], float]

_LOG = logging.getLogger(__name__)

_LONGEST_URI = 16_384
_JOBS = "/jobs/"
_FILES = ("text/csv", "multipart/form-data")
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_URI_TOO_LONG = Response(
    414, b"<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>", {"Content-Type": "text/html;charset=iso-8859-1"}
)


@dataclass(frozen=True, slots=True)
class Host:
    """What the server does for the application: the time (seconds since 1970), pauses, and ended connections.

    `wake` sees to it that Bulk jobs are worked on.
    """

    clock: Clock
    wake: Callable[[], None]
    pause: Pause
    hang_up: wire.HangUp


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came in, whole, and what answering it takes."""

    request: requests.Request
    body: bytes
    connection: sqlite3.Connection
    now: float
    faults: tuple[Fault, ...] = ()

    @property
    def base_url(self) -> str:
        """Scheme and host under which the client reached the organisation."""
        return f"{self.request.url.scheme}://{self.request.headers.get('host', self.request.url.netloc)}"

    @property
    def form(self) -> dict[str, str]:
        """The body of a form post."""
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    @property
    def path(self) -> str:
        """The path as it was sent, nothing decoded."""
        raw: bytes = self.request.scope["raw_path"]
        return raw.decode("latin-1").split("?", 1)[0]

    def header(self, name: str) -> str:
        """A header's value, empty when it is not there."""
        return self.request.headers.get(name, "")

    def token(self) -> str:
        """The access token that was shown; ApiError when something else was."""
        scheme, _, token = (self.header("authorization") or "Bearer").partition(" ")
        if scheme.lower() not in ("bearer", "oauth"):
            raise ApiError(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        return token.strip()


Answer = Callable[[Call], Response]


def create(organisation: Organisation, host: Host) -> Starlette:
    """The application that serves an opened organisation."""

    def endpoint(answer: Answer) -> Callable[[requests.Request], Awaitable[responses.Response]]:
        def in_thread(request: requests.Request, body: bytes) -> Sent:
            with organisation.connection() as connection:
                armed = faults.armed(connection) if answer is not _faults else ()
                call = Call(request, body, connection, host.clock(), armed)
                sent = _struck(call, answer, host) if armed else Sent(answer(call))
            if _JOBS in call.path:
                host.wake()
            return sent

        async def respond(request: requests.Request) -> responses.Response:
            body = await wire.body(request)
            sent = Sent(wire.TOO_LARGE) if body is None else await run_in_threadpool(in_thread, request, body)
            return wire.printed(sent, host.hang_up)

        return respond

    paths: list[tuple[str, Answer]] = [
        ("/services/oauth2/token", _token),
        ("/services/oauth2/userinfo", _userinfo),
        ("/services/oauth2/revoke", _revoke),
        ("/services/Soap/u/{version}", _soap),
        ("/services/data", _versions),
        ("/services/data/", _versions),
        ("/services/data/{rest:path}", _data),
        ("/local/faults", _faults),
        ("/local/faults/{fault_id}", _faults),
    ]
    resources = [Route(path, endpoint(answer), methods=_METHODS) for path, answer in paths]
    return Starlette(routes=[*resources, *site.routes(organisation, host.clock)])


def _struck(call: Call, answer: Answer, host: Host) -> Sent:
    """Answer a call of a time when faults are armed."""
    query = call.request.url.query
    url = f"{call.path}?{query}" if query else call.path
    chosen = fault_calls.choose(call.connection, call.faults, call.request.method, url)

    def revoke() -> None:
        with suppress(ApiError):
            tokens.revoke(call.connection, call.token())

    return fault_calls.perform(chosen, lambda: answer(replace(call, now=host.clock())), revoke, host.pause)


def _faults(call: Call) -> Response:
    fault_id = call.request.path_params.get("fault_id", "")
    document = None
    if call.header("content-type") == "application/json":  # which no web page can send from elsewhere unasked
        with suppress(ValueError):
            document = json.loads(call.body)
    return fault_desk.answer(call.connection, call.request.method, fault_id, call.request.headers, document)


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
    if len(call.path) + len(call.request.url.query) > _LONGEST_URI:
        return _URI_TOO_LONG
    chosen = settings.load(call.connection)
    try:
        user_id = _bearer(call)
        usage.count(call.connection, chosen, user_id, call.now)
    except ApiError as error:
        return refusal(error)
    session = Session(call.connection, chosen, user_id, times.stamp(call.now), faults=call.faults)
    answer = _resource(call, session)
    limit = f"api-usage={usage.used(call.connection, call.now)}/{chosen.daily_api_requests}"
    return Response(answer.status, answer.body, {**answer.headers, fault_calls.LIMIT_HEADER: limit})


def _resource(call: Call, session: Session) -> Response:
    content_type = call.header("content-type")
    is_file = _JOBS in call.path and content_type.partition(";")[0].strip().lower() in _FILES
    try:
        parsed = None if is_file else _json(content_type, call.body)
    except ApiError as error:
        return refusal(error)
    content = call.body if is_file else b""
    query = dict(parse_qsl(call.request.url.query, keep_blank_values=True))
    headers = dict(call.request.headers)
    request = Request(call.request.method, call.path, query, headers, parsed, content, call.base_url, call.now)
    try:
        return routes.handle(session, request)
    except Exception:
        return _unexpected()


def _unexpected() -> Response:
    """The answer to a request that ran into a fault of the organisation itself, which is logged under its number."""
    error_id = secrets.token_hex(8)
    _LOG.exception("request failed, ErrorId %s", error_id)
    return refusal(unknown_exception(error_id))


def _bearer(call: Call) -> str:
    user_id = tokens.bearer(call.connection, call.token(), call.now)
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
