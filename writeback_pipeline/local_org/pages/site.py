"""Where each page is, and how a request becomes a visit: guarded, read, answered in a thread, given its headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from writeback_pipeline.local_org import wire
from writeback_pipeline.local_org.pages import fault_form, guard, home, record, setup
from writeback_pipeline.local_org.pages.visit import Page, Visit, go_to, render
from writeback_pipeline.local_org.state import Organisation

Clock = Callable[[], float]


def _from_lightning(visit: Visit) -> Response:
    return go_to(f"/record/{visit.path['record_id']}")


def _style(_: Visit) -> Response:
    return Response(_style_sheet(), media_type="text/css")


@cache
def _style_sheet() -> str:
    return (resources.files("writeback_pipeline.local_org.pages") / "org.css").read_text(encoding="utf-8")


_PAGES: list[tuple[str, str, Page]] = [
    ("GET", "/", home.home),
    ("GET", "/org.css", _style),
    ("GET", "/record/{record_id}", record.show),
    ("POST", "/record/{record_id}/{action}", record.act),
    ("GET", "/lightning/r/{record_id}/view", _from_lightning),
    ("GET", "/lightning/r/{object}/{record_id}/view", _from_lightning),
    ("GET", "/setup", setup.show),
    ("POST", "/setup/{what}", setup.change),
    ("GET", "/setup/faults/{kind}", fault_form.show),
    ("POST", "/setup/faults/{kind}", fault_form.arm),
]


def routes(organisation: Organisation, clock: Clock) -> list[Route]:
    """The pages of an opened organisation; the clock tells seconds since 1970."""

    def endpoint(page: Page) -> Callable[[Request], Awaitable[Response]]:
        def in_thread(request: Request, body: bytes) -> Response:
            form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
            with organisation.connection() as connection:
                return page(Visit(connection, clock(), request.path_params, dict(request.query_params), form))

        async def respond(request: Request) -> Response:
            why = guard.refusal(request.method, request.url.scheme, request.headers)
            if why is not None:
                answer = render("refused.html", 403, title="Not from there", told=why)
            else:
                body = await wire.body(request) or b""
                answer = await run_in_threadpool(in_thread, request, body)
            answer.headers.update(guard.HEADERS)
            return answer

        return respond

    return [Route(path, endpoint(page), methods=[method]) for method, path, page in _PAGES]
