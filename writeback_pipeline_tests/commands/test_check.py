"""`writebacks check`: every line with its remedy, what the exit codes mean, and that it changes nothing."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus
from dagster._daemon.types import DaemonHeartbeat

from writeback_pipeline.commands.check import _findings
from writeback_pipeline.commands.check_dagster import instance_findings
from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.domain.findings import Level
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.environment import read_environment
from writeback_pipeline.local_org import package
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks

PERSON = people().contacts[0].id

on_a_safe_database = pytest.mark.duckdb_file
"""The tests' server does without fsync; `check` says so, and what it says of anything else is not all."""


@pytest.fixture(autouse=True)
def _own_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever instance a command chooses is forgotten with the test."""
    monkeypatch.setenv("DAGSTER_HOME", "")


@pytest.fixture
def in_organisation(home: Path) -> Callable[[Callable[..., Any]], None]:
    """Does something to the organisation of the home, as its administrator."""

    def do(action: Callable[..., Any]) -> None:
        organisation = open_org(home / "local_org.sqlite", with_sample=True)
        with organisation.connection() as connection:
            action(connection)
        organisation.close()

    return do


def findings(writebacks: Writebacks) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the findings by subject."""
    result = writebacks("check", "--format", "json")
    document = json.loads(result.stdout)
    told = {each["subject"]: each for each in document["findings"]}
    assert document["failures"] == sum(each["level"] == "failure" for each in told.values())
    assert document["warnings"] == sum(each["level"] == "warning" for each in told.values())
    return result.exit_code, told


def test_a_database_that_was_waited_for_puts_no_clock_in_doubt(home: Path) -> None:
    begun = datetime.now(UTC) - timedelta(minutes=5)
    found = {each.subject: each for each in _findings(read_environment(ledgers.variables(home)), begun)}
    assert found["clock"].level is Level.OK


@pytest.mark.duckdb_file
def test_a_new_home_is_ready_and_stays_as_it_is(writebacks: Writebacks, home: Path) -> None:
    first = writebacks("check")
    assert first.exit_code == 0
    assert first.stderr == ""
    lines = first.stdout.splitlines()
    assert lines[-1].endswith("3 warnings, 0 failures")
    assert [line.split()[0] for line in lines[:2]] == ["ok", "warning"]
    assert any(line.startswith("ok       Salesforce  Email Opt Out") for line in lines)
    assert not (home / "writebacks.duckdb").exists()
    assert not (home / "dagster").exists()


@on_a_safe_database
def test_without_the_package_check_and_delivery_give_the_same_configuration_error(
    writebacks: Writebacks, in_organisation: Callable[..., None], store: Store
) -> None:
    in_organisation(package.uninstall)
    writebacks("enqueue", "unsubscribe", "--contact", PERSON)
    code, told = findings(writebacks)
    assert code == 2
    assert [each["subject"] for each in told.values() if each["level"] == "failure"] == ["Email Opt Out"]
    assert "Salesforce_Writebacks" in told["Email Opt Out"]["remedy"]
    delivery = writebacks("run", "opt-outs")
    assert delivery.exit_code == 2
    assert delivery.stderr.count("Salesforce_Writebacks") == 1
    assert delivery.stderr.count("Error:") == 1
    dry = writebacks("run", "opt-outs", "--dry-run")
    assert dry.exit_code == 2
    assert dry.stderr.count("Salesforce_Writebacks") == 1
    (row,) = store.writebacks(WritebackFilter())
    assert (row.status, row.attempts) == (Status.PENDING, 0)


@on_a_safe_database
def test_what_may_pass_by_itself_exits_1(writebacks: Writebacks, in_organisation: Callable[..., None]) -> None:
    in_organisation(lambda connection: org_settings.change(connection, daily_api_requests=0))
    code, told = findings(writebacks)
    assert code == 1
    assert told["organisation"]["level"] == "failure"
    assert "REQUEST_LIMIT_EXCEEDED" in told["organisation"]["told"]


