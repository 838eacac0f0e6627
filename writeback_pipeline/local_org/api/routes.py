"""The table of all resources below /services/data/vXX.0, and the one function that answers requests for them."""

from __future__ import annotations

from writeback_pipeline.local_org.api import (
    batch,
    bulk_ingest,
    bulk_query,
    collections,
    composite,
    describe,
    dispatch,
    graph,
    query,
    replication,
    root,
    rows,
)
from writeback_pipeline.local_org.api.http import Request, Response
from writeback_pipeline.local_org.session import Session


def handle(session: Session, request: Request) -> Response:
    """The answer to a request, whether it came alone or inside a composite call."""
    return dispatch.handle(ROUTES, session, request)


ROUTES = [
    *root.ROUTES,
    *describe.ROUTES,
    *replication.ROUTES,
    *rows.ROUTES,
    *query.ROUTES,
    *collections.ROUTES,
    *composite.routes(handle),
    *graph.routes(handle),
    *batch.routes(handle),
    *bulk_ingest.ROUTES,
    *bulk_query.ROUTES,
]
