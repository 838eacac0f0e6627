"""An installation with workers, set up as docs/workers.md says: PostgreSQL, Redis, a daemon and Celery workers.

Every process is the leader of its own group and has a home of its own, as if it were alone on a machine. What survives
them all is the embedded organisation, served from the test's process, and its tables are what is judged by.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import requests
import yaml

from writeback_pipeline.commands.dagster_home import PROJECT
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.deploy.redis import own_redis
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, reserved_port
from writeback_pipeline_tests.postgres import server
from writeback_pipeline_tests.world import World

BIN = Path(sys.executable).parent
DEPLOY = PROJECT / "deploy" / "celery"
SHORT_TIMES = Path(__file__).parent / "short_times"

_databases = count(1)


@dataclass
class Process:
    """A process and everything that it started, as a machine of its own."""

    name: str
    leader: subprocess.Popen[bytes]
    log: Path

    def die(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the whole group at once, as a machine does that loses power."""
        with suppress(ProcessLookupError):
            os.killpg(self.leader.pid, how)
        self.leader.wait(60)


@dataclass
class Installation:
    """What the machines share, and the machines."""

    folder: Path
    variables: dict[str, str]
    instance: dg.DagsterInstance
    processes: dict[str, Process] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)
    _ports: ExitStack = field(default_factory=ExitStack)

    def daemon(self) -> Process:
        """Start Dagster's daemon, which has the code location in a process of its own."""
        return self._start("daemon", str(BIN / "dagster-daemon"), "run", "-w", str(PROJECT / "workspace.yaml"))

    def worker(self, name: str) -> Process:
        """Start a worker with one process for runs, in the place of a dead one too, and wait until it answers."""
        words = ["-A", "dagster_celery.app", "worker", "-Q", "dagster", "--disable-prefetch", "-c", "1"]
        started = self._start(name, str(BIN / "celery"), *words, "-n", f"{name}@%h")
        self.wait(lambda: "ready." in started.log.read_text(), f"{name} is ready")
        return started

    def webserver(self) -> str:
        """Start Dagster's webserver; its address."""
        address = f"http://127.0.0.1:{self._ports.enter_context(reserved_port())}"
        where = ["-w", str(PROJECT / "workspace.yaml"), "-h", "127.0.0.1", "-p", address.rpartition(":")[2]]
        self._start("webserver", str(BIN / "dagster-webserver"), *where)
        self.wait(lambda: _answers(f"{address}/server_info"), "the webserver answers")
        return address

    def records(self, *statuses: dg.DagsterRunStatus, job: str | None = None) -> list[dg.RunRecord]:
        """The runs of that job in one of those statuses, the newest first."""
        wanted = dg.RunsFilter(job_name=job, statuses=list(statuses) or None)
        return list(self.instance.get_run_records(wanted))

    def writing(self) -> dg.DagsterRun | None:
        """The run at work that has made a write of which it does not know the answer yet; None while none has."""
        with open_database(self.variables["WRITEBACK_DATABASE"]).reading() as session:
            asked = "SELECT DISTINCT run_id FROM delivery_attempts WHERE outcome IS NULL"
            unanswered = {run_id for (run_id,) in session.execute(asked).fetchall()}
        at_work = self.records(dg.DagsterRunStatus.STARTED)
        return next((each.dagster_run for each in at_work if each.dagster_run.run_id in unanswered), None)

    def worker_of(self, run: dg.DagsterRun) -> Process:
        """The worker that is at that run."""
        launcher: Any = self.instance.run_launcher
        name = launcher.celery.AsyncResult(run.tags["dagster-celery/task_id"]).info["hostname"]
        return self.processes[name.partition("@")[0]]

    def received(self) -> Counter[str]:
        """How many runs the workers of each name have begun."""
        logs = {log: log.read_text().count("] received") for log in self.folder.glob("*.log")}
        return sum((Counter({log.name.partition(".")[0]: runs}) for log, runs in logs.items()), Counter())

    def wait(self, reached: Callable[[], object], what: str, seconds: float = 300.0) -> None:
        """Wait until then; while a process ends that nobody ended, or too long, tell the last lines of all."""
        deadline = time.monotonic() + seconds
        while not reached():
            gone = [each.name for each in self.processes.values() if each.leader.poll() not in (None, -signal.SIGKILL)]
            assert not gone, f"{gone} ended: {self._last_words()}"
            assert time.monotonic() < deadline, f"not reached: {what}; {self._last_words()}"
            time.sleep(0.2)

    def end(self) -> None:
        """End what still runs."""
        for process in self.processes.values():
            process.die()
        self._ports.close()

    def written(self) -> str:
        """Everything that the processes put out."""
        return "".join(log.read_text() for log in self.folder.glob("*.log"))

    def _start(self, name: str, *command: str) -> Process:
        log = self.folder / f"{name}.{next(self._numbers)}.log"
        with log.open("wb") as output:
            leader = subprocess.Popen(
                command,
                env=self._environment(name),
                cwd=PROJECT,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes[name] = Process(name, leader, log)
        return self.processes[name]

    def _environment(self, machine: str) -> dict[str, str]:
        return self.variables | {"WRITEBACK_HOME": str(self.folder / machine)}

    def _last_words(self) -> str:
        return "\n".join(f"{each.name}: {each.log.read_text()[-2_000:]}" for each in self.processes.values())


@contextmanager
def installation(world: World, folder: Path, lease: float, quiet: float, monitored: int) -> Iterator[Installation]:
    """A new installation that delivers to the world's organisation, from an empty ledger.

    Leases and quiet times are as many seconds long, and runs are monitored as often.
    """
    with own_redis(folder) as broker:
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))
        }
        variables |= {
            "DAGSTER_HOME": str(_dagster_home(folder, monitored)),
            "DAGSTER_POSTGRES_URL": new_database(),
            "CELERY_BROKER_URL": broker,
            "CELERY_RESULT_BACKEND": broker,
            "WRITEBACK_DATABASE": server().new_url(),
            "WRITEBACK_ACTIVITY": str(folder / "mailing_activity"),
            "WRITEBACK_POLL_SECONDS": "2",
            "SALESFORCE_URL": world.url,
            "SALESFORCE_CLIENT_ID": "local",
            "SALESFORCE_CLIENT_SECRET": "local",
            "PYTHONPATH": os.pathsep.join([str(DEPLOY), str(SHORT_TIMES)]),
            "TEST_LEASE_SECONDS": str(lease),
            "TEST_QUIET_SECONDS": str(quiet),
        }
        with _instance(variables) as instance:
            world.ledger = Store(variables["WRITEBACK_DATABASE"], folder / "platform")
            made = Installation(folder, variables, instance)
            try:
                yield made
            finally:
                made.end()


def _dagster_home(folder: Path, monitored: int) -> Path:
    """The project's configuration, but for how often runs are monitored."""
    configuration = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    configuration["run_monitoring"]["poll_interval_seconds"] = monitored
    home = folder / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    return home


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=PATIENCE_SECONDS).ok
    except requests.RequestException:
        return False


def new_database() -> str:
    """A database for an instance of Dagster, by its URL."""
    name = f"dagster_{next(_databases)}"
    with server().administration() as session:
        session.execute(f"CREATE DATABASE {name} OWNER writebacks".encode())
    return server().url(database=name)


@contextmanager
def _instance(variables: dict[str, str]) -> Iterator[dg.DagsterInstance]:
    """The instance, whose first opening makes its tables; it reads this process's environment."""
    names = ("DAGSTER_POSTGRES_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update({name: variables[name] for name in names})
    try:
        with dg.DagsterInstance.from_config(variables["DAGSTER_HOME"]) as instance:
            yield instance
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
