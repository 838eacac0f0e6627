"""20,000 writebacks of both kinds while rows are locked, answers lost, a session ends and Salesforce is out a while."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, OPT_OUT_KINDS, Kind
from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.mailings import Mailings, deliver
from writeback_pipeline_tests.torture import SEED, listed, tell
from writeback_pipeline_tests.torture.activity import Newsletter
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.truth import Platform
from writeback_pipeline_tests.world import World

TICK = timedelta(seconds=30)
"""How soon after a run the next one begins, while something is due."""

WRITEBACKS = 20_000
LONGEST = timedelta(hours=12)


@pytest.mark.timeout(1_200)
def test_mixed_writebacks_are_all_written_once_by_a_command_and_its_retries(world: World, tmp_path: Path) -> None:
    chance, half = random.Random(SEED), WRITEBACKS // 2
    people = [world.contact() for _ in range(half)]
    newsletter = Newsletter(Mailings(tmp_path / "mailing_activity"), chance, people)
    newsletter.goes_to(people)
    platform = Platform()
    platform.queue(world.ledger, Story(chance, people).goes_on(half, world.clock()), world.clock())
    _arm(world)
    deliveries: dict[tuple[Kind, ...], Callable[[], object]] = {
        OPT_OUT_KINDS: lambda: OptOutDelivery(world.ledger, world.organisation, world.clock, jitter=chance).run(),
        (Kind.SENT,): lambda: deliver(world, newsletter.mailings, jitter=chance),
    }
    began = world.clock()
    runs = sum(_run(delivery) for delivery in deliveries.values())
    while due := _due(world, (*OPT_OUT_KINDS, Kind.SENT)):
        world.clock.at = max(due, world.clock() + TICK)
        assert world.clock() - began < LONGEST, world.ledger.depth()
        for kinds, delivery in deliveries.items():
            if (its_time := _due(world, kinds)) and its_time <= world.clock():
                runs += _run(delivery)
    opt_outs, tasks = platform.judge(world.ledger, world.inside), newsletter.judge(world)
    with world.inside.connection() as connection:
        struck = faults.injected(connection)
    tell(f"mixed load: opt-outs {opt_outs}; Tasks {tasks}")
    tell(f"         faults {listed(struck)}; {runs} runs, {world.clock() - began} on the clock")
    assert opt_outs.clean
    assert tasks.clean
    assert struck.keys() == {"row_lock", "drop_after", "expired_session", "unavailable"}


def _run(delivery: Callable[[], object]) -> int:
    """Run it, whatever passing trouble it meets; 1, to be counted."""
    try:
        delivery()
    except OrganisationUnavailable as trouble:
        assert trouble.passing
    return 1


def _due(world: World, kinds: tuple[Kind, ...]) -> datetime | None:
    """When the next of what is owed of those kinds is to be tried; None when nothing is owed."""
    owed = world.ledger.writebacks(WritebackFilter(statuses=OPEN_STATUSES, kinds=kinds))
    return min((row.next_attempt_at or world.clock() for row in owed), default=None)


def _arm(world: World) -> None:
    """Of the rows 2 % are locked; every tenth call that looks or writes is carried out and its answer lost."""
    writes: dict[str, Any] = {"path": "/composite", "method": "POST"}
    with world.inside.connection() as connection:
        faults.arm(connection, "row_lock", probability=0.02, seed=SEED)
        faults.arm(connection, "drop_after", every=10, times=3, **writes)
        faults.arm(connection, "expired_session", every=4, times=1, **writes)
        faults.arm(connection, "unavailable", every=3, times=3, **writes)
