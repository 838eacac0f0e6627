"""From a request to a visit: whose session it is, whether that user may, whether the form is the session's own.

Every page and every change comes through here, so that none can forget a check. The pages' functions run in threads,
as they wait for the database. What goes wrong in them becomes a page here, never a stack trace.
"""

import logging
import secrets
from dataclasses import dataclass, field, replace
from datetime import timedelta

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from writeback_pipeline.console.access import Access
from writeback_pipeline.console.keeping import kept_fields, kept_while_signing_in, sign_in_path
from writeback_pipeline.console.ports import Ports
from writeback_pipeline.console.rendering import TOKEN, Templates
from writeback_pipeline.console.sessions import Sessions
from writeback_pipeline.console.visits import EVERYWHERE, NOBODY, Action, Page, Place, Visit

MOST_FIELDS = 10_000
"""The most fields that a form may have; as many rows can be chosen at once."""

LIVE = "x-live"
"""The header of a request that the script made by itself: it keeps no session alive, and no cookie comes of it."""

TOO_OLD = "This page was too old: nothing was changed. Sign in once more."

_TOUCHED = timedelta(minutes=1)
_LOG = logging.getLogger(__name__)
_WORDS = {
    403: "You may look at this console, but not change anything. Ask an operator.",
    404: "There is no such page.",
    405: "This address takes no such request.",
    413: "The form is too long: choose fewer rows at once.",
}


@dataclass(frozen=True)
class Gate:
    """What every request to one part of the console passes. Its pages wait in `threads` of their own, if it has any."""

    ports: Ports
    access: Access
    sessions: Sessions
    place: Place = EVERYWHERE
    threads: CapacityLimiter | None = None
    templates: Templates = field(default_factory=Templates)

    def route(self, entry: Page | Action) -> Route:
        """The route of a page or of an action."""

        async def endpoint(request: Request) -> Response:
            visit = self._arrive(request)
            try:
                if isinstance(entry, Action):
                    visit.form = await _form(request)
                response = await run_sync(self._answer, visit, entry, limiter=self.threads)
            except HTTPException as error:
                response = refusal(visit, error)
            return self._leave(visit, response)

        return Route(self.place.path + entry.path, endpoint, methods=["POST" if isinstance(entry, Action) else "GET"])

    async def refuse(self, request: Request, error: Exception) -> Response:
        """The page for a path or a method that there is not."""
        assert isinstance(error, HTTPException)
        visit = self._arrive(request)
        return self._leave(visit, refusal(visit, error))

    def _arrive(self, request: Request) -> Visit:
        now = self.ports.clock()
        session = self.sessions.read(request.cookies.get(self._cookie_name(request)), now)
        request.state.session = session
        session = session or self.sessions.new(now)
        user = self.sessions.user_of(session) or NOBODY
        if now.timestamp() - session.seen > _TOUCHED.total_seconds():
            session = replace(session, seen=now.timestamp())
        return Visit(request, self.ports, self.templates, self.sessions, user, session, FormData(), now, self.place)

    def _answer(self, visit: Visit, entry: Page | Action) -> Response:
        if not entry.open and visit.user is NOBODY:
            return _sign_in_first(visit, entry)
        if isinstance(entry, Action):
            if not entry.open and not visit.may_change:
                raise HTTPException(403)
            if not self.sessions.is_token(visit.session, visit.text(TOKEN)):
                return _too_old(visit, entry)
        try:
            return entry.answer(visit)
        except HTTPException:
            raise
        except self.ports.troubles as error:
            return visit.page("trouble.html", status=503, message=str(error))
        except Exception:
            reference = secrets.token_hex(4)
            _LOG.exception("unexpected trouble %s at %s", reference, visit.request.url.path)
            return visit.page("unexpected.html", status=500, reference=reference)

    def _leave(self, visit: Visit, response: Response) -> Response:
        if visit.session != visit.request.state.session and LIVE not in visit.request.headers:
            response.set_cookie(
                self._cookie_name(visit.request),
                self.sessions.cookie(visit.session),
                secure=self.access.secure,
                httponly=True,
                samesite="strict",
            )
        return response

    def _cookie_name(self, request: Request) -> str:
        """Browsers send one port's cookies to another: two consoles of one machine keep theirs apart by name."""
        return f"{'__Host-' if self.access.secure else ''}writebacks-{request.url.port or 'console'}"


async def _form(request: Request) -> FormData:
    try:
        return await request.form(max_files=0, max_fields=MOST_FIELDS)
    except HTTPException:
        raise
    except Exception as error:  # whatever the parser makes of bytes that are no form
        raise HTTPException(400, "The form could not be read. Nothing was changed.") from error


def refusal(visit: Visit, error: HTTPException) -> Response:
    """The page that says why a request is not answered."""
    message = _WORDS.get(error.status_code, error.detail)
    response = visit.page("refused.html", status=error.status_code, message=message)
    response.headers.update(error.headers or {})
    return response


def _too_old(visit: Visit, entry: Action) -> Response:
    """A form whose token is not this session's: what it says is kept, but never a password."""
    if entry.open:
        return visit.page(
            "sign_in.html", status=403, trouble=TOO_OLD, next="/", name="", **kept_while_signing_in(visit)
        )
    return visit.page("kept.html", status=403, signed_in=False, **kept_fields(visit))


def _sign_in_first(visit: Visit, entry: Page | Action) -> Response:
    """A page is shown after signing in; what a form said is kept meanwhile."""
    if isinstance(entry, Page):
        return RedirectResponse(sign_in_path(visit), 303)
    return visit.page("sign_in.html", status=401, trouble=None, next="/", name="", **kept_fields(visit))
