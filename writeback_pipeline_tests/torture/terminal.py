"""Somebody at a terminal: commands as processes of their own, in a home whose organisation is one, too."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.torture import ALL
from writeback_pipeline_tests.torture.processes import REPOSITORY

LONGEST = 3_600.0
"""Seconds that a delivery may take, its waits included."""

HURRY = not ALL and ledgers.STORE == "duckdb"
"""A database server's clock does not jump, and no machine may be far from it."""

_HURRIED = [sys.executable, "-m", "writeback_pipeline_tests.torture.hurried"]


class Terminal:
    """Somebody who types `writebacks ...` in that home; `ahead` is how far their clock is, in seconds."""

    def __init__(self, home: Path) -> None:
        self.ahead = 0.0
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))},
            **ledgers.variables(home),
        }

    def type(self, *words: str) -> None:
        """A command that comes to its end at once."""
        subprocess.run([*COMMAND, *words], env=self.variables, check=True, stdout=subprocess.DEVNULL)

    def wait(self, length: timedelta) -> None:
        """Do nothing for so long; in a hurry, by the clock of what is delivered next."""
        if HURRY:
            self.ahead += length.total_seconds()
        else:
            time.sleep(length.total_seconds())

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """A command, on its way."""
        return subprocess.Popen([*COMMAND, *words], env=self.variables, stdout=subprocess.DEVNULL)

    def deliver(self, *words: str) -> str:
        """`writebacks run ... --wait`, which must end well; what it said between its runs."""
        command = [*_HURRIED, str(self.ahead)] if HURRY else COMMAND
        ended = subprocess.run(
            [*command, "run", *words, "--wait"],
            env=self.variables,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
        assert ended.returncode == 0, (ended.stdout, ended.stderr)
        if HURRY:
            self.ahead = float(ended.stdout.splitlines()[-1])
        return ended.stderr

    @contextmanager
    def organisation(self) -> Iterator[None]:
        """The home's embedded organisation, served by a process of its own; commands deliver to it from now on."""
        command = [*COMMAND, "org", "serve", "--port", "0"]
        with subprocess.Popen(command, env=self.variables, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                address = next(line.split()[-1] for line in server.stdout if "listening" in line)
                self.variables |= {"SALESFORCE_URL": address}
                self.variables |= {"SALESFORCE_CLIENT_ID": "local", "SALESFORCE_CLIENT_SECRET": "local"}
                yield
            finally:
                server.terminate()
