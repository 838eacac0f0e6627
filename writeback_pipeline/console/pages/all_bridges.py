"""The first page where there are several bridges: how each of them is, and the way to it."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response

from writeback_pipeline.console.asking import PATIENCE_SECONDS, AllBridges
from writeback_pipeline.console.ports import Ports
from writeback_pipeline.console.visits import Page, Visit
from writeback_pipeline.domain.condition import Condition, condition
from writeback_pipeline.domain.findings import Level

_SILENT = Condition(Level.FAILURE, f"its database did not answer within {PATIENCE_SECONDS:g} seconds")


def routes(bridges: Mapping[str, Ports]) -> Sequence[Page]:
    """The page over these bridges."""
    conditions = AllBridges(bridges, _condition)

    def show(visit: Visit) -> Response:
        shown = {name: how or _SILENT for name, how in conditions.ask().items()}
        return visit.page("all_bridges.html", shown=shown)

    return (Page("/", show),)


def _condition(ports: Ports) -> Condition:
    now = ports.clock()
    try:
        return condition(ports.ledger.measures(now), now)
    except ports.troubles as error:
        return Condition(Level.FAILURE, str(error))
