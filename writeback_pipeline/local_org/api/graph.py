"""Composite graph: many small transactions in one counted call, each of them all or none and apart from the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from writeback_pipeline.local_org import records
from writeback_pipeline.local_org.api import dispatch, subrequests
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.api.subrequests import Send, Subrequest
from writeback_pipeline.local_org.errors import ApiError, json_parser_error
from writeback_pipeline.local_org.session import Session

_MOST_GRAPHS, _MOST_NODES, _DEEPEST, _MOST_TYPES = 75, 500, 15, 15
_FAILURES_UNTIL_HALT = 14


class _RolledBackError(Exception):
    """Undoes the transaction of a graph in which a node failed."""


def routes(send: Send) -> list[Route]:
    """The resource, its nodes answered by `send`."""

    def graph(session: Session, request: Request) -> Response:
        graphs = _read(request.json)
        failures = 0
        told: list[dict[str, Any]] = []
        for graph_id, nodes in graphs:
            if failures < _FAILURES_UNTIL_HALT:
                answers, successful = _run(send, session, request, nodes)
            else:
                answers, successful = [subrequests.rolled_back() for _ in nodes], False
            failures += not successful
            response = {"compositeResponse": subrequests.printed(nodes, answers)}
            told.append({"graphId": graph_id, "graphResponse": response, "isSuccessful": successful})
        return Response(200, {"graphs": told})

    return [Route("composite/graph", {"POST": graph})]


def _run(send: Send, session: Session, request: Request, nodes: Sequence[Subrequest]) -> tuple[list[Response], bool]:
    answers: list[Response] = []
    try:
        with records.atomic(session.connection):
            answers = subrequests.run(send, session, request, nodes, stop_on_failure=True)
            if subrequests.failed(answers[-1]):
                raise _RolledBackError
    except _RolledBackError:
        before, after = len(answers) - 1, len(nodes) - len(answers)
        halted = subrequests.rolled_back()
        return [halted] * before + [answers[-1]] + [halted] * after, False
    return answers, True


def _read(body: Any) -> list[tuple[str, list[Subrequest]]]:
    listed = body.get("graphs") if isinstance(body, dict) else None
    if not isinstance(listed, list) or not listed or not all(isinstance(each, dict) for each in listed):
        raise json_parser_error("The list graphs is required")
    graphs = [(str(each.get("graphId", "")), subrequests.read(each.get("compositeRequest"))) for each in listed]
    if len(graphs) > _MOST_GRAPHS:
        raise _limit(f"more than {_MOST_GRAPHS} graphs")
    if len({graph_id for graph_id, _ in graphs}) < len(graphs):
        raise ApiError(400, "INVALID_INPUT", "Each graphId may be used only once")
    if sum(len(nodes) for _, nodes in graphs) > _MOST_NODES:
        raise _limit(f"more than {_MOST_NODES} nodes")
    for _, nodes in graphs:
        _check(nodes)
    return graphs


def _check(nodes: Sequence[Subrequest]) -> None:
    types: set[tuple[str, str]] = set()
    depths: dict[str, int] = {}
    for node in nodes:
        if not dispatch.matches("sobjects/.+", node.path):
            raise ApiError(400, "INVALID_INPUT", f"{node.url} cannot be used in a graph, only sobjects resources can")
        types.add((node.method, node.path.split("/")[5]))
        depths[node.reference_id] = 1 + max((depths.get(name, 0) for name in node.depends_on), default=0)
    if len(types) > _MOST_TYPES:
        raise _limit(f"more than {_MOST_TYPES} different node types")
    if max(depths.values()) > _DEEPEST:
        raise _limit(f"a graph deeper than {_DEEPEST} nodes")


def _limit(what: str) -> ApiError:
    return ApiError(400, "LIMIT_EXCEEDED", f"The request can\u2019t contain {what}.")
