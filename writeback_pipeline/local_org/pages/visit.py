"""What a page is asked with and what it answers with: a visit in, a rendered template or a way elsewhere out."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from writeback_pipeline.local_org import admin, times
from writeback_pipeline.local_org.session import Session


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page; `seconds` since 1970. `form` is empty unless something is to be changed."""

    connection: sqlite3.Connection
    seconds: float
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]

    def administrator(self) -> Session:
        """In whose name the pages work."""
        return admin.session(self.connection, now=times.stamp(self.seconds))


Page = Callable[[Visit], Response]


def render(template: str, status: int = 200, **values: Any) -> Response:
    """That template with these values, which it escapes."""
    return HTMLResponse(_templates().get_template(template).render(values), status)


def go_to(address: str) -> Response:
    """Sends the browser to another page, after a change too."""
    return RedirectResponse(address, 303)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("writeback_pipeline.local_org.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