def test_incomplete_variables_are_a_line_beside_the_others(
    writebacks: Writebacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SALESFORCE_CLIENT_ID", "an-app")
    code, told = findings(writebacks)
    assert code == 2
    assert "SALESFORCE_URL" in told["connection"]["told"]
    assert told["database"]["level"] == "ok"


@pytest.mark.duckdb_file
def test_a_database_that_cannot_be_used_is_a_line_beside_the_others(writebacks: Writebacks, home: Path) -> None:
    home.mkdir()
    (home / "writebacks.duckdb").write_text("no database" * 1_000)
    code, told = findings(writebacks)
    assert code == 2
    assert told["database"]["level"] == "failure"
    assert told["Email Opt Out"]["level"] == "ok"


def test_a_setting_that_is_not_allowed_is_named(writebacks: Writebacks, home: Path, store: Store) -> None:
    store.settings()
    with open_database(ledgers.location(home)).writing() as session:
        session.execute("UPDATE settings SET value = 'Mars/Olympus' WHERE name = 'time_zone'")
    code, told = findings(writebacks)
    assert code == 2
    assert "time_zone" in told["settings"]["told"]


def test_what_is_owed_and_for_how_long_is_told(writebacks: Writebacks) -> None:
    writebacks("enqueue", "unsubscribe", "--contact", PERSON)
    _, told = findings(writebacks)
    assert told["database"]["told"].endswith("1 opt-outs are owed, the oldest for 0 minutes")


def test_a_place_of_events_that_is_not_there_is_a_failure_unless_activity_is_off(
    writebacks: Writebacks, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has none of the last 7 days" in findings(writebacks)[1]["mailing events"]["told"]
    monkeypatch.setenv("WRITEBACK_ACTIVITY", "/nowhere")
    code, told = findings(writebacks)
    assert (code, told["mailing events"]["level"]) == (2, "failure")
    assert "/nowhere" in told["mailing events"]["told"]
    writebacks("settings", "set", "activity_enabled=false")
    assert findings(writebacks)[1]["mailing events"]["level"] == "ok"


@on_a_safe_database
def test_an_instance_tells_whether_anything_runs_by_itself(
    writebacks: Writebacks, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = use_dagster_home(read_environment({"WRITEBACK_HOME": str(home)}), {})
    code, told = findings(writebacks)
    assert code == 0
    assert told["daemon"]["level"] == "warning"
    assert "sensor" in told["daemon"]["told"]
    assert (told["sensor and schedules"]["told"], told["pools"]["level"]) == ("none was stopped", "ok")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        for name in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), name, "here", []))
        repository = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("writeback_pipeline"), "__repository__")
        origin = RemoteInstigatorOrigin(repository, "opt_out_queue_sensor")
        instance.add_instigator_state(InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.STOPPED))
        instance.event_log_storage.set_concurrency_slots("mine", 3)
    _, told = findings(writebacks)
    assert told["daemon"]["level"] == "ok"
    assert told["sensor and schedules"]["told"] == "somebody stopped opt_out_queue_sensor"
    assert told["pools"]["told"] == "mine: 0 of 3 taken"
    monkeypatch.setenv("WRITEBACK_BRIDGE", "north")
    (other,) = [each for each in instance_findings(folder) if each.subject == "sensor and schedules"]
    assert other.told == "none was stopped", "what was stopped of another bridge is no concern of this one"


def test_an_instance_that_cannot_be_opened_is_a_line_beside_the_others(
    writebacks: Writebacks, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text("storage:\n  postgres:\n    postgres_url:\n      env: NOT_SET_BY_ANYBODY\n")
    result = writebacks("check")
    assert result.exit_code == 2
    assert "dagster.yaml cannot be used" in result.output
    assert "DAGSTER_POSTGRES_URL" in result.output
    assert "Email Opt Out" in result.output


@on_a_safe_database
def test_dagster_is_imported_only_where_there_is_an_instance(home: Path) -> None:
    program = (
        "import sys; from writeback_pipeline.cli import main\n"
        "try: main(['check'], prog_name='writebacks')\n"
        "except SystemExit as end: print(end.code, 'dagster' in sys.modules)"
    )
    variables = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=variables | ledgers.variables(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "0 False"
