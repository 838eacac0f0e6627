"""Bytes on the wire: bodies of bounded size in, headers and JSON out, connections that end before they should."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping

from starlette import requests, responses
from starlette.types import Receive, Scope, Send

from writeback_pipeline.local_org.api.dispatch import refusal
from writeback_pipeline.local_org.api.http import Response
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.fault_calls import Sent

HangUp = Callable[[tuple[str, int]], None]
"""Ends the connection that comes from that host and port, at once."""

_COMMON_HEADERS = {
    "Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private",
    "Server": "sfdcedge",
    "Vary": "Accept-Encoding",
}
_LARGEST_BODY = 150 * 1024 * 1024
TOO_LARGE = refusal(
    ApiError(413, "EXCEEDED_MAX_SIZE_REQUEST", f"Request size exceeded maximum of {_LARGEST_BODY} bytes")
)


async def body(request: requests.Request) -> bytes | None:
    """The body of a request; None as soon as it is larger than anything that is taken, 150 MB."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > _LARGEST_BODY:
        return None
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > _LARGEST_BODY:
            return None
    return bytes(received)


def printed(sent: Sent, hang_up: HangUp) -> responses.Response:
    """What the server is to send; `hang_up` is used where the client is not to get all of it."""
    content, headers = _content(sent.response)
    if sent.ending == "whole":
        return responses.Response(content, sent.response.status, headers)
    kept = 0 if sent.ending == "dropped" else len(content or b"") // 2
    return _CutShort(content, sent.response.status, headers, kept, hang_up)


def _content(answer: Response) -> tuple[bytes | None, dict[str, str]]:
    headers = {**_COMMON_HEADERS, "X-SFDC-Request-Id": secrets.token_hex(16), **answer.headers}
    if answer.body is None:
        return None, headers
    if isinstance(answer.body, bytes):
        return answer.body, {"Content-Type": "application/octet-stream", **headers}
    content = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
    return content, {"Content-Type": "application/json;charset=UTF-8", **headers}


class _CutShort(responses.Response):
    """Sends the first `kept` bytes of its body, or with none of them nothing at all, and ends the connection."""

    def __init__(
        self, content: bytes | None, status: int, headers: Mapping[str, str], kept: int, hang_up: HangUp
    ) -> None:
        super().__init__(content, status, headers)
        self._kept = kept
        self._hang_up = hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._kept:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body[: self._kept], "more_body": True})
            await asyncio.sleep(0)
        self._hang_up(scope["client"])
        while (await receive())["type"] != "http.disconnect":
            pass
