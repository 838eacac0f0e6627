"""Writeback Settings."""

from starlette.responses import Response

from writeback_pipeline.console.visits import Page, Visit


def show(visit: Visit) -> Response:
    """The settings as they are."""
    return visit.page("settings.html", settings=visit.ports.ledger.activity_settings())


ROUTES = (Page("/settings", show),)
