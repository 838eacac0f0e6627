"""The command line as a whole: what it offers, how quickly it starts, how it ends."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from writeback_pipeline.cli import main
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.intake.files import CONTACT
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "opt_outs.csv"
LIGHT = [
    (["--help"], 0),
    (["enqueue", "--help"], 0),
    (["enqueue", "unsubscribe", "--contact", CONTACT], 0),
    (["enqueue", "bad_email"], 2),
    (["enqueue", "--file", str(SAMPLE)], 0),
    (["list"], 0),
    (["list", "--format", "json"], 0),
    (["list", "--format", "csv"], 0),
    (["retry", "--status", "failed"], 0),
    (["settings", "show"], 0),
    (["settings", "set", "sent=false"], 0),
    (["org", "--help"], 0),
    (["org", "show", CONTACT], 2),
]
HEAVY = ("dagster", "pandas", "numpy", "pyarrow", "starlette", "uvicorn", "rich.progress")
LOADED = f"""
import sys
from writeback_pipeline.cli import main
for arguments, code in {LIGHT!r}:
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == code, (arguments, end.code)
    for name in {HEAVY!r}:
        assert name not in sys.modules, (arguments, name)
"""


def run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **ledgers.variables(home)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_commands_that_run_no_job_load_nothing_heavy(home: Path) -> None:
    done = run(home, sys.executable, "-c", LOADED)
    assert done.returncode == 0, done.stderr


def test_every_command_of_the_overview_is_there_with_the_same_words(writebacks: Writebacks) -> None:
    assert isinstance(main, click.Group)
    overview = " ".join(writebacks("--help").stdout.split())
    with click.Context(main) as context:
        for name in main.list_commands(context):
            command = main.get_command(context, name)
            assert command is not None
            assert command.name == name
            assert command.help is not None
            assert f"{name} {command.help.splitlines()[0]}" in overview


def test_an_unknown_command_is_a_usage_error(writebacks: Writebacks) -> None:
    result = writebacks("deliver")
    assert result.exit_code == 2
    assert "No such command 'deliver'" in result.stderr


UNUSABLE = [
    ["list"], ["settings", "show"], ["retry", "1"], ["settings", "set", "sent=true"],
    ["run", "opt-outs"], ["run", "sync"],
]  # fmt: skip


@pytest.mark.parametrize("command", UNUSABLE, ids=" ".join)
@pytest.mark.duckdb_file
def test_an_unusable_database_is_told_with_its_name_and_a_remedy(
    writebacks: Writebacks, home: Path, command: list[str]
) -> None:
    home.mkdir()
    (home / "writebacks.duckdb").write_bytes(b"not a database " * 1_000)
    result = writebacks(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {home}/writebacks.duckdb cannot be used.")


@pytest.mark.parametrize(
    "command", [["run", "opt-outs"], ["demo"], ["check"], ["org", "serve"], ["org", "reset"]], ids=" ".join
)
@pytest.mark.duckdb_file
def test_a_home_that_cannot_be_made_is_told_with_its_name(
    writebacks: Writebacks, home: Path, command: list[str]
) -> None:
    home.write_text("a file where the folder should be")
    result = writebacks(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {home}")
    assert "WRITEBACK_HOME" in result.stderr


@pytest.mark.parametrize(
    "command", [["check"], ["org", "serve"], ["org", "show", CONTACT], ["run", "opt-outs", "--dry-run"]], ids=" ".join
)
@pytest.mark.duckdb_file
def test_a_file_that_is_no_organisation_is_told_with_its_name(
    writebacks: Writebacks, home: Path, command: list[str]
) -> None:
    home.mkdir()
    (home / "local_org.sqlite").write_bytes(b"not a database " * 1_000)
    result = writebacks(*command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: {home}/local_org.sqlite cannot be used (file is not a database)")


def test_make_dev_tells_in_words_what_is_set_up_wrongly(home: Path) -> None:
    home.write_text("a file where the folder should be")
    done = run(home, sys.executable, "-m", "writeback_pipeline.commands.dev")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {home}")


@pytest.mark.parametrize("seconds", ["soon", "0", "-5", "1.5"])
def test_a_poll_that_is_no_number_of_seconds_is_refused(writebacks: Writebacks, seconds: str) -> None:
    result = writebacks("run", "sync", WRITEBACK_POLL_SECONDS=seconds)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"Error: WRITEBACK_POLL_SECONDS is {seconds}: it has to be")


def test_a_database_that_is_not_supported_is_told(home: Path) -> None:
    done = run(home, "env", "WRITEBACK_DATABASE=mysql://nowhere/db", *COMMAND, "list")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: WRITEBACK_DATABASE must be")


@pytest.mark.parametrize(
    ("format_", "first"), [("table", "id "), ("json", '[{"id":'), ("csv", "id,kind,")], ids=["table", "json", "csv"]
)
def test_a_reader_that_closes_the_pipe_early_causes_no_traceback(
    writebacks: Writebacks, home: Path, format_: str, first: str
) -> None:
    assert writebacks("enqueue", "--file", SAMPLE).exit_code == 0
    process = subprocess.Popen(
        [*COMMAND, "list", "--limit", "1210", "--format", format_],
        env={**os.environ, **ledgers.variables(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(first)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(PATIENCE_SECONDS)


def test_two_homes_never_see_each_other(writebacks: Writebacks, tmp_path: Path) -> None:
    assert writebacks("enqueue", "unsubscribe", "--contact", CONTACT).exit_code == 0
    assert run(tmp_path / "other", *COMMAND, "list", "--format", "json").stdout == "[]\n"
