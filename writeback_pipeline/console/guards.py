"""Around every request, whatever page it asks for: may it come in at all, and what does each answer tell the browser.

Pure ASGI: a request for another host, a form from another site and a body that is too long are answered here and reach
no page.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from writeback_pipeline.console.access import Access

_CONTENT_SECURITY = "; ".join(
    [
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer browsers would not say where a form comes from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_SAFE = ("GET", "HEAD")


class Guard:
    """Turns away what did not come from this console's own pages, and adds the headers that browsers obey."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._headers = _HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if access.secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._headers)
                headers.setdefault("Cache-Control", _caching(scope))
            await send(message)

        refusal = refused(scope["method"], Headers(scope=scope), self._access)
        await (refusal or self._app)(scope, receive, send_with_headers)


def refused(method: str, headers: Headers, access: Access) -> PlainTextResponse | None:
    """Why a request is turned away before any page sees it; None when it may pass."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in access.hosts:
        return PlainTextResponse(
            "The console does not answer to this name. Use the address that it printed, or name the one that browsers "
            "use in WRITEBACK_CONSOLE_URL.\n",
            421,
        )
    if method not in _SAFE and not _own(headers, host, access):
        return PlainTextResponse("This form does not come from the console: nothing was changed.\n", 403)
    return None


def _own(headers: Headers, host: str, access: Access) -> bool:
    """Whether a page of the console sent the form: every browser says so in one of two headers."""
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return "sec-fetch-site" in headers
    return origin in access.origins or origin in {f"http://{host}", f"https://{host}"}


def _caching(scope: Scope) -> str:
    """Pages are never kept; a static file is, under the address that changes with it."""
    named = scope["path"].startswith("/static/") and scope["query_string"].startswith(b"v=")
    return "public, max-age=31536000, immutable" if named else "no-store"
