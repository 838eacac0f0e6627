"""Two Celery workers on PostgreSQL and Redis; again and again one dies with its run: all is written, once.

All tests share an installation: starting one takes longer than what is done with it.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import redis
import requests

from writeback_pipeline.defs.sensors import UNFINISHED
from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.deploy.installation import Installation, installation
from writeback_pipeline_tests.ledgers import retried_by_a_person
from writeback_pipeline_tests.mailings import Mailings, tasks
from writeback_pipeline_tests.torture import SEED, size, tell
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.truth import Platform
from writeback_pipeline_tests.world import World, world_in

CHANGES, PEOPLE, KILLS = size(300, 20_000), size(200, 10_000), size(1, 20)
DAYS, READERS = size(3, 60), 20
MOST_OWED = 5_000
"""Changes; the Bulk jobs that would carry twice as many make no call that is struck."""

LEASE, QUIET = size(10, 40), size(14, 60)
"""Seconds; in production 180 and 630."""

CARRIED_OUT_AFTER = 8
"""Seconds; the organisation carries the dead worker's last call out when nobody waits for the answer any more."""

pytestmark = pytest.mark.timeout(size(1_200, 5_400))

LAUNCH = """
mutation Launch($wanted: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $wanted) { __typename ... on LaunchBackfillSuccess { backfillId } }
}
"""
SHOWN = """
query Shown($run: ID!) {
  runOrError(runId: $run) { ... on Run {
    status
    eventConnection(limit: 1000) { events { __typename ... on MessageEvent { message } } }
  } }
}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("world")) as made:
        made.clock.at = datetime.now(UTC)
        yield made


@pytest.fixture(scope="module")
def shared(world: World) -> Iterator[Installation]:
    with installation(world, world.home, LEASE, QUIET, monitored=2) as made:
        made.daemon()
        yield made


@pytest.fixture
def site(shared: Installation) -> Installation:
    """A daemon and two workers that live, one and two."""
    for name in ("one", "two"):
        if name not in shared.processes or shared.processes[name].leader.poll() is not None:
            shared.worker(name)
    return shared


def test_workers_die_in_mid_write_and_the_others_write_every_change_once(world: World, site: Installation) -> None:
    people = [world.contact() if n % 3 else world.lead() for n in range(PEOPLE)]
    platform, story = Platform(), Story(random.Random(SEED), people)
    seconds: list[str] = []
    for _ in range(KILLS):
        began = time.monotonic()
        struck = _caught_writing(site, world, lambda: _queue(world, platform, story))
        killed = site.worker_of(struck)
        killed.die()
        died = time.monotonic()
        _wait_until_marked(site, struck)
        seconds.append(f"killed after {died - began:.0f} s, its run marked {time.monotonic() - died:.0f} s later")
        site.worker(killed.name)
    left = 0

    def all_written() -> bool:
        nonlocal left
        left += (retried := retried_by_a_person(world.ledger))
        return not retried and not _owed(world)

    site.wait(all_written, "everything is written", seconds=size(600, 3_000))
    verdict = platform.judge(world.ledger, world.inside)
    tell(f"{KILLS} Celery workers killed in mid write: {verdict}; {left} were left to a person in between")
    tell(
        f"         {seconds[-1]}, all written {time.monotonic() - died:.0f} s later (lease {LEASE} s, quiet {QUIET} s)"
    )
    assert verdict.clean, verdict
    _tells_no_secret(site)


def _queue(world: World, platform: Platform, story: Story) -> None:
    now = datetime.now(UTC)
    platform.queue(world.ledger, story.goes_on(CHANGES // KILLS, now), now)


def _caught_writing(site: Installation, world: World, queue: Callable[[], object]) -> dg.DagsterRun:
    """A run whose write is not answered for a while. A look that is struck instead costs its lease; then another look
    comes first, so that every second call comes to a write."""
    calls: dict[str, Any] = {"path": "/composite", "every": 2}
    with world.inside.connection() as connection:
        while True:
            hanging = faults.arm(connection, "slow", seconds=CARRIED_OUT_AFTER, times=1, **calls)
            if _owed(world) < MOST_OWED:
                queue()
            site.wait(lambda armed=hanging: not faults.remaining(connection, armed), "a worker calls")  # type: ignore[misc]
            if run := site.writing():
                return run


def _wait_until_marked(site: Installation, run: dg.DagsterRun) -> None:
    site.wait(lambda: _status(site, run) is dg.DagsterRunStatus.FAILURE, "the dead worker's run is marked")


def _status(site: Installation, asked: dg.DagsterRun) -> dg.DagsterRunStatus:
    run = site.instance.get_run_by_id(asked.run_id)
    assert run is not None
    return run.status


def _owed(world: World) -> int:
    return world.ledger.depth().owed


def _tells_no_secret(site: Installation) -> None:
    """Neither the processes' output nor anything in Redis holds a password or where one would be."""
    broker = site.variables["CELERY_BROKER_URL"]
    password = broker.split("@")[0].rpartition(":")[2]
    assert password not in site.written()
    with redis.Redis.from_url(broker) as client:
        for key in client.scan_iter("celery-task-meta-*"):
            assert b"postgresql" not in (client.get(key) or b"")


