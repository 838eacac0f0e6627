"""`writebacks run activity` in a home of its own, with the embedded organisation and its people."""

import json
import os
import pty
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from writeback_pipeline.cli import main
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.mailings import DAY, Mailings

PERSON = "003wb000000CcWNAA0"  # of the sample
NOBODY = "003wb00000zzzzzAAA"


@pytest.fixture
def mailings(home: Path) -> Mailings:
    return Mailings(home / "mailing_activity")


def run(home: Path, *arguments: str, activity: Path | None = None) -> Result:
    environment = {**ledgers.variables(home), "SALESFORCE_URL": None, "DAGSTER_HOME": None}
    environment["WRITEBACK_ACTIVITY"] = str(activity) if activity else None
    return CliRunner().invoke(main, ["run", "activity", *arguments], env=environment)


def document(result: Result) -> list[dict[str, Any]]:
    lines = json.loads(result.stdout)
    assert isinstance(lines, list)
    return lines


def test_windows_are_delivered_and_again_without_a_change(home: Path, mailings: Mailings) -> None:
    mailings.sent(PERSON, None)
    mailings.sent(PERSON, when="11-21 09:05")
    ends = ("--from", DAY, "--to", "2025-11-21")
    first = run(home, *ends, "--format", "json")
    assert first.exit_code == 0, first.output
    lines = document(first)
    assert [(line["window"], line["statuses"], line["error"]) for line in lines] == [
        (DAY, {"written": 1, "no_recipient": 1}, None),
        ("2025-11-21", {"written": 1}, None),
    ]
    assert [line["events"] for line in lines] == [2, 1]
    again = run(home, *ends)
    assert (again.exit_code, again.stdout) == (0, f"{DAY}: 1 unchanged\n2025-11-21: 1 unchanged\n")


def test_a_row_that_needs_a_person_exits_1_and_names_the_remedy(home: Path, mailings: Mailings) -> None:
    mailings.sent(PERSON, NOBODY)
    result = run(home, "--from", DAY)
    assert result.exit_code == 1
    assert result.stdout == f"{DAY}: 1 failed, 1 written\n"
    assert "writebacks list --status failed" in result.stderr
    again = run(home, "--from", DAY)
    assert (again.exit_code, again.stdout) == (1, f"{DAY}: 1 unchanged, 1 failed before\n")


def test_a_window_without_events_says_that_there_was_nothing_to_write(home: Path) -> None:
    assert run(home, "--from", DAY).stdout == f"{DAY}: nothing to write\n"


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_folder_of_events_that_does_not_exist_is_refused_by_the_variables_name(
    home: Path, arguments: tuple[str, ...]
) -> None:
    result = run(home, "--from", DAY, *arguments, activity=home / "mailing_activty")
    assert result.exit_code == 2
    assert f"WRITEBACK_ACTIVITY is {home / 'mailing_activty'}, which does not exist" in result.stderr
    assert not (home / "dagster").exists()


def test_somebody_at_a_terminal_sees_how_far_the_delivery_is(home: Path, mailings: Mailings) -> None:
    mailings.sent(PERSON)
    ours, theirs = pty.openpty()
    environment = {**os.environ, **ledgers.variables(home), "TERM": "xterm"}
    command = [*COMMAND, "run", "activity", "--from", DAY]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # the other end is closed and everything was read
            while True:
                seen += os.read(ours, 65_536)
        said, _ = process.communicate()
    os.close(ours)
    assert b"Windows" in seen
    assert f"Tasks of {DAY}".encode() in seen
    assert b"1/1" in seen
    assert (process.returncode, said) == (0, f"{DAY}: 1 written\n")


def test_a_spoiled_file_is_named_and_does_not_stop_the_next_window(home: Path, mailings: Mailings) -> None:
    spoiled = mailings.spoil(DAY)
    mailings.sent(PERSON, when="11-21 09:05")
    result = run(home, "--from", DAY, "--to", "2025-11-21")
    assert result.exit_code == 1
    assert str(spoiled) in result.stdout
    assert "Replace the file" in result.stdout
    assert "2025-11-21: 1 written" in result.stdout


def test_a_dry_run_says_what_it_would_take_and_writes_nothing(home: Path, mailings: Mailings) -> None:
    mailings.sent(PERSON, None)
    mailings.opened(PERSON)
    result = run(home, "--from", DAY, "--kind", "sent", "--kind", "opened", "--dry-run", "--format", "json")
    assert result.exit_code == 0
    sent, opened = document(result)
    assert (sent["kind"], sent["events"], sent["tasks"], sent["no_recipient"], sent["api_calls"]) == (
        "sent",
        2,
        1,
        1,
        1,
    )
    assert (opened["kind"], opened["tasks"]) == ("opened", 1)
    assert not (home / "local_org.sqlite").exists()
    assert not (home / "dagster").exists()


def test_a_disabled_activity_is_refused_with_the_remedy(home: Path) -> None:
    ledgers.store_of(home).change_settings({"activity_enabled": "false"}, "tester", datetime.now(UTC))
    for arguments in ((), ("--dry-run",)):
        result = run(home, "--from", DAY, *arguments)
        assert result.exit_code == 2
        assert "activity_enabled=true turns it on" in result.stderr
    assert not (home / "dagster").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "20.11.2025"), "write its first day as YYYY-MM-DD"),
        (("--from", DAY, "--to", "2025-11-19"), "the range ends before it begins"),
        (("--from", DAY, "--occurrence", "weekly"), "the one with that day is 2025-11-17"),
        (("--from", "2024-12-31"), "windows begin with 2025-01-06"),
        (("--from", (datetime.now(UTC) + timedelta(days=3)).date().isoformat()), "has not begun"),
        (("--from", DAY, "--kind", "clicked"), "Invalid value for '--kind'"),
        ((), "Missing option '--from'"),
    ],
)
def test_what_cannot_be_delivered_is_refused_before_anything_starts(
    home: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = run(home, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (home / "dagster").exists()


def test_without_a_chosen_kind_one_has_to_be_named(home: Path) -> None:
    ledgers.store_of(home).change_settings({"sent": "false"}, "tester", datetime.now(UTC))
    result = run(home, "--from", DAY)
    assert result.exit_code == 2
    assert "name one with --kind" in result.stderr
