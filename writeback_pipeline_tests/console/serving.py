"""The console on a port of this process, as the command serves it: over a real store, by a clock that tests move."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import requests
from starlette.applications import Starlette

from writeback_pipeline.activity.source import MailingEvents
from writeback_pipeline.cli import troubles
from writeback_pipeline.console.access import Access, read_access
from writeback_pipeline.console.app import create_app, create_app_of
from writeback_pipeline.console.passwords import hash_password
from writeback_pipeline.console.ports import Launch, Links, Ports, Run, RunsUnavailable
from writeback_pipeline.console.server import address_of, listen, make_server
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Held, OrganisationUnavailable
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.ledgers import store_of
from writeback_pipeline_tests.mailings import Mailings
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOST = "127.0.0.1"
PASSWORD = "correct horse battery"
OPERATOR, VIEWER = "olga", "victor"
LOCAL_USER = "tester"
PATIENCE = timedelta(seconds=PATIENCE_SECONDS)


@dataclass
class MemoryRuns:
    """Runs that nothing carries out; `trouble` is what every call meets."""

    runs: list[Run] = field(default_factory=list)
    launched: list[Launch] = field(default_factory=list)
    trouble: str | None = None
    limit: int | None = None

    def launch(self, launch: Launch) -> str:
        self._meet_trouble()
        if self.limit is not None and len(self.launched) >= self.limit:
            raise RunsUnavailable("Dagster is gone: start it.")
        self.launched.append(launch)
        tags = {"dagster/partition": launch.partition, **launch.tags}
        self.runs.insert(0, Run(f"run-{len(self.launched)}", "queued", tags))
        return self.runs[0].id

    def tagged(self, tag: str, value: str, limit: int) -> list[Run]:
        self._meet_trouble()
        return [run for run in self.runs if run.tags.get(tag) == value][:limit]

    def _meet_trouble(self) -> None:
        if self.trouble:
            raise RunsUnavailable(self.trouble)


@dataclass
class Served:
    """A console that answers at `address`."""

    address: str
    store: Store
    clock: "Clock"
    runs: MemoryRuns
    mailings: Mailings


@dataclass
class Clock:
    """The console's clock."""

    now: datetime = field(default=START)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


def local_access(variables: Mapping[str, str] | None = None) -> Access:
    """Everybody is this machine's user, unless the variables say otherwise."""
    return read_access(variables or {}, HOST, LOCAL_USER)


@cache
def _hash() -> str:
    return hash_password(PASSWORD)


def with_accounts() -> Access:
    """An operator and a viewer, both with the same password."""
    hashed = _hash()
    users = " ".join(f"{name}:{role}:{hashed}" for name, role in ((OPERATOR, "operator"), (VIEWER, "viewer")))
    return local_access({"WRITEBACK_CONSOLE_USERS": users})


def no_salesforce(_: PersonRef) -> Held:
    """Salesforce when it is down."""
    raise OrganisationUnavailable("NO_ANSWER", "No answer came.", "It is tried again by itself.", passing=True)


@contextmanager
def serving(
    home: Path, access: Access, look: Callable[[PersonRef], Held] = no_salesforce, wait: timedelta = PATIENCE
) -> Iterator[Served]:
    """The console of that home; it waits so long for a ledger that others keep open."""
    served, ports = ports_over(home, look, wait)
    with _answering(create_app(ports, access)) as address:
        yield replace(served, address=address)


@contextmanager
def serving_bridges(homes: Mapping[str, Path], access: Access) -> Iterator[dict[str, Served]]:
    """The console of several bridges, by name; each is served below its own address."""
    over = {name: ports_over(home) for name, home in homes.items()}
    with _answering(create_app_of({name: ports for name, (_, ports) in over.items()}, access)) as address:
        yield {name: replace(served, address=f"{address}/{name}") for name, (served, _) in over.items()}


def ports_over(
    home: Path, look: Callable[[PersonRef], Held] = no_salesforce, wait: timedelta = PATIENCE
) -> tuple[Served, Ports]:
    """A console over that home which is not served yet, and its ports."""
    store, clock, runs = store_of(home, wait=wait), Clock(), MemoryRuns()
    folder = home / "mailing_activity"
    ports = Ports(
        ledger=store,
        clock=clock,
        troubles=troubles(),
        activity=lambda: MailingEvents(str(folder)),
        runs=runs,
        links=Links(dagster="http://dagster.example", runbook="https://wiki.example/runbook"),
        look=look,
    )
    return Served("", store, clock, runs, Mailings(folder)), ports


@contextmanager
def _answering(app: Starlette) -> Iterator[str]:
    """The application on a port of its own; the address."""
    listener = listen(HOST, 0)
    server = make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        yield address_of(HOST, listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


class Client:
    """A browser without a screen: keeps cookies, sends what browsers send with a form, follows no redirect."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.session = requests.Session()

    def get(self, path: str, **headers: str) -> requests.Response:
        return self.session.get(self.address + path, headers=headers, allow_redirects=False, timeout=PATIENCE_SECONDS)

    def post(self, path: str, fields: Mapping[str, object] | None = None, /, **headers: str) -> requests.Response:
        """Send a form that carries the token of the page at the same path, unless `fields` has one."""
        sent = {"csrf": self.token(), **(fields or {})}
        return self.session.post(
            self.address + path,
            data=sent,
            headers={"Origin": "/".join(self.address.split("/")[:3]), "Sec-Fetch-Site": "same-origin"} | headers,
            allow_redirects=False,
            timeout=PATIENCE_SECONDS,
        )

    def token(self) -> str:
        """The token of this client's session, as a form of its pages carries it."""
        page = self.get("/settings")
        if page.status_code != 200:
            page = self.get("/sign-in")
        return page.text.partition('name="csrf" value="')[2].partition('"')[0]

    def sign_in(self, name: str = OPERATOR, password: str = PASSWORD) -> requests.Response:
        return self.post("/sign-in", {"name": name, "password": password})
