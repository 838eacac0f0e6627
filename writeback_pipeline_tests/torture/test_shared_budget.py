"""Two workers that deliver at the same time with hardly any calls left: together they make no more than there are."""

import time
from collections import Counter
from pathlib import Path

import pytest

from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.local_org import usage
from writeback_pipeline_tests.ledgers import kind_of
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until
from writeback_pipeline_tests.torture import size, tell
from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.site import Site, site, watched
from writeback_pipeline_tests.torture.truth import Event

REQUESTS, SHARE = size(80, 2_000), 0.5
LONGEST = 240.0
SPEED = 1.0


@pytest.mark.every_store
@pytest.mark.timeout(900)
def test_workers_share_a_tight_budget_and_never_overdraw_it(tmp_path: Path, database: str) -> None:
    ours = int(REQUESTS * SHARE)
    with site(tmp_path, 1, SPEED, database) as here, WorkerProcess() as one, WorkerProcess() as other:
        _limit(here, REQUESTS)
        people = here.people(40 * ours)  # each delivery is of 40 people and takes two calls at least
        now = here.clock()
        events = [Event(f"event {n}", Kind.UNSUBSCRIBE, person, now) for n, person in enumerate(people)]
        here.platform.queue(here.ledger, events, now)
        with watched(here) as of_one, watched(here) as of_the_other:
            ways = {one: of_one, other: of_the_other}
            for place, way in ways.items():
                way.open.clear()
                place.start(**here.order(way.url, budgeted=True))
            assert all(way.written_to.wait(PATIENCE_SECONDS) for way in ways.values())
            for way in ways.values():
                way.open.set()
            wait_until(lambda: _held(here) == 2, LONGEST)
            for place in ways:
                here.end(place)
        made, verdict = _made(here), here.judge()
        by_worker = Counter(attempt.intent.run_id for attempt in here.attempts())
    written = verdict.events - len(verdict.unfinished)
    tell(
        f"shared budget, ledger in {kind_of(database)}: {made} calls of {ours} by {len(by_worker)} workers, overshoot 0"
    )
    tell(f"         {written:,} of {verdict.events:,} writebacks, {len(verdict.duplicated)} twice; the others wait")
    assert ours - 1 <= made <= ours
    assert len(by_worker) == 2
    assert not verdict.duplicated
    assert {note.get("trouble") for note in here.notes()} <= {None, "API_BUDGET_SPENT"}
    assert not [note for note in here.notes() if "failed" in note]


def _limit(here: Site, requests: int) -> None:
    with here.inside.connection() as connection:
        org_settings.change(connection, daily_api_requests=requests)


def _held(here: Site) -> int:
    """How many of the workers have been refused a call."""
    return len({note["process"] for note in here.notes() if "trouble" in note})


def _made(here: Site) -> int:
    with here.inside.connection() as connection:
        return usage.used(connection, time.time())
