"""Dagster's webserver as the console meets it: its schema, and everything that may come in place of an answer."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from dagster_graphql.schema import create_schema
from graphql import parse, validate

from writeback_pipeline.commands import dagster_webserver
from writeback_pipeline.commands.dagster_webserver import DagsterWebserver
from writeback_pipeline.console.ports import Launch, RunsUnavailable

LAUNCH = Launch("deliver_daily_activity", "2026-11-20", ("daily_sent_writebacks",), {"writebacks/from": "console"})


@contextmanager
def answering(status: int, body: str, kind: str = "application/json") -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A server that answers everything with that; its address, and what it was asked."""
    asked: list[dict[str, object]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def data(**fields: object) -> str:
    return json.dumps({"data": fields})


@pytest.mark.parametrize("query", [dagster_webserver._LAUNCH, dagster_webserver._TAGGED])
def test_dagster_s_own_schema_takes_what_is_asked(query: str) -> None:
    assert validate(create_schema().graphql_schema, parse(query)) == []


def test_a_run_of_a_bridge_is_started_in_its_code_location_by_its_keys() -> None:
    with answering(200, data(launchRun={"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}})) as (url, asked):
        DagsterWebserver(url, "south-east").launch(LAUNCH)
    selector = asked[0]["variables"]["executionParams"]["selector"]  # type: ignore[index]
    assert selector["repositoryLocationName"] == "south-east"
    assert selector["assetSelection"] == [{"path": ["south_east", "daily_sent_writebacks"]}]


def test_a_run_is_started_by_job_partition_and_assets() -> None:
    with answering(200, data(launchRun={"__typename": "LaunchRunSuccess", "run": {"runId": "r1"}})) as (url, asked):
        assert DagsterWebserver(url).launch(LAUNCH) == "r1"
    params = asked[0]["variables"]["executionParams"]  # type: ignore[index]
    assert params["selector"]["jobName"] == "deliver_daily_activity"
    assert params["selector"]["assetSelection"] == [{"path": ["daily_sent_writebacks"]}]
    assert {"key": "dagster/partition", "value": "2026-11-20"} in params["executionMetadata"]["tags"]


def test_runs_come_with_their_status_and_tags() -> None:
    run = {"runId": "r1", "status": "STARTED", "tags": [{"key": "a", "value": "b"}]}
    with answering(200, data(runsOrError={"__typename": "Runs", "results": [run]})) as (url, _):
        (found,) = DagsterWebserver(url).tagged("a", "b", 10)
    assert (found.id, found.status, found.tags, found.is_over) == ("r1", "started", {"a": "b"}, False)


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, data(launchRun={"__typename": "PipelineNotFoundError", "message": "x"}), "reload the location"),
        (
            200,
            data(launchRun={"__typename": "PythonError", "message": "boom\n  File x"}),
            "did not start the run: boom$",
        ),
        (200, data(launchRun={"__typename": "UnauthorizedError", "message": ""}), "UnauthorizedError"),
        (200, data(launchRun={"__typename": "RunConfigValidationInvalid"}), "RunConfigValidationInvalid"),
        (
            400,
            json.dumps({"errors": [{"message": "no such field"}]}),
            "is no Dagster webserver, or one of another version",
        ),
        (200, data(launchRun=None), "is no Dagster webserver"),
        (200, data(), "is no Dagster webserver"),
        (200, "[]", "is no Dagster webserver"),
        (200, "<html>sign in</html>", "is no Dagster webserver"),
        (502, "<html>bad gateway</html>", "is no Dagster webserver"),
        (302, "", "is no Dagster webserver"),
    ],
)
def test_whatever_comes_in_place_of_a_run_is_one_sentence_with_the_remedy(status: int, body: str, says: str) -> None:
    with answering(status, body) as (url, _), pytest.raises(RunsUnavailable, match=says) as refusal:
        DagsterWebserver(url).launch(LAUNCH)
    assert "\n" not in str(refusal.value)


def test_a_webserver_that_is_not_there_is_named_with_the_remedy() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(RunsUnavailable, match=f"cannot be reached at {url}. Start its webserver"):
            DagsterWebserver(url).launch(LAUNCH)


def test_nobody_said_where_dagster_is() -> None:
    with pytest.raises(RunsUnavailable, match="set WRITEBACK_DAGSTER_URL"):
        DagsterWebserver(None).launch(LAUNCH)


@pytest.mark.parametrize(
    "ask", [lambda server: server.launch(LAUNCH), lambda server: server.tagged("a", "b", 1)], ids=["launch", "look"]
)
def test_a_webserver_that_never_answers_is_given_up(
    ask: Callable[[DagsterWebserver], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_webserver, "LAUNCH_SECONDS", 0.2)
    monkeypatch.setattr(dagster_webserver, "LOOK_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(RunsUnavailable, match="may have happened: look at its runs"):
            ask(DagsterWebserver(f"http://127.0.0.1:{silent.getsockname()[1]}"))
