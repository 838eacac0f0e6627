"""What the schedules of mailing activity answer at a tick, evaluated by Dagster itself."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator

from writeback_pipeline.domain.settings import Frequency, Occurrence
from writeback_pipeline.domain.ticks import TICKS, next_tick
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.defs.conftest import Pipeline
from writeback_pipeline_tests.mailings import DAY, WEEK, deliver, settle, tasks

MORNING = datetime(2025, 11, 24, 5, 20, tzinfo=UTC)  # a Monday
HOURLY, DAILY, WEEKLY = (f"{cadence}_delivery_of_daily_activity" for cadence in ("hourly", "daily", "weekly"))
OF_WEEKS = "daily_delivery_of_weekly_activity"


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One on disk: schedules are evaluated only over an instance that other processes could open."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as made:
        yield made


def asked(answer: Sequence[dg.RunRequest] | str) -> list[str]:
    """The partitions that a tick asks for, in order."""
    assert not isinstance(answer, str), answer
    return [request.partition_key or "" for request in answer]


def kinds(answer: Sequence[dg.RunRequest] | str) -> dict[str, set[str]]:
    """The assets that a tick asks for, by partition."""
    assert not isinstance(answer, str), answer
    return {each.partition_key or "": {key.to_user_string() for key in each.asset_selection or ()} for each in answer}


def days(pipeline: Pipeline, first: datetime, number: int) -> list[str]:
    """An event on each of so many days; the days."""
    person = pipeline.world.contact()
    instants = [first + timedelta(days=day) for day in range(number)]
    pipeline.mailings.add(*(pipeline.mailings.event("sent", person, "11-20 09:05", occurred_at=at) for at in instants))
    return [at.date().isoformat() for at in instants]


def test_by_default_nothing_is_ever_asked_for(pipeline: Pipeline) -> None:
    days(pipeline, MORNING - timedelta(days=3), 3)
    everything = [each.name for each in pipeline.definitions.get_repository_def().schedule_defs]
    schedules = [name for name in everything if "activity" in name]
    assert len(schedules) == 6
    assert {pipeline.tick_of(name, MORNING) for name in schedules if "daily_activity" in name} == {
        "frequency is manual"
    }


def test_hourly_ticks_leave_a_sign_of_life_whatever_the_settings_say(pipeline: Pipeline) -> None:
    before = datetime.now(UTC)
    pipeline.tick_of("hourly_delivery_of_weekly_activity", before)
    assert pipeline.world.ledger.health(before).heartbeats["schedules"].at >= before


def test_while_salesforce_is_in_trouble_a_tick_says_until_when(pipeline: Pipeline) -> None:
    days(pipeline, MORNING - timedelta(days=1), 1)
    settle(pipeline.world, frequency="daily")
    pipeline.world.unsubscribe(pipeline.world.contact())
    pipeline.world.fault("unavailable")
    assert not pipeline.run().success
    answer = pipeline.tick_of(DAILY, MORNING)
    assert isinstance(answer, str)
    assert answer.startswith("Salesforce is tried again at 20")
    assert "because HTTP_503" in answer


def test_daily_asks_for_sent_only_until_opened_is_chosen(pipeline: Pipeline) -> None:
    (day,) = days(pipeline, MORNING - timedelta(days=1), 1)
    settle(pipeline.world, frequency="daily")
    assert kinds(pipeline.tick_of(DAILY, MORNING)) == {day: {"daily_sent_writebacks"}}
    settle(pipeline.world, opened="true")
    assert kinds(pipeline.tick_of(DAILY, MORNING)) == {day: {"daily_sent_writebacks", "daily_opened_writebacks"}}


def test_with_daily_chosen_and_nothing_else_the_next_tick_writes_sent_and_not_opened(pipeline: Pipeline) -> None:
    (day,) = days(pipeline, MORNING - timedelta(days=1), 1)
    pipeline.mailings.opened(pipeline.world.contact(), occurred_at=MORNING - timedelta(days=1))
    settle(pipeline.world, frequency="daily")
    answer = pipeline.tick_of(DAILY, MORNING)
    assert not isinstance(answer, str)
    (request,) = answer
    run = pipeline.definitions.resolve_job_def(request.job_name or "deliver_daily_activity").execute_in_process(
        instance=pipeline.instance, partition_key=request.partition_key, asset_selection=request.asset_selection
    )
    assert run.success
    assert [task["Writeback_Key__c"].rpartition(":")[0] for task in tasks(pipeline.world)] == [f"sent:daily:{day}"]
    assert isinstance(pipeline.tick_of(DAILY, MORNING), str)


@pytest.mark.parametrize(
    ("schedule", "settings", "reason"),
    [
        (DAILY, {"activity_enabled": "false"}, "mailing activity writeback is disabled"),
        (DAILY, {"sent": "false"}, "neither sent nor opened is chosen"),
        (HOURLY, {}, "frequency is daily, this is the hourly schedule"),
        (DAILY, {"occurrence": "weekly"}, "the weekly occurrence is chosen, this schedule delivers daily windows"),
        (DAILY, {}, "every window of the last 35 days that has events is delivered as they stand"),
    ],
)
def test_a_tick_that_asks_for_nothing_says_why(
    pipeline: Pipeline, schedule: str, settings: dict[str, str], reason: str
) -> None:
    settle(pipeline.world, **{"frequency": "daily"} | settings)
    assert pipeline.tick_of(schedule, MORNING) == reason


def test_a_tick_asks_for_the_oldest_windows_first_and_for_not_too_many(pipeline: Pipeline) -> None:
    missing = days(pipeline, MORNING - timedelta(days=20), 20)
    settle(pipeline.world, frequency="daily")
    assert asked(pipeline.tick_of(DAILY, MORNING)) == missing[:14]


def test_after_days_without_a_daemon_the_next_tick_catches_up_and_a_late_file_is_noticed(pipeline: Pipeline) -> None:
    missed = days(pipeline, MORNING - timedelta(days=4), 4)
    settle(pipeline.world, frequency="daily")
    deliver(pipeline.world, pipeline.mailings, name=missed[0])
    assert asked(pipeline.tick_of(DAILY, MORNING)) == missed[1:]
    pipeline.mailings.sent(pipeline.world.contact(), occurred_at=MORNING - timedelta(days=4))
    assert asked(pipeline.tick_of(DAILY, MORNING)) == missed


def test_hourly_adds_the_open_window(pipeline: Pipeline) -> None:
    both = days(pipeline, MORNING - timedelta(days=1), 2)
    settle(pipeline.world, frequency="hourly")
    assert asked(pipeline.tick_of(HOURLY, MORNING)) == both
    settle(pipeline.world, frequency="daily")
    assert asked(pipeline.tick_of(DAILY, MORNING)) == both[:1]


def test_weekly_waits_for_the_week_to_end_and_then_asks_for_its_days(pipeline: Pipeline) -> None:
    week = days(pipeline, MORNING - timedelta(days=7), 8)
    settle(pipeline.world, frequency="weekly")
    assert isinstance(pipeline.tick_of(WEEKLY, MORNING - timedelta(hours=6)), str)
    assert asked(pipeline.tick_of(WEEKLY, MORNING + timedelta(days=2))) == week[:7]


def test_a_retry_that_became_due_this_week_does_not_wait_for_the_next(pipeline: Pipeline) -> None:
    (day,) = days(pipeline, MORNING - timedelta(days=1), 1)
    settle(pipeline.world, frequency="weekly")
    deliver(pipeline.world, pipeline.mailings, name=day)
    later = (MORNING + timedelta(hours=1)).replace(tzinfo=None)
    with open_database(pipeline.world.database).writing() as session:
        session.execute(
            "UPDATE writebacks SET status = 'waiting', settled_at = NULL, next_attempt_at = $1::TIMESTAMP", [later]
        )
    assert isinstance(pipeline.tick_of(WEEKLY, MORNING), str)
    assert asked(pipeline.tick_of(WEEKLY, MORNING + timedelta(hours=2))) == [day]


def test_a_weekly_occurrence_asks_for_the_week_by_its_partition(pipeline: Pipeline) -> None:
    days(pipeline, MORNING - timedelta(days=4), 1)
    settle(pipeline.world, frequency="daily", occurrence="weekly")
    assert asked(pipeline.tick_of(OF_WEEKS, MORNING)) == [WEEK]
    settle(pipeline.world, week_starts_on="sunday")
    assert asked(pipeline.tick_of(OF_WEEKS, MORNING)) == ["2025-11-10"]  # which stands for the Sunday after it


def test_what_one_occurrence_wrote_the_other_does_not_write_again(pipeline: Pipeline) -> None:
    days(pipeline, MORNING - timedelta(days=4), 1)
    settle(pipeline.world, frequency="daily")
    deliver(pipeline.world, pipeline.mailings, name=DAY)
    settle(pipeline.world, occurrence="weekly")
    assert isinstance(pipeline.tick_of(OF_WEEKS, MORNING), str)
    deliver(pipeline.world, pipeline.mailings, Kind.OPENED, WEEK, Occurrence.WEEKLY)
    settle(pipeline.world, occurrence="daily", sent="false", opened="true")
    assert isinstance(pipeline.tick_of(DAILY, MORNING), str)


def test_a_week_in_which_the_occurrence_changed_is_finished_in_days_and_no_day_is_lost(pipeline: Pipeline) -> None:
    week = days(pipeline, MORNING - timedelta(days=7), 7)
    settle(pipeline.world, frequency="daily")
    for day in week[:2]:
        deliver(pipeline.world, pipeline.mailings, name=day)
    settle(pipeline.world, occurrence="weekly")
    wednesday_has_ended = MORNING - timedelta(days=4)
    assert asked(pipeline.tick_of(DAILY, wednesday_has_ended)) == week[2:3]
    assert asked(pipeline.tick_of(DAILY, MORNING)) == week[2:]
    assert isinstance(pipeline.tick_of(OF_WEEKS, MORNING), str)
    for day in week[2:]:
        deliver(pipeline.world, pipeline.mailings, name=day)
    told = [task["Subject"] for task in tasks(pipeline.world)]
    assert len(told) == len(set(told)) == 7
    assert pipeline.tick_of(DAILY, MORNING) == ("the weekly occurrence is chosen, this schedule delivers daily windows")
    pipeline.mailings.sent(pipeline.world.contact(), when="11-18 10:00")
    assert asked(pipeline.tick_of(DAILY, MORNING)) == ["2025-11-18"]  # a late file of a window that was written


def test_a_week_that_was_begun_as_one_is_finished_as_one(pipeline: Pipeline) -> None:
    days(pipeline, MORNING - timedelta(days=7), 3)
    settle(pipeline.world, frequency="hourly", occurrence="weekly")
    deliver(pipeline.world, pipeline.mailings, name=WEEK, occurrence=Occurrence.WEEKLY)
    settle(pipeline.world, occurrence="daily")
    pipeline.mailings.sent(pipeline.world.contact(), when="11-21 10:00")
    wednesday = MORNING - timedelta(days=4)
    assert asked(pipeline.tick_of("hourly_delivery_of_weekly_activity", wednesday)) == [WEEK]
    assert isinstance(pipeline.tick_of(HOURLY, wednesday), str)


def test_windows_that_fail_for_ever_do_not_keep_the_newer_ones_waiting(pipeline: Pipeline) -> None:
    missing = days(pipeline, MORNING - timedelta(days=20), 20)
    settle(pipeline.world, frequency="daily")
    assert asked(pipeline.tick_of(DAILY, MORNING)) == missing[:14]
    runs = [
        pipeline.instance.create_run_for_job(
            pipeline.definitions.resolve_job_def("deliver_daily_activity"),
            status=dg.DagsterRunStatus.FAILURE,
            tags={"dagster/partition": day},
        )
        for day in missing[:14]
    ]
    assert asked(pipeline.tick_of(DAILY, MORNING)) == [*missing[14:], *missing[:8]]
    for run in runs:
        pipeline.instance.delete_run(run.run_id)


def test_windows_under_way_are_left_out(pipeline: Pipeline) -> None:
    first, second = days(pipeline, MORNING - timedelta(days=2), 2)
    settle(pipeline.world, frequency="daily")
    run = pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("deliver_daily_activity"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": first},
    )
    assert asked(pipeline.tick_of(DAILY, MORNING)) == [second]
    pipeline.instance.delete_run(run.run_id)


def test_a_changed_time_zone_takes_effect_at_the_next_tick(pipeline: Pipeline) -> None:
    (day,) = days(pipeline, MORNING - timedelta(days=1), 1)
    settle(pipeline.world, frequency="daily", time_zone="Asia/Tokyo")
    assert asked(pipeline.tick_of(DAILY, MORNING)) == [day]  # 05:20 UTC on the 23rd is the afternoon of the 23rd there
    deliver(pipeline.world, pipeline.mailings, name=day)
    settle(pipeline.world, time_zone="America/New_York")
    assert day in asked(pipeline.tick_of(DAILY, MORNING))  # the same name, other bounds


@pytest.mark.duckdb_file  # nobody who looks waits for a server
def test_a_busy_store_is_a_skipped_tick(pipeline: Pipeline) -> None:
    settle(pipeline.world, frequency="daily")
    with open_database(pipeline.world.database).writing():
        pipeline.world.ledger = pipeline.world.store(wait=timedelta(milliseconds=50))
        assert pipeline.tick_of(DAILY, MORNING) == "the store is busy"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
@pytest.mark.parametrize("frequency", list(TICKS))
def test_dagster_ticks_when_the_pages_say_so(frequency: Frequency, zone: str) -> None:
    ticks = schedule_execution_time_iterator(MORNING.timestamp() + 1, TICKS[frequency].cron, zone)
    assert next_tick(frequency, MORNING, ZoneInfo(zone)) == next(ticks).astimezone(UTC)
