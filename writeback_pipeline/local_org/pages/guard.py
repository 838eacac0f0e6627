"""Which requests the pages answer, and the headers that every answer of theirs has.

There is no sign-in: the server listens on loopback. So a request has to name this machine as its host, which a page
elsewhere cannot make a browser do by way of DNS, and a change has to come from one of our own pages. A browser sends
`Origin` with every form, and no cookie exists that another site could ride on.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

OURSELVES = frozenset({"127.0.0.1", "localhost", "::1"})
"""Host names under which this machine reaches itself."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",  # with none at all, browsers would send `Origin: null`
    "X-Content-Type-Options": "nosniff",
}


def refusal(method: str, scheme: str, headers: Mapping[str, str]) -> str | None:
    """Why a request is turned away; None when it may be answered."""
    host = headers.get("host", "")
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        name = None
    if name not in OURSELVES:
        return "These pages answer under 127.0.0.1 and localhost only."
    if method in ("GET", "HEAD"):
        return None
    if headers.get("origin") != f"{scheme}://{host}" or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return "Only these pages themselves may change something here: open the page and use its button."
    return None
