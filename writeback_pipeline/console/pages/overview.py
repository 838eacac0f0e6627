"""Overview: how the last days went, what is owed now, what needs a person; and the pictures on it."""

from collections import OrderedDict
from hashlib import sha256
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from writeback_pipeline.console.charts import Chart
from writeback_pipeline.console.drawing import draw
from writeback_pipeline.console.pages.overview_charts import charts, summary
from writeback_pipeline.console.visits import Page, Visit
from writeback_pipeline.domain.overview import CALL_HOURS, Overview

_TITLES = {
    "opt-outs": ("Opt-outs", "by the day they were queued, as far as they have come"),
    "latency": ("From the queue into Salesforce", "how long opt-outs took, by the day they were written"),
    "activity": ("Mailing activity", "summaries by the day they were queued, as far as they have come"),
    "calls": ("API calls", f"by hour, of the last {CALL_HOURS}"),
}

_MOST_RECENT = 200
_recent: OrderedDict[str, Chart] = OrderedDict()


def show(visit: Visit) -> Response:
    """The page; it keeps itself up to date."""
    seen = visit.ports.ledger.overview(visit.now)
    return visit.page(
        "overview.html", seen=seen, charts=_shown(seen, visit.at("/charts")), settings=visit.ports.ledger.settings()
    )


def picture(visit: Visit) -> Response:
    """One chart, of the very numbers that the page showed, if it was shown lately; else of those that there are now.

    The address changes with the numbers, so that a browser may keep it.
    """
    asked, name = visit.request.query_params, visit.request.path_params["name"]
    chart = _recent.get(asked.get("v", "")) or charts(visit.ports.ledger.overview(visit.now)).get(name)
    if chart is None:
        raise HTTPException(404)
    drawn = draw(chart, dark=asked.get("theme") == "dark", narrow=asked.get("size") == "narrow")
    caching = "private, max-age=86400" if asked.get("v") == _version(chart) else "no-store"
    return Response(drawn, media_type="image/svg+xml", headers={"Cache-Control": caching})


def _remembered(chart: Chart) -> str:
    """The chart's version, under which its picture is asked for next."""
    version = _version(chart)
    _recent[version] = chart
    while len(_recent) > _MOST_RECENT:
        _recent.popitem(last=False)
    return version


def _shown(seen: Overview, path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "title": _TITLES[name][0],
            "about": _TITLES[name][1],
            "chart": chart,
            "summary": summary(chart),
            "address": f"{path}/{name}.svg?v={_remembered(chart)}",
        }
        for name, chart in charts(seen).items()
    ]


def _version(chart: Chart) -> str:
    return sha256(repr(chart).encode()).hexdigest()[:16]


ROUTES = (Page("/", show), Page("/charts/{name}.svg", picture))
