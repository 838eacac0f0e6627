"""`writebacks alerts`: one message per incident, whoever looks and however often, and one when it is over."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.alerting.receivers import Hooks, mail_server, webhook
from writeback_pipeline_tests.commands.conftest import Writebacks

PERSON = people().contacts[0].id
SCRIPT = str(Path(sys.executable).parent / "writebacks")


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    """A webhook that the environment names."""
    with webhook() as made:
        monkeypatch.setenv("WRITEBACK_ALERT_WEBHOOK", made.url)
        yield made


@pytest.fixture
def failed(store: Store, writebacks: Writebacks, settle_all: object) -> Store:
    """A store in which a row needs a person."""
    assert writebacks("enqueue", "unsubscribe", "--contact", PERSON).exit_code == 0
    settle_all(Status.FAILED, error_code="DUPLICATES_DETECTED")  # type: ignore[operator]
    return store


def later(home: Path, passed: timedelta) -> None:
    """Let that much time pass for the notices: their next try and last telling move into the past."""
    with open_database(ledgers.location(home)).writing() as session:
        for column in ("not_before", "told_at"):
            session.execute(f"UPDATE notices SET {column} = {column} - $1::INTERVAL", [passed])


def looks(home: Path, count: int) -> list[subprocess.Popen[str]]:
    """That many processes that look at once."""
    variables = os.environ | ledgers.variables(home)
    command = [SCRIPT, "alerts", "check"]
    return [
        subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]


def test_nothing_wrong_exits_0_and_sends_nothing(writebacks: Writebacks, hooks: Hooks) -> None:
    result = writebacks("alerts", "check")
    assert (result.exit_code, result.stdout, hooks.texts) == (0, "nothing is wrong\n", [])


def test_an_incident_is_told_once_over_many_looks_and_once_when_it_is_over(
    writebacks: Writebacks, hooks: Hooks, failed: Store
) -> None:
    codes = [writebacks("alerts", "check").exit_code for _ in range(4)]
    assert codes == [1, 1, 1, 1]
    assert len(hooks.texts) == 1
    assert "Rows need a person: failed: 1 opt-outs and 0 rows of activity." in hooks.texts[0]
    assert "docs/runbook.md#rows-need-a-person" in hooks.texts[0]
    failed.retry(statuses=[Status.FAILED])
    assert [writebacks("alerts", "check").exit_code for _ in range(3)] == [0, 0, 0]
    assert len(hooks.texts) == 2
    assert hooks.texts[1].startswith("[over] Rows need a person")


def test_two_processes_at_once_send_one_message(home: Path, hooks: Hooks, failed: Store) -> None:
    hooks.seconds = 1.0  # the second one looks while the first is still sending
    for process in looks(home, 2):
        process.communicate()
        assert process.returncode == 1
    assert len(hooks.paths) == 1


def test_a_receiver_that_is_down_loses_nothing_and_delays_nothing(
    writebacks: Writebacks, home: Path, hooks: Hooks, failed: Store
) -> None:
    hooks.status = 500
    first = writebacks("alerts", "check")
    assert first.exit_code == 1
    assert "Not told by webhook: 127.0.0.1 answered HTTP 500" in first.stderr
    assert "not told by webhook" in writebacks("alerts", "check").stdout
    assert len(hooks.paths) == 1, "not tried again at once"
    hooks.status = 200
    later(home, timedelta(minutes=2))
    assert "told by webhook" in writebacks("alerts", "check").stdout
    assert len(hooks.texts) == 1


def test_a_sender_that_dies_in_mid_call_is_followed_by_another(
    writebacks: Writebacks, home: Path, hooks: Hooks, failed: Store
) -> None:
    hooks.status, hooks.seconds = 500, 2.0
    (process,) = looks(home, 1)
    while not hooks.paths:
        assert process.poll() is None
    process.kill()
    process.communicate()
    hooks.status, hooks.seconds = 200, 0.0
    writebacks("alerts", "check")
    assert hooks.texts == [], "its turn is not over"
    later(home, timedelta(minutes=3))
    writebacks("alerts", "check")
    assert len(hooks.texts) == 1


def test_what_lasts_for_a_day_is_told_again(writebacks: Writebacks, home: Path, hooks: Hooks, failed: Store) -> None:
    writebacks("alerts", "check")
    later(home, timedelta(hours=25))
    writebacks("alerts", "check")
    writebacks("alerts", "check")
    assert len(hooks.texts) == 2
    assert "still: failed: 1 opt-outs" in hooks.texts[1]


def test_mail_and_webhook_are_told_each(
    writebacks: Writebacks, hooks: Hooks, failed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server() as mails:
        monkeypatch.setenv("WRITEBACK_ALERT_SMTP_URL", f"smtp://127.0.0.1:{mails.port}")
        monkeypatch.setenv("WRITEBACK_ALERT_MAIL_FROM", "writebacks@example.org")
        monkeypatch.setenv("WRITEBACK_ALERT_MAIL_TO", "ops@example.org")
        document = json.loads(writebacks("alerts", "check", "--format", "json").stdout)
        writebacks("alerts", "check")
    assert (len(hooks.texts), len(mails.subjects), document["told"]) == (1, 1, 2)
    (incident,) = document["incidents"]
    assert (incident["rule"], incident["severity"], set(incident["told"])) == (
        "rows_need_a_person",
        "warning",
        {"mail", "webhook"},
    )


def test_a_sensor_that_stopped_ticking_is_noticed_without_dagster(
    writebacks: Writebacks, hooks: Hooks, store: Store
) -> None:
    minutes = timedelta(minutes=1)
    store.beat("opt_out_queue_sensor", 0.5 * minutes, datetime.now(UTC) - 9 * minutes)
    assert writebacks("alerts", "check").exit_code == 0
    store.beat("opt_out_queue_sensor", 0.5 * minutes, datetime.now(UTC) - 11 * minutes)
    assert writebacks("alerts", "check").exit_code == 1
    assert "opt_out_queue_sensor has not ticked for 11 min" in hooks.texts[0]
    store.beat("opt_out_queue_sensor", 0.5 * minutes, datetime.now(UTC))
    assert writebacks("alerts", "check").exit_code == 0
    assert "[over] Nothing is delivered by itself" in hooks.texts[1]


def test_it_does_without_dagster(home: Path, failed: Store) -> None:
    program = (
        "import sys; from writeback_pipeline.cli import main\n"
        "try: main(['alerts', 'check'], prog_name='writebacks')\n"
        "except SystemExit as end: print(end.code, 'dagster' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | ledgers.variables(home),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.splitlines()[-1] == "1 False"


def test_a_wrong_configuration_exits_2_and_is_named(writebacks: Writebacks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRITEBACK_ALERT_MAIL_TO", "ops@example.org")
    for arguments in (("alerts", "check"), ("alerts", "test")):
        result = writebacks(*arguments)
        assert result.exit_code == 2
        assert "WRITEBACK_ALERT_SMTP_URL and WRITEBACK_ALERT_MAIL_FROM missing" in result.stderr
    findings = json.loads(writebacks("check", "--format", "json").stdout)["findings"]
    (alerts,) = [each for each in findings if each["subject"] == "alerts"]
    assert alerts["level"] == "failure"


def test_each_channel_is_tested(writebacks: Writebacks, hooks: Hooks) -> None:
    result = writebacks("alerts", "test")
    assert (result.exit_code, result.stdout) == (0, "webhook: sent\n")
    assert hooks.texts[0].startswith("[test]")
    hooks.status = 404
    result = writebacks("alerts", "test")
    assert (result.exit_code, result.stdout) == (1, "webhook: 127.0.0.1 answered HTTP 404\n")


def test_without_a_channel_there_is_nothing_to_test(writebacks: Writebacks) -> None:
    result = writebacks("alerts", "test")
    assert result.exit_code == 2
    assert "WRITEBACK_ALERT_WEBHOOK" in result.stderr
