"""Zombies: of two workers one is stopped for longer than its lease, and goes on as if nothing had been."""

import signal
import time

from writeback_pipeline.domain.ledger import LEASE
from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.site import Site, watched
from writeback_pipeline_tests.torture.stories import Story

EVENTS_A_ROUND = 40
SHARE_IN_MID_CALL = 0.5
LONGEST_HEAD_START = 0.4
LONGEST_CALL = 0.06


def stop_many(site: Site, places: tuple[WorkerProcess, WorkerProcess], rounds: int, story: Story) -> None:
    """Stop one of two workers that many times, each time past its lease, while the other one works.

    No stop is so long that a call, sent as soon as it is over, could still arrive after its quiet time.
    """
    lease = site.clock.real_seconds(LEASE)
    with watched(site) as one, watched(site) as other:
        workers = list(zip(places, (one, other), strict=True))
        for place, way in workers:
            place.start(**site.order(way.url))
        for _ in range(rounds):
            stopped, way = site.chance.choice(workers)
            way.written_to.clear()
            _queue(site, story)
            if site.chance.random() < SHARE_IN_MID_CALL and way.written_to.wait(lease):
                time.sleep(site.chance.uniform(0, LONGEST_CALL))
            else:
                time.sleep(site.chance.uniform(0, LONGEST_HEAD_START))
            stopped.send(signal.SIGSTOP)
            time.sleep(lease * site.chance.uniform(1.05, 1.5))
            stopped.send(signal.SIGCONT)
        for place in places:
            site.end(place)


def _queue(site: Site, story: Story) -> None:
    now = site.clock()
    site.platform.queue(site.ledger, story.goes_on(EVENTS_A_ROUND, now), now)
