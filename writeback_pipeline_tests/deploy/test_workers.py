"""Two Celery workers on PostgreSQL and Redis; one is killed with a run on it: the other finishes everything, once."""

import random
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import redis

from writeback_pipeline.defs.sensors import UNFINISHED
from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.deploy.installation import Installation, installation
from writeback_pipeline_tests.mailings import Mailings, tasks
from writeback_pipeline_tests.torture import SEED, size, tell
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.truth import Platform
from writeback_pipeline_tests.world import World

CHANGES = size(600, 20_000)
PEOPLE = size(400, 10_000)
DAYS = size(4, 60)
LEASE, QUIET = size(15, 40), size(20, 60)
"""Seconds; in production 180 and 630."""

CARRIED_OUT_AFTER = 10
"""Seconds; the organisation carries the dead worker's last call out when nobody waits for the answer any more."""


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Installation]:
    """A daemon and two workers, one and two."""
    world.clock.at = datetime.now(UTC)
    with installation(world, tmp_path, LEASE, QUIET, monitored=2) as made:
        made.daemon()
        for name in ("one", "two"):
            made.worker(name)
        yield made


@pytest.mark.timeout(size(300, 3_600))
def test_a_worker_dies_in_mid_write_and_the_other_one_writes_every_change_once(
    world: World, site: Installation
) -> None:
    people = [world.contact() if n % 3 else world.lead() for n in range(PEOPLE)]
    platform = Platform()
    began = time.monotonic()
    with world.inside.connection() as connection:
        hanging = faults.arm(connection, "slow", path="/composite$", method="POST", seconds=CARRIED_OUT_AFTER, times=1)
        platform.queue(world.ledger, Story(random.Random(SEED), people).goes_on(CHANGES, world.clock()), world.clock())
        site.wait(lambda: faults.remaining(connection, hanging) == 0, "a worker is writing")
    (struck,) = site.records(dg.DagsterRunStatus.STARTED, job="deliver_opt_outs")
    site.worker_of(struck.dagster_run).die()
    died = time.monotonic()
    site.wait(lambda: _status(site, struck) is dg.DagsterRunStatus.FAILURE, "the run of the dead worker is marked")
    marked = time.monotonic()
    site.wait(lambda: not _owed(world), "everything is written", seconds=size(200, 3_000))
    verdict = platform.judge(world.ledger, world.inside)
    took = f"killed after {died - began:.0f} s, its run marked {marked - died:.0f} s later"
    tell(f"Celery worker killed in mid write: {verdict}")
    tell(f"         {took}, all written {time.monotonic() - died:.0f} s later (lease {LEASE} s, quiet time {QUIET} s)")
    assert verdict.clean, verdict
    _tells_no_secret(site)


def _status(site: Installation, record: dg.RunRecord) -> dg.DagsterRunStatus:
    run = site.instance.get_run_by_id(record.dagster_run.run_id)
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
    with world.inside.connection() as connection:
        hanging = faults.arm(connection, "slow", path="/composite$", method="POST", seconds=5, times=1)
        world.unsubscribe_all(people)
        site.wait(lambda: faults.remaining(connection, hanging) == 0, "a worker is writing")
    (record,) = site.records(dg.DagsterRunStatus.STARTED, job="deliver_opt_outs")
    assert site.instance.run_coordinator is not None
    assert site.instance.run_coordinator.cancel_run(record.dagster_run.run_id)
    site.wait(lambda: _status(site, record) is dg.DagsterRunStatus.CANCELED, "the run is cancelled")
    site.wait(lambda: not _owed(world), "what it left is written by the next run")
    assert not [run for run in site.records() if run.dagster_run.parent_run_id]
    assert all(world.opted_out(person) and len(world.notes(person)) == 1 for person in people)


@pytest.mark.timeout(size(300, 3_600))
def test_a_backfill_spreads_over_the_workers_and_what_a_dead_one_left_is_run_once_more(
    world: World, site: Installation, tmp_path: Path
) -> None:
    people = [world.contact() for _ in range(20)]
    mailings = Mailings(tmp_path / "mailing_activity")
    days = [date(2025, 9, 1) + timedelta(days=n) for n in range(DAYS)]
    for day in days:
        mailings.sent(*people, when=f"{day:%m-%d} 09:05")
    with world.inside.connection() as connection:
        hanging = faults.arm(connection, "slow", path="/composite", every=2, seconds=CARRIED_OUT_AFTER, times=1)
        site.backfill(str(days[0]), str(days[-1]))
        site.wait(lambda: faults.remaining(connection, hanging) == 0, "a worker is writing")
    site.processes["one"].die()
    site.wait(lambda: not _unfinished(site), "every run has ended", seconds=size(150, 1_500))
    at_once = len(_tasks(world))
    time.sleep(LEASE)
    site.backfill(str(days[0]), str(days[-1]))
    site.wait(lambda: not _unfinished(site), "every run has ended once more", seconds=size(150, 1_500))
    spread = {name: each.log.read_text().count("] received") for name, each in site.processes.items()}
    told = _tasks(world)
    tell(f"Celery worker killed in a backfill of {DAYS} days: {at_once:,} of {len(told):,} Tasks before the second one")
    tell(f"         {len(set(told)):,} of {DAYS * len(people):,} once; runs received {spread}")
    assert sorted(told) == sorted(f"sent:daily:{day}:{person}" for day in days for person in people)
    assert spread["one"]
    assert spread["two"]


def _unfinished(site: Installation) -> list[dg.RunRecord]:
    return site.records(*UNFINISHED)


def _tasks(world: World) -> list[str]:
    return [task["Writeback_Key__c"] for task in tasks(world)]
