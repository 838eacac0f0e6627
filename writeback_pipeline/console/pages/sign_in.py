"""Signing in and out. Where no account is configured there is neither."""

from collections.abc import Sequence
from math import ceil

from starlette.responses import RedirectResponse, Response

from writeback_pipeline.console.access import Access
from writeback_pipeline.console.keeping import SIGN_IN, kept_while_signing_in
from writeback_pipeline.console.passwords import Throttle, account_of
from writeback_pipeline.console.visits import NOBODY, Action, Page, Visit, local_path


def routes(access: Access) -> Sequence[Page | Action]:
    """The sign-in page and its two forms."""
    throttle = Throttle()

    def show(visit: Visit) -> Response:
        leads_to = local_path(visit.request.query_params.get("next", "/"))
        if visit.user is not NOBODY:
            return RedirectResponse(leads_to, 303)
        return _page(visit, next=leads_to)

    def sign_in(visit: Visit) -> Response:
        name, address = visit.text("name"), visit.request.client.host if visit.request.client else ""
        wait = throttle.enter(name, address, visit.now)
        if wait is not None:
            minutes = ceil(wait.total_seconds() / 60)
            response = _page(visit, 429, f"Too many wrong passwords. Wait {minutes} minutes, then try again.")
            response.headers["Retry-After"] = str(ceil(wait.total_seconds()))
            return response
        account = account_of(access.accounts, name, visit.text("password"))
        if account is None:
            return _page(visit, 401, "The name or the password is wrong.")
        throttle.forgive(name, address, visit.now)
        visit.session, visit.user = visit.sessions.signed_in(account, visit.now), account.user
        kept = kept_while_signing_in(visit)
        if kept["kept_path"]:
            return visit.page("kept.html", signed_in=True, **kept)
        return visit.go(local_path(visit.text("next")))

    def sign_out(visit: Visit) -> Response:
        visit.sessions.sign_out(visit.session, visit.now)
        visit.session = visit.sessions.new(visit.now)
        return visit.go(SIGN_IN, "You are signed out.")

    return (
        Page(SIGN_IN, show, open=True),
        Action(SIGN_IN, sign_in, open=True),
        Action("/sign-out", sign_out, open=True),
    )


def _page(visit: Visit, status: int = 200, trouble: str | None = None, **context: object) -> Response:
    shown = {"next": local_path(visit.text("next") or "/"), "name": visit.text("name"), **context}
    return visit.page("sign_in.html", status=status, trouble=trouble, **kept_while_signing_in(visit), **shown)
