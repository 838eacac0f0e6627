"""The routing: finds the resource for a request, of the outside world or inside a composite call, and asks it.

Everything that a resource refuses comes back as an answer; no ApiError leaves this module.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from urllib.parse import unquote

from writeback_pipeline.local_org.api.http import (
    FIRST_VERSION,
    LAST_VERSION,
    RETIRED_VERSIONS,
    Handler,
    Request,
    Response,
    Route,
)
from writeback_pipeline.local_org.errors import ApiError, as_body, not_found
from writeback_pipeline.local_org.session import Session

_VERSIONED = re.compile(r"/services/data/v(\d{1,3})\.(\d)(?:/(.*))?")


def handle(routes: Sequence[Route], session: Session, request: Request) -> Response:
    """The answer to a request under /services/data/vXX.0."""
    try:
        handler, located = _locate(routes, request)
        return handler(session, located)
    except ApiError as error:
        return refusal(error)


def refusal(error: ApiError) -> Response:
    """The answer that says why a request was refused."""
    return Response(error.status, as_body(error))


def matches(pattern: str, path: str) -> bool:
    """Whether a versioned path names the resource of that pattern."""
    found = _VERSIONED.fullmatch(path)
    return bool(found and _compiled(pattern).fullmatch((found[3] or "").rstrip("/")))


def _locate(routes: Sequence[Route], request: Request) -> tuple[Handler, Request]:
    found = _VERSIONED.fullmatch(request.path)
    version = int(found[1]) if found and found[2] == "0" else 0
    if version in RETIRED_VERSIONS:
        raise ApiError(410, "GONE", "The requested resource is no longer available")
    if found is None or not FIRST_VERSION <= version <= LAST_VERSION:
        raise not_found()
    rest = (found[3] or "").rstrip("/")
    for route in routes:
        match = _compiled(route.pattern).fullmatch(rest)
        if match is None:
            continue
        handler = route.methods.get(request.method)
        if handler is None:
            allowed = ",".join(route.methods)
            message = f"HTTP Method '{request.method}' not allowed. Allowed are {allowed}"
            raise ApiError(405, "METHOD_NOT_ALLOWED", message)
        params = {name: unquote(value) for name, value in match.groupdict().items()}
        return handler, replace(request, params=params, version=version)
    raise not_found()


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern))