def test_a_run_that_is_cancelled_ends_as_cancelled_and_is_not_begun_again(world: World, site: Installation) -> None:
    people = [world.contact() for _ in range(20)]
    world.clock.at = datetime.now(UTC)
    left = iter(people)
    run = _caught_writing(site, world, lambda: world.unsubscribe_all([next(left) for _ in range(5)]))
    assert site.instance.run_coordinator is not None
    assert site.instance.run_coordinator.cancel_run(run.run_id)
    site.wait(lambda: _status(site, run) is dg.DagsterRunStatus.CANCELED, "the run is cancelled")
    site.wait(lambda: not _owed(world), "what it left is written by the next run")
    assert not [each for each in site.records() if each.dagster_run.parent_run_id == run.run_id]
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in set(people) - set(left))


def test_a_backfill_from_the_ui_spreads_over_the_workers_and_what_a_dead_one_left_is_written_by_itself(
    world: World, site: Installation
) -> None:
    people = [world.contact() for _ in range(READERS)]
    mailings = Mailings(world.home / "mailing_activity")
    days = [date(2025, 9, 1) + timedelta(days=n) for n in range(DAYS)]
    for day in days:
        mailings.sent(*people, when=f"{day:%m-%d} 09:05")
    ui, before = site.webserver(), site.received()
    assert world.ledger.settings().frequency == "manual"
    struck = _caught_writing(site, world, lambda: _launch_backfill(ui, days))
    killed = site.worker_of(struck)
    killed.die()
    died = time.monotonic()
    site.wait(lambda: _was_repeated(site, struck), "another run has ended in its place", size(600, 1_500))
    site.wait(lambda: not _unfinished(site), "every run has ended", size(600, 1_500))
    keys = _keys(world)
    spread = site.received() - before
    twice, took = len(keys) - len(set(keys)), time.monotonic() - died
    counts = f"{len(set(keys)):,} of {DAYS * READERS:,} Tasks, {twice} twice"
    tell(f"Celery worker killed in a backfill of {DAYS} days: {counts}")
    tell(f"         all {took:.0f} s after it died, by itself at the frequency manual; runs {dict(spread)}")
    assert sorted(keys) == sorted(f"sent:daily:{day}:{person}" for day in days for person in people)
    assert spread.keys() == {"one", "two"}
    shown = _ask(ui, SHOWN, run=struck.run_id)["runOrError"]
    assert shown["status"] == "FAILURE"
    assert any(f"{killed.name}@" in (event.get("message") or "") for event in shown["eventConnection"]["events"]), shown


def _launch_backfill(ui: str, days: Sequence[date]) -> None:
    """What Launch backfill does on the page of the asset."""
    wanted = {"assetSelection": [{"path": ["daily_sent_writebacks"]}], "partitionNames": [str(day) for day in days]}
    answer = _ask(ui, LAUNCH, wanted=wanted)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer


def _ask(ui: str, query: str, **variables: Any) -> Any:
    """What Dagster's webserver answers a page of its own."""
    answer = requests.post(f"{ui}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def _was_repeated(site: Installation, run: dg.DagsterRun) -> bool:
    done = [each.dagster_run for each in site.records(dg.DagsterRunStatus.SUCCESS)]
    return any(each.parent_run_id == run.run_id for each in done)


def _unfinished(site: Installation) -> list[dg.RunRecord]:
    return site.records(*UNFINISHED)


def _keys(world: World) -> list[str]:
    return [task["Writeback_Key__c"] for task in tasks(world)]
