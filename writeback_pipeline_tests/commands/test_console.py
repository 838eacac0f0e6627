"""`writebacks console` as a process: it serves, ends when asked to, and refuses to be reached by others unprotected."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from argon2 import PasswordHasher
from click.testing import CliRunner

from writeback_pipeline.cli import main
from writeback_pipeline.commands import console as command
from writeback_pipeline.commands.console_ports import pipeline
from writeback_pipeline.commands.dagster_webserver import DagsterWebserver
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

PROJECT = Path(__file__).parents[2]
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse battery")


@contextmanager
def running(arguments: Sequence[str], variables: Mapping[str, str]) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A console of its own, once it has said where it is, and its port; waited for at the end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "WRITEBACK_"))}
    with subprocess.Popen(
        [*COMMAND, "console", *arguments],
        env=kept | dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        found = re.fullmatch(r"Console   http://\S+:(\d+)\n", process.stdout.readline())
        assert found is not None
        yield process, int(found[1])


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_a_new_home_until_it_is_asked_to_end(home: Path, ending: signal.Signals) -> None:
    with running(["--port", "0"], ledgers.variables(home)) as (process, port):
        page = requests.get(f"http://127.0.0.1:{port}/settings", timeout=PATIENCE_SECONDS)
        process.send_signal(ending)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (page.status_code, errors) == (200, "")
    assert "Writeback Settings" in page.text
    assert process.returncode in (0, -ending)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_others_than_loopback_are_refused_without_accounts_and_a_secret(writebacks: Writebacks, host: str) -> None:
    result = writebacks("console", "--host", host, "--port", 0)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "set WRITEBACK_CONSOLE_USERS to at least one account" in result.stderr
    assert "WRITEBACK_CONSOLE_SECRET to 32 or more random characters" in result.stderr


def test_with_accounts_and_a_secret_it_listens_anywhere_and_lets_nobody_in_unasked(home: Path) -> None:
    variables = {
        **ledgers.variables(home),
        "WRITEBACK_CONSOLE_USERS": f"olga:operator:{HASH}",
        "WRITEBACK_CONSOLE_SECRET": "s" * 32,
    }
    with running(["--host", "0.0.0.0", "--port", "0"], variables) as (process, port):
        page = requests.get(f"http://127.0.0.1:{port}/settings", timeout=PATIENCE_SECONDS)
        process.terminate()
    assert page.url.endswith("/sign-in?next=%2Fsettings")
    assert ">Sign in<" in page.text


def test_a_port_that_is_taken_is_named_with_the_remedy(writebacks: Writebacks) -> None:
    from writeback_pipeline.console.server import listen

    with listen(command.HOST, 0) as taken:
        result = writebacks("console", "--port", taken.getsockname()[1])
    assert result.exit_code == 2
    assert "cannot be used (Address already in use): choose others, or port 0" in result.stderr


def test_a_password_from_standard_input_becomes_the_hash_of_an_account(home: Path) -> None:
    result = CliRunner().invoke(main, ["console", "hash-password"], input="correct horse battery\n")
    assert result.exit_code == 0
    assert PasswordHasher().verify(result.stdout.strip(), "correct horse battery")


def test_a_short_password_is_refused(home: Path) -> None:
    result = CliRunner().invoke(main, ["console", "hash-password"], input="short\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "12 characters or more" in result.stderr


def test_links_lead_to_dagster_as_browsers_know_it_and_runs_go_to_where_it_is(tmp_path: Path) -> None:
    where = {"WRITEBACK_HOME": str(tmp_path), "WRITEBACK_DAGSTER_URL": "http://webserver:3000"}
    assert pipeline(where).ports.links.run("r") == "http://webserver:3000/runs/r"
    ports = pipeline(where | {"WRITEBACK_DAGSTER_PUBLIC_URL": "https://dagster.example.org/"}).ports
    assert ports.links.run("r") == "https://dagster.example.org/runs/r"
    assert ports.runs == DagsterWebserver("http://webserver:3000", "")


def test_the_console_imports_neither_dagster_nor_a_plotting_library() -> None:
    code = (
        "import sys; from writeback_pipeline.console.app import create_app; import writeback_pipeline.bindings; "
        "print(sorted({'dagster', 'matplotlib', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([COMMAND[0], "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_installation_has_the_templates_and_the_static_files(tmp_path: Path) -> None:
    build = [COMMAND[0], "-c", "from setuptools import setup; setup()", "-q", "build", "--build-base", str(tmp_path)]
    subprocess.run(build, cwd=PROJECT, check=True, capture_output=True)
    console = PROJECT / "writeback_pipeline" / "console"
    files = [*(console / "templates").iterdir(), *(console / "static").iterdir()]
    assert len(files) > 10
    assert all((tmp_path / "lib" / file.relative_to(PROJECT)).is_file() for file in files)
