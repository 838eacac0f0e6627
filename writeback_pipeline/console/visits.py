"""One request that was let in, as the functions of the pages see it; and how a page says which requests it takes.

A page's module has `ROUTES`: `Page` for what is shown, `Action` for what a form changes. How a request comes to be a
visit is the gate's work.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from writeback_pipeline.console.access import Role, User
from writeback_pipeline.console.ports import Ports
from writeback_pipeline.console.rendering import NAVIGATION, TOKEN, Templates
from writeback_pipeline.console.sessions import Session, Sessions

NOBODY = User("", Role.VIEWER)
"""Who visits before anybody signed in."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the console a page belongs to: of several bridges one, or none where it is about all of them."""

    bridge: str = ""
    bridges: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """What the addresses of its pages begin with."""
        return f"/{self.bridge}" if self.bridge else ""


EVERYWHERE = Place()
"""The whole console, where there is but one pipeline."""


@dataclass(slots=True)
class Visit:
    """One request. `session` is what the browser will keep: a function of a page may replace it.

    `form` is empty unless something is to be changed.
    """

    request: Request
    ports: Ports
    templates: Templates
    sessions: Sessions
    user: User
    session: Session
    form: FormData
    now: datetime
    place: Place = EVERYWHERE

    @property
    def may_change(self) -> bool:
        """Whether the user is an operator."""
        return self.user.role is Role.OPERATOR

    def at(self, path: str) -> str:
        """The whole address of a page that is there for each bridge."""
        return self.place.path + path

    @property
    def section(self) -> str:
        """Where the menu leads to this page, so that another bridge can be looked at in the same way."""
        shown = self.request.url.path.removeprefix(self.place.path)
        menu = [path for path, _ in NAVIGATION if path != "/"]
        return next((path for path in menu if shown == path or shown.startswith(f"{path}/")), "/")

    @property
    def token(self) -> str:
        """What each form of the answer carries, to show that it came from this console."""
        return self.sessions.token(self.session)

    def text(self, name: str) -> str:
        """What the form has in that field; empty where it has none."""
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    def form_texts(self, name: str) -> list[str]:
        """Every value that the form has in fields of that name."""
        return [value for field, value in self.texts() if field == name]

    def texts(self) -> list[tuple[str, str]]:
        """Every field of the form but its token, in order."""
        fields = self.form.multi_items()
        return [(name, value) for name, value in fields if isinstance(value, str) and name != TOKEN]

    def page(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The page made of that template; it shows the notice that was left for it."""
        html = self.templates.render(template, visit=self, at=self.place.path, notice=self.session.notice, **context)
        self.session = self.session.saying(None)
        return HTMLResponse(html, status)

    def go(self, path: str, notice: str | None = None) -> RedirectResponse:
        """Send the browser to a page of ours after a change, with a sentence for it to show."""
        if notice is not None:
            self.session = self.session.saying(notice)
        return RedirectResponse(local_path(path), 303)


@dataclass(frozen=True, slots=True)
class Page:
    """What a path shows. A page that is `open` needs nobody to be signed in."""

    path: str
    answer: Callable[[Visit], Response]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """What a form that is sent to a path changes; only operators may, unless it is `open`."""

    path: str
    answer: Callable[[Visit], Response]
    open: bool = False


def local_path(path: str) -> str:
    """The path, if it is one of this console; its start page if it leads elsewhere."""
    parts = urlsplit(path)
    elsewhere = parts.scheme or parts.netloc or not path.startswith("/") or path.startswith(("//", "/\\"))
    return "/" if elsewhere or not path.isprintable() else path
