"""What somebody filled in is not lost when a session ends under it: the fields travel through the sign-in page."""

from typing import Any
from urllib.parse import urlencode

from writeback_pipeline.console.visits import Visit, local_path

SIGN_IN = "/sign-in"

_FIELD = "kept."
_PATH = "kept_path"


def sign_in_path(visit: Visit) -> str:
    """The sign-in page that leads back to the page asked for."""
    url = visit.request.url
    return f"{SIGN_IN}?{urlencode({'next': url.path + (f'?{url.query}' if url.query else '')})}"


def kept_fields(visit: Visit) -> dict[str, Any]:
    """For a template: the path that the form was sent to, and its fields without the token."""
    return {"kept_path": visit.request.url.path, "kept": visit.texts()}


def kept_while_signing_in(visit: Visit) -> dict[str, Any]:
    """The same, of a form that came along with the sign-in page's; the path is None where none did."""
    if not visit.text(_PATH):
        return {"kept_path": None, "kept": []}
    fields = [(name.removeprefix(_FIELD), value) for name, value in visit.texts() if name.startswith(_FIELD)]
    return {"kept_path": local_path(visit.text(_PATH)), "kept": fields}
