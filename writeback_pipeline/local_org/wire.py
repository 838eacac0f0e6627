"""From an answer to bytes on the wire: headers, JSON, and connections that end before they should."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable, Mapping

from starlette import responses
from starlette.types import Receive, Scope, Send

from writeback_pipeline.local_org.api.http import Response
from writeback_pipeline.local_org.fault_calls import Sent

HangUp = Callable[[tuple[str, int]], None]
"""Ends the connection that comes from that host and port, at once."""

_COMMON_HEADERS = {
    "Cache-Control": "no-cache,must-revalidate,max-age=0,no-store,private",
    "Server": "sfdcedge",
    "Vary": "Accept-Encoding",
}


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
