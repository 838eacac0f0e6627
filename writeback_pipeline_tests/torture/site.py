"""Where worker processes work: a ledger, an organisation served from here, a platform, a fast clock.

What is done to the workers is the business of the modules beside it.
"""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from writeback_pipeline.domain.ledger import Attempt, WritebackFilter
from writeback_pipeline.local_org import admin
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline.local_org.state import Organisation, open_org
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.ledgers import location, retried_by_a_person
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
from writeback_pipeline_tests.torture.clocks import FastClock
from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.proxy import FaultProxy
from writeback_pipeline_tests.torture.truth import Platform, Verdict
from writeback_pipeline_tests.torture.wire import WRITES, CallType
from writeback_pipeline_tests.torture.worker import notes

PEOPLE_AT_A_TIME = 40


@dataclass
class Site:
    """Everything that survives its workers."""

    home: Path
    database: str
    url: str
    inside: Organisation
    clock: FastClock
    chance: random.Random
    platform: Platform = field(default_factory=Platform)
    left_to_a_person: int = 0

    @cached_property
    def ledger(self) -> Store:
        return Store(self.database, self.home)

    def order(self, url: str | None = None, *, budgeted: bool = False) -> dict[str, Any]:
        """What a worker is told; `url` leads to the organisation by another way, `budgeted` lets it count its calls."""
        return {
            "database": self.database,
            "home": str(self.home),
            "url": url or self.url,
            "speed": self.clock.speed,
            "began": self.clock.began,
            "people": PEOPLE_AT_A_TIME,
            "journal": str(self.home / "notes.jsonl"),
            "budgeted": budgeted,
        }

    def notes(self) -> list[dict[str, Any]]:
        """What the workers noted."""
        return notes(self.home / "notes.jsonl")

    def people(self, count: int) -> list[str]:
        """New people in the organisation, a third of them Leads."""
        with self.inside.connection() as connection:
            who = admin.session(connection)
            return [
                admin.create(who, "Lead", {"LastName": f"Person {n}", "Company": f"Company {n}"})
                if n % 3 == 0
                else admin.create(who, "Contact", {"LastName": f"Person {n}"})
                for n in range(count)
            ]

    def end(self, place: WorkerProcess) -> None:
        """Kill a worker, which must have lived till then."""
        assert place.kill() == -signal.SIGKILL, self.notes()[-1]

    def work_until_rest(self, place: WorkerProcess, seconds: float) -> None:
        """Let a worker live until nothing is owed, or for so many seconds; somebody retries what is left to a person
        because one worker after the other was killed just then."""
        deadline = time.monotonic() + seconds
        place.start(**self.order())
        while (self._retried() or self.ledger.depth().owed) and time.monotonic() < deadline:
            time.sleep(0.3)
        self.end(place)

    def _retried(self) -> int:
        retried = retried_by_a_person(self.ledger)
        self.left_to_a_person += retried
        return retried

    def attempts(self) -> list[Attempt]:
        """Everything that the workers journalled."""
        ledger = self.ledger
        return ledger.attempts_of([row.id for row in ledger.writebacks(WritebackFilter())])

    def judge(self) -> Verdict:
        """What became of everything that was queued."""
        return self.platform.judge(self.ledger, self.inside)


@contextmanager
def site(home: Path, seed: int, speed: float, database: str = "") -> Iterator[Site]:
    """A new site in that folder; the ledger is a file there, or where `database` says."""
    organisation = home / "local_org.sqlite"
    clock = FastClock(speed, time.monotonic())
    with run_in_thread(organisation) as server:
        inside = open_org(organisation)
        try:
            yield Site(home, database or location(home), server.url, inside, clock, random.Random(seed))
        finally:
            inside.close()


class Way:
    """Another way to the organisation: `written_to` is set whenever a call that writes comes along it, which is held
    back there while `open` is not set."""

    def __init__(self, url: str) -> None:
        self.url, self.written_to, self.open = url, threading.Event(), threading.Event()
        self.open.set()

    def heard(self, type_: CallType) -> None:
        """A call of that type is on the way."""
        if type_ in WRITES:
            self.written_to.set()
            self.open.wait(PATIENCE_SECONDS)


@contextmanager
def watched(site: Site) -> Iterator[Way]:
    """Such a way to the site's organisation."""
    proxy = FaultProxy(site.url, site.inside)
    way = Way(proxy.url)
    proxy.heard = way.heard
    try:
        yield way
    finally:
        way.open.set()
        proxy.close()
