"""`/metrics` for Prometheus: what the ledger's measures are called there, and who may read them.

On loopback without accounts everybody may; else a bearer token is asked for, as a scraper signs in to no page. Nothing
in it is about a person.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from secrets import compare_digest

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from writeback_pipeline.console.access import METRICS_TOKEN, Access
from writeback_pipeline.console.asking import AllBridges
from writeback_pipeline.console.ports import Ports
from writeback_pipeline.domain.latency import Latency
from writeback_pipeline.domain.measures import Measures


def metrics_route(ports: Mapping[str, Ports], access: Access) -> Route:
    """The route, which stands beside the pages' gate: no session, no form. Where there are several bridges their ports
    are given by name, else those of the pipeline by an empty one."""

    collector = _collector(ports)
    troubles = next(iter(ports.values())).troubles

    async def metrics(request: Request) -> Response:
        refusal = _refused(request, access)
        return refusal if refusal is not None else await run_in_threadpool(_answer, request, collector, troubles)

    return Route("/metrics", metrics, methods=["GET"])


def _collector(ports: Mapping[str, Ports]) -> Callable[[], Collector]:
    if "" in ports:
        alone = ports[""]

        def measured() -> Collector:
            now = alone.clock()
            return _Measured(alone.ledger.measures(now), now)

        return measured
    several = AllBridges(ports, _collected)
    return lambda: _OfBridges(several.ask())


def _refused(request: Request, access: Access) -> Response | None:
    if access.metrics_token is None:
        if not access.accounts:
            return None
        return PlainTextResponse(f"Set {METRICS_TOKEN} where the console runs, and send it as a bearer token.\n", 403)
    given = request.headers.get("authorization", "")
    if compare_digest(given.encode(), f"Bearer {access.metrics_token}".encode()):
        return None
    return PlainTextResponse("A bearer token is needed.\n", 401, {"WWW-Authenticate": "Bearer"})


def _answer(request: Request, collector: Callable[[], Collector], troubles: tuple[type[Exception], ...]) -> Response:
    registry = CollectorRegistry(auto_describe=False)
    try:
        registry.register(collector())
    except troubles as error:
        return PlainTextResponse(f"{error}\n", 503)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})


class _Measured(Collector):
    """The measures of one moment, as the library collects them."""

    def __init__(self, measures: Measures, now: datetime) -> None:
        self._measures = measures
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Every metric with its samples."""
        health, now = self._measures.health, self._now
        yield _labelled(
            "writebacks_owed",
            "Writebacks in which something is still to be done, or that failed.",
            ("kind", "status"),
            {(kind.value, status.value): count for (kind, status), count in health.owed.items()},
        )
        yield _gauge(
            "writebacks_oldest_opt_out_age_seconds",
            "How long the oldest owed opt-out has been queued.",
            (now - (health.oldest_opt_out or now)).total_seconds(),
        )
        yield _labelled(
            "writebacks_opt_out_latency_seconds",
            "How long the opt-outs took that were written in the last 24 hours; quantile 1 is the longest.",
            ("stretch", "quantile"),
            _quantiles(self._measures.latency),
        )
        yield _gauge("writebacks_api_calls_made", "API calls of the last 24 hours.", health.calls_made)
        yield _gauge("writebacks_api_calls_budget", "API calls that are ours in 24 hours.", health.calls_ours)
        yield _gauge("writebacks_breaker_open", "1 while Salesforce is left alone.", health.hold is not None)
        yield _labelled(
            "writebacks_incidents",
            "Incidents that last.",
            ("rule", "severity"),
            Counter((each.rule, each.severity.value) for each in self._measures.incidents),
        )
        yield _labelled(
            "writebacks_last_tick_age_seconds",
            "How long ago a sensor or schedule ticked last.",
            ("name",),
            {(name,): (now - beat.at).total_seconds() for name, beat in health.heartbeats.items()},
        )
        version_ = self._measures.schema_version
        yield _gauge("writebacks_schema_version", "Migrations that the database has seen.", version_)
        yield InfoMetricFamily("writebacks_build", "What is running.", {"version": version("writeback-pipeline")})


class _OfBridges(Collector):
    """The measures of several bridges, each sample with its bridge; one whose ledger does not answer is down."""

    def __init__(self, collected: Mapping[str, list[Metric] | None]) -> None:
        self._collected = collected

    def collect(self) -> Iterator[Metric]:
        """Every metric with the samples of all bridges."""
        merged: dict[str, Metric] = {}
        for name, metrics in self._collected.items():
            for metric in metrics or ():
                into = merged.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                into.samples += [each._replace(labels={"bridge": name, **each.labels}) for each in metric.samples]
        up: dict[tuple[str, ...], float] = {
            (name,): float(metrics is not None) for name, metrics in self._collected.items()
        }
        yield _labelled("writebacks_up", "1 if the bridge's ledger answered.", ("bridge",), up)
        yield from merged.values()


def _collected(ports: Ports) -> list[Metric] | None:
    now = ports.clock()
    try:
        return list(_Measured(ports.ledger.measures(now), now).collect())
    except ports.troubles:
        return None


def _quantiles(latency: Latency | None) -> dict[tuple[str, ...], float]:
    if latency is None:
        return {}
    spreads = {
        "event_to_queued": latency.event_to_queued,
        "queued_to_written": latency.queued_to_written,
        "event_to_written": latency.event_to_written,
    }
    return {
        (stretch, quantile): seconds
        for stretch, spread in spreads.items()
        for quantile, seconds in (("0.5", spread.p50), ("0.95", spread.p95), ("1", spread.longest))
    }


def _labelled(
    name: str, about: str, labels: Sequence[str], samples: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, sample in sorted(samples.items()):
        family.add_metric(values, sample)
    return family


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=float(value))
