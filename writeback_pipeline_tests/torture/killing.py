"""The kill loop: a platform that goes on queueing, and a worker that is killed again and again, at any moment."""

import threading
import time
from collections import Counter

from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.site import Site, watched
from writeback_pipeline_tests.torture.stories import Story

LONGEST_LIFE = 0.25
"""Seconds until a worker is killed, at most, unless it is one that is awaited in the middle of a call."""

SHARE_IN_MID_CALL = 0.3
LONGEST_CALL = 0.06
LONGEST_WAIT = 2.0


def kill_many(site: Site, place: WorkerProcess, kills: int, story: Story, events: int) -> Counter[str]:
    """Kill that many workers, or more, while the platform queues so many events; kills by when they struck."""
    queueing = _Queueing(site, story, events // kills + 1, events)
    queueing.start()
    done: Counter[str] = Counter()
    with watched(site) as (url, written_to):
        while done.total() < kills or queueing.is_alive():
            written_to.clear()
            place.start(**site.order(url))
            if site.chance.random() < SHARE_IN_MID_CALL and written_to.wait(LONGEST_WAIT):
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
                self._site.platform.queue(self._site.ledger, self._story.goes_on(self._batch, now), now)
                time.sleep(0.05)
        except BaseException as error:  # told to the thread that waits
            self.error = error
