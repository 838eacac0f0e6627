"""The console as an ASGI application: which pages there are, behind which guards."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from writeback_pipeline.console.access import Access
from writeback_pipeline.console.gate import Gate
from writeback_pipeline.console.guards import Guard
from writeback_pipeline.console.metrics import metrics_route
from writeback_pipeline.console.pages import all_bridges, overview, people, retry, send, settings, sign_in, writebacks
from writeback_pipeline.console.ports import Ports
from writeback_pipeline.console.rendering import PACKAGE
from writeback_pipeline.console.sessions import Sessions
from writeback_pipeline.console.visits import Action, Page, Place

MOST_BYTES = 1_000_000
"""The longest form that is read."""

THREADS = 20
"""Requests to one bridge of several that are answered at a time."""

_PAGES: Sequence[Page | Action] = (
    *overview.ROUTES,
    *writebacks.ROUTES,
    *retry.ROUTES,
    *people.ROUTES,
    *settings.ROUTES,
    *send.ROUTES,
)
"""What there is for each bridge."""


def create_app(ports: Ports, access: Access) -> Starlette:
    """The console over these ports, for those who may come in."""
    gate = Gate(ports, access, Sessions(access))
    return _app([gate.route(entry) for entry in (*_PAGES, *sign_in.routes(access))], {"": ports}, access, gate)


def create_app_of(bridges: Mapping[str, Ports], access: Access) -> Starlette:
    """The console of several bridges, each below its name, for those who may come in: they sign in once.

    Nothing is shared but sessions: a bridge whose database does not answer keeps its own threads waiting only.
    """
    sessions, names = Sessions(access), tuple(bridges)
    everywhere = Gate(bridges[names[0]], access, sessions, Place(bridges=names))  # its pages ask no single ledger
    routes = [everywhere.route(entry) for entry in (*all_bridges.routes(bridges), *sign_in.routes(access))]
    for name, ports in bridges.items():
        gate = Gate(ports, access, sessions, Place(name, names), CapacityLimiter(THREADS))
        routes += map(gate.route, _PAGES)
    return _app(routes, bridges, access, everywhere)


def _app(routes: Sequence[Route], ports: Mapping[str, Ports], access: Access, gate: Gate) -> Starlette:
    static = StaticFiles(directory=str(files(PACKAGE) / "static"))
    return Starlette(
        routes=[*routes, metrics_route(ports, access), Mount("/static", static)],
        middleware=[Middleware(Guard, access), Middleware(RequestBodyLimitMiddleware, MOST_BYTES)],
        exception_handlers={HTTPException: gate.refuse},
    )
