"""The first page where there are several bridges: how each of them is, and the way to it.

Every ledger is asked in a thread of its own, and not waited for longer than a reader waits: one that does not answer
is told as that.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime

from starlette.responses import Response

from writeback_pipeline.console.ports import Ports
from writeback_pipeline.console.visits import Page, Visit
from writeback_pipeline.domain.condition import Condition, condition
from writeback_pipeline.domain.findings import Level

PATIENCE_SECONDS = 2.0


def routes(bridges: Mapping[str, Ports]) -> Sequence[Page]:
    """The page over these bridges."""
    threads = ThreadPoolExecutor(len(bridges), "conditions")
    asked: dict[str, Future[Condition]] = {}

    def show(visit: Visit) -> Response:
        for name, ports in bridges.items():
            if name not in asked or asked[name].done():  # an earlier question that is still open is not put again
                asked[name] = threads.submit(_condition, ports, visit.now)
        wait(list(asked.values()), timeout=PATIENCE_SECONDS)
        shown = {name: asked[name].result() if asked[name].done() else _SILENT for name in bridges}
        return visit.page("all_bridges.html", shown=shown)

    return (Page("/", show),)


_SILENT = Condition(Level.FAILURE, f"its database did not answer within {PATIENCE_SECONDS:g} seconds")


def _condition(ports: Ports, now: datetime) -> Condition:
    try:
        return condition(ports.ledger.measures(now), now)
    except ports.troubles as error:
        return Condition(Level.FAILURE, str(error))
