"""How long opt-outs took, out of a real ledger after real deliveries."""

from datetime import UTC, date, datetime, timedelta

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.latency import Spread
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.world import START, World

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def queue(world: World, happened: datetime, queued: datetime) -> str:
    person = world.contact()
    world.ledger.enqueue([Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, happened)], queued)
    return person


def deliver(world: World, at: datetime, run_id: str) -> None:
    world.clock.at = at
    OptOutDelivery(world.ledger, world.organisation, world.clock, run_id=run_id).run()


def seconds(*amounts: float) -> Spread:
    return Spread(*map(float, amounts))


def test_a_run_that_wrote_nothing_has_no_latency(world: World) -> None:
    assert world.ledger.latency_of_run("run") is None
    gone = queue(world, START, START)
    world.as_user(admin.delete, gone)
    deliver(world, START, "run")
    assert world.ledger.latency_of_run("run") is None
    assert world.ledger.latency_by_day(LONG_AGO) == {}


def test_each_stretch_has_its_median_its_95th_percentile_and_its_longest(world: World) -> None:
    for minutes in range(1, 21):
        queue(world, START, START + timedelta(minutes=minutes))
    deliver(world, START + timedelta(hours=1), "run")
    found = world.ledger.latency_of_run("run")
    assert found is not None
    assert found.written == 20
    assert found.event_to_queued == seconds(600, 1140, 1200)
    assert found.queued_to_written == seconds(2940, 3480, 3540)
    assert found.event_to_written == seconds(3600, 3600, 3600)


def test_runs_and_days_are_told_apart(world: World) -> None:
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    queue(world, midnight - timedelta(seconds=10), midnight - timedelta(seconds=6))
    deliver(world, midnight - timedelta(seconds=1), "before")
    queue(world, midnight, midnight)
    deliver(world, midnight + timedelta(seconds=30), "after")
    by_day = world.ledger.latency_by_day(LONG_AGO)
    assert list(by_day) == [date(2026, 11, 24), date(2026, 11, 23)]
    assert by_day[date(2026, 11, 23)] == world.ledger.latency_of_run("before")
    assert by_day[date(2026, 11, 24)] == world.ledger.latency_of_run("after")
    assert by_day[date(2026, 11, 23)].event_to_written == seconds(9, 9, 9)
    assert list(world.ledger.latency_by_day(midnight)) == [date(2026, 11, 24)]


def test_an_event_of_the_future_takes_no_time_and_less_than_none_is_never_told(world: World) -> None:
    queue(world, START + timedelta(days=2), START)
    deliver(world, START + timedelta(minutes=1), "run")
    found = world.ledger.latency_of_run("run")
    assert found is not None
    assert (found.event_to_queued, found.queued_to_written) == (seconds(0, 0, 0), seconds(60, 60, 60))
    assert found.event_to_written == seconds(0, 0, 0)
