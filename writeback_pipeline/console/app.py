"""The console as an ASGI application: which pages there are, behind which guards."""

from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from writeback_pipeline.console.access import Access
from writeback_pipeline.console.gate import Gate
from writeback_pipeline.console.guards import Guard
from writeback_pipeline.console.metrics import metrics_route
from writeback_pipeline.console.pages import overview, people, retry, send, settings, sign_in, writebacks
from writeback_pipeline.console.ports import Ports
from writeback_pipeline.console.rendering import PACKAGE
from writeback_pipeline.console.sessions import Sessions

MOST_BYTES = 1_000_000
"""The longest form that is read."""


def create_app(ports: Ports, access: Access) -> Starlette:
    """The console over these ports, for those who may come in."""
    gate = Gate(ports, access, Sessions(access))
    entries = [
        *overview.ROUTES,
        *writebacks.ROUTES,
        *retry.ROUTES,
        *people.ROUTES,
        *settings.ROUTES,
        *send.ROUTES,
        *sign_in.routes(access),
    ]
    static = StaticFiles(directory=str(files(PACKAGE) / "static"))
    return Starlette(
        routes=[*map(gate.route, entries), metrics_route(ports, access), Mount("/static", static)],
        middleware=[Middleware(Guard, access), Middleware(RequestBodyLimitMiddleware, MOST_BYTES)],
        exception_handlers={HTTPException: gate.refuse},
    )
