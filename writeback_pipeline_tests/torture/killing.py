"""The kill loop: a platform that goes on queueing, and a worker that is killed again and again, at any moment."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
from writeback_pipeline_tests.postgres import PostgresServer
from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.site import Site, watched
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.truth import Event

LONGEST_LIFE = 0.25
"""Seconds until a worker is killed, at most, unless it is one that is awaited in the middle of a call."""

SHARE_IN_MID_CALL = 0.3
LONGEST_CALL = 0.06
LONGEST_WAIT = 2.0
BETWEEN_KILLS = 2.0


def kill_many(site: Site, place: WorkerProcess, kills: int, story: Story, events: int) -> Counter[str]:
    """Kill that many workers, or more, while the platform queues so many events; kills by when they struck.

    The first is killed while a call of its is held back, so that one is in doubt at least.
    """
    queueing = _Queueing(site, story, events // kills + 1, events)
    queueing.start()
    done: Counter[str] = Counter()
    with watched(site) as way:
        way.open.clear()
        place.start(**site.order(way.url))
        assert way.written_to.wait(4 * PATIENCE_SECONDS)
        site.end(place)
        way.open.set()
        done["while a write call was held back"] += 1
        while done.total() < kills or queueing.is_alive():
            way.written_to.clear()
            place.start(**site.order(way.url))
            if site.chance.random() < SHARE_IN_MID_CALL and way.written_to.wait(LONGEST_WAIT):
                time.sleep(site.chance.uniform(0, LONGEST_CALL))
                moment = "from a write call on"
            else:
                time.sleep(site.chance.uniform(0, LONGEST_LIFE))
                moment = "at any time"
            site.end(place)
            done[moment] += 1
    queueing.join()
    if queueing.error is not None:
        raise queueing.error
    return done


class Killer(threading.Thread):
    """Kills a database server again and again, and starts it, as long as the block lasts and so many times at least."""

    def __init__(self, server: PostgresServer, kills: int) -> None:
        super().__init__(name="killer of the server", daemon=True)
        self._server, self._least, self._over = server, kills, threading.Event()
        self.kills = 0

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while self.kills < self._least or not self._over.is_set():
            self._over.wait(BETWEEN_KILLS)
            self._server.stop(signal.SIGKILL)
            self._server.start()
            self.kills += 1


class _Queueing(threading.Thread):
    """The platform's own thread: batch after batch, with a breath in between."""

    def __init__(self, site: Site, story: Story, batch: int, events: int) -> None:
        super().__init__(name="platform", daemon=True)
        self._site, self._story, self._batch, self._events = site, story, batch, events
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while len(self._site.platform.events) < self._events:
                now = self._site.clock()
                self._insist(self._story.goes_on(self._batch, now), now)
                time.sleep(0.05)
        except BaseException as error:  # told to the thread that waits
            self.error = error

    def _insist(self, events: Sequence[Event], now: datetime) -> None:
        """Queue them, again while the database is in trouble, as a platform does: each has its key."""
        while True:
            try:
                self._site.platform.queue(self._site.ledger, events, now)
            except (StoreBusy, StoreUnusable):
                continue
            return
