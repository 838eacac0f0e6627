"""The assets and checks of mailing activity in real Dagster runs."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from writeback_pipeline.defs import activity
from writeback_pipeline.domain.ledger import LEASE, QUIET
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.window_ledger import scope_of
from writeback_pipeline.domain.windows import Calendar, window_named
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.defs.conftest import Pipeline, checks, metadata
from writeback_pipeline_tests.delivery.test_activity import DiesBeforeRecording
from writeback_pipeline_tests.mailings import DAY, WEEK, deliver, settle, tasks

SENT, OPENED = "daily_sent_writebacks", "daily_opened_writebacks"


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the step failed with, in its own words."""
    failed, *_ = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    if failed.user_failure_data is not None:
        return failed.user_failure_data.description or ""
    assert failed.error is not None
    return (failed.error.cause or failed.error).message


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == name]
    return found


def yesterday(pipeline: Pipeline, person: str, days: int = 1) -> str:
    """An event that many days ago; its day."""
    then = datetime.now(UTC) - timedelta(days=days)
    pipeline.mailings.sent(person, occurred_at=then)
    return then.date().isoformat()


def test_a_window_is_delivered_and_told_in_numbers_that_add_up(pipeline: Pipeline) -> None:
    world, mailings = pipeline.world, pipeline.mailings
    person, gone = world.contact(), world.contact()
    world.as_user(admin.delete, gone)
    day = yesterday(pipeline, person)
    noon = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    mailings.sent(person, gone, None, occurred_at=noon)
    mailings.opened(person, occurred_at=noon)
    result = pipeline.materialize(SENT, day=day)
    assert result.success
    numbers = metadata(result, SENT)
    assert {name: numbers[name] for name in ("events", "summaries", "written", "failed", "no_recipient")} == {
        "events": 4,
        "summaries": 2,
        "written": 1,
        "failed": 1,
        "no_recipient": 1,
    }
    (problem,) = numbers.pop("needs_attention").records
    assert (problem.data["record"], problem.data["error"]) == (gone, "ENTITY_IS_DELETED")
    assert "undelete it" in problem.data["what to do"]
    assert all(isinstance(value, int | float) for value in numbers.values())
    counted = metadata(result, "daily_activity_summaries")
    assert (counted["events"], counted["sent_events"], counted["sent_summaries"]) == (5, 4, 2)
    assert len(tasks(world)) == 1  # opened was not asked for
    assert {row.run_id for row in world.rows()} == {result.run_id}
    accounted = check(result, "every_row_is_accounted_for")
    assert accounted.passed
    assert {name: accounted.metadata[name].value for name in ("events", "written", "failed", "no_recipient")} == {
        "events": 4,
        "written": 1,
        "failed": 1,
        "no_recipient": 1,
    }


@pytest.mark.parametrize("frequency", ["manual", "daily"])
def test_where_no_schedule_comes_back_to_a_window_somebody_is_asked_to(pipeline: Pipeline, frequency: str) -> None:
    pipeline.world.ledger.change_settings({"frequency": frequency}, "tester", datetime.now(UTC))
    pipeline.mailings.sent(pipeline.world.contact())
    pipeline.world.fault("unavailable")
    told = failure(pipeline.materialize(SENT))
    assert "tried again by itself" in told
    assert ("materialise the window again" in told) is (frequency == "manual")


@pytest.mark.parametrize("frequency", ["manual", "daily"])
def test_a_run_in_place_of_one_that_got_no_answers_lists_what_is_in_doubt(pipeline: Pipeline, frequency: str) -> None:
    pipeline.world.ledger.change_settings({"frequency": frequency}, "tester", datetime.now(UTC))
    person = pipeline.world.contact()
    pipeline.mailings.sent(person)
    pipeline.world.fault("drop_after", path="/composite")
    assert not pipeline.materialize(SENT).success
    pipeline.world.heal()
    result = pipeline.materialize(SENT)
    assert result.success
    numbers = metadata(result, SENT)
    assert (numbers["written"], numbers["unknown"]) == (0, 1)
    (doubted,) = numbers["needs_attention"].records
    assert (doubted.data["record"], doubted.data["status"]) == (person, "unknown")
    warned = [line.message for line in pipeline.instance.all_logs(result.run_id) if line.level == logging.WARNING]
    assert bool(warned) is (frequency == "manual")
    assert all(
        re.search(r"1 rows are still owed, from \d\d:\d\d UTC on.*materialise .* again", line) for line in warned
    )


def test_a_window_delivered_again_says_that_nothing_changed_and_calls_nobody(pipeline: Pipeline) -> None:
    pipeline.mailings.sent(pipeline.world.contact(), pipeline.world.contact())
    pipeline.materialize(SENT)
    numbers = metadata(pipeline.materialize(SENT), SENT)
    assert (numbers["unchanged"], numbers["written"], numbers["api_calls"]) == (2, 0, 0)


def test_the_runs_log_says_how_far_it_is_and_how_fast(pipeline: Pipeline) -> None:
    pipeline.mailings.sent(*(pipeline.world.contact() for _ in range(3)))
    lines = [each.user_message for each in pipeline.instance.all_logs(pipeline.materialize(SENT).run_id)]
    assert [line for line in lines if re.fullmatch(rf"{DAY}: 3 of 3 Tasks, \d+ a second", line)]
    counted = pipeline.materialize("daily_activity_summaries", until="2025-11-21")
    lines = [each.user_message for each in pipeline.instance.all_logs(counted.run_id)]
    assert [line for line in lines if re.fullmatch(rf"{DAY}: 3 events; 1 of 2 windows, \d+ events a second", line)]


REPEATED = {"dagster/retry_number": "1"}
"""The tag of a run that Dagster began in place of one whose worker died."""


def test_a_run_in_place_of_one_that_died_waits_for_the_window_and_any_other_leaves_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "LEASE", timedelta(seconds=2))
    person = pipeline.world.contact()
    pipeline.mailings.sent(person)
    day = window_named(DAY, Calendar(Occurrence.DAILY, ZoneInfo("UTC")))
    ledger, window = pipeline.world.ledger, scope_of(Kind.SENT, day)
    leased = ledger.lease_window(window, "a dead worker", datetime.now(UTC))
    assert leased is not None
    assert metadata(pipeline.materialize(SENT), SENT)["left_to_another_run"] == 1
    ledger.release_window(leased[0])
    assert ledger.lease_window(window, "a dead worker", datetime.now(UTC) - LEASE + timedelta(seconds=1.5))
    assert metadata(pipeline.materialize(SENT, tags=REPEATED), SENT)["written"] == 1
    assert len(tasks(pipeline.world, person)) == 1


def test_a_run_in_place_of_one_that_died_in_mid_write_waits_until_that_can_no_longer_arrive(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "QUIET", timedelta(seconds=3))
    world, person = pipeline.world, pipeline.world.contact()
    pipeline.mailings.sent(person)
    world.clock.at = datetime.now(UTC) - LEASE - QUIET + timedelta(seconds=2)
    with pytest.raises(KeyboardInterrupt):
        deliver(world, pipeline.mailings, ledger=DiesBeforeRecording(world.database, world.home))
    result = pipeline.materialize(SENT, tags=REPEATED)
    assert (metadata(result, SENT)["written"], metadata(result, SENT)["unknown"]) == (1, 0)
    assert len(tasks(world, person)) == 1


def test_a_row_that_was_lost_is_found(pipeline: Pipeline) -> None:
    day = yesterday(pipeline, pipeline.world.contact())
    pipeline.materialize(SENT, day=day)
    with open_database(pipeline.world.database).writing() as session:
        session.execute("DELETE FROM writebacks")
    settle(pipeline.world, sent="false")
    assert checks(pipeline.materialize(SENT))["every_row_is_accounted_for"] is False


def test_a_dry_run_shows_what_it_would_take_and_writes_nothing(pipeline: Pipeline) -> None:
    pipeline.mailings.sent(pipeline.world.contact(), pipeline.world.contact())
    result = pipeline.materialize(SENT, config={"dry_run": True})
    assert result.success
    assert (tasks(pipeline.world), pipeline.world.rows()) == ([], [])
    (observed,) = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    plan = observed.asset_observation_data.asset_observation.metadata
    assert (plan["planned_tasks"].value, plan["planned_api_calls"].value) == (2, 1)
    materialised = {
        each.materialization.asset_key.to_user_string() for each in result.get_asset_materialization_events()
    }
    assert SENT not in materialised


def test_disabled_activity_is_refused_with_the_remedy_while_opt_outs_flow_on(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.mailings.sent(person)
    settle(pipeline.world, activity_enabled="false")
    refused = pipeline.materialize(SENT)
    assert not refused.success
    assert "activity_enabled=true turns it on" in failure(refused)
    assert tasks(pipeline.world) == []
    pipeline.world.unsubscribe(person)
    assert pipeline.run().success
    assert pipeline.world.opted_out(person)


def corrupt(file: Path) -> str:
    """A whole footer over pages that are not what it says; what is told of it."""
    content = bytearray(file.read_bytes())
    content[4:400] = b"\xff" * 396
    file.write_bytes(bytes(content))
    return "cannot be read"


def half_written(file: Path) -> str:
    file.write_bytes(file.read_bytes()[:200])
    return "cannot be read"


def wrong_schema(file: Path) -> str:
    pq.write_table(pq.ParquetFile(file).read().append_column("clicks", pa.array([1])).drop_columns(["kind"]), file)
    return "column kind is missing, it must be VARCHAR"


@pytest.mark.parametrize("damage", [corrupt, half_written, wrong_schema])
def test_a_spoiled_file_fails_its_own_window_by_name_and_no_other(
    pipeline: Pipeline, damage: Callable[[Path], str]
) -> None:
    person = pipeline.world.contact()
    for day in ("11-19", "11-20", "11-21"):
        pipeline.mailings.sent(person, when=f"{day} 10:00")
    (file,) = pipeline.mailings.folder.glob("date=2025-11-20/*.parquet")
    whole = file.read_bytes()
    told = damage(file)
    assert pipeline.materialize(SENT, day="2025-11-19").success
    failed = pipeline.materialize(SENT, OPENED)
    assert not failed.success
    assert f"{file}: {told}" in failure(failed)
    assert "Replace the file or move it away, then run the window again." in failure(failed)
    assert pipeline.materialize(SENT, day="2025-11-21").success
    assert [task["ActivityDate"] for task in tasks(pipeline.world, person)] == ["2025-11-19", "2025-11-21"]
    file.write_bytes(whole)
    assert pipeline.materialize(SENT).success
    assert len(tasks(pipeline.world, person)) == 3


def test_summaries_of_a_range_are_counted_in_a_single_run(pipeline: Pipeline) -> None:
    pipeline.mailings.sent("003000000000001AAA", None)
    result = pipeline.materialize("daily_activity_summaries", day="2025-11-18", until="2025-11-22")
    assert result.success
    numbers = {
        event.partition: event.materialization.metadata["events"].value
        for event in result.get_asset_materialization_events()
    }
    assert numbers == {f"2025-11-{day}": 2 if day == 20 else 0 for day in range(18, 23)}
    assert pipeline.world.rows() == []


def test_a_week_is_one_task_whatever_day_it_starts_on(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    settle(pipeline.world, occurrence="weekly", week_starts_on="sunday")
    for when in ("11-23 10:00", "11-29 23:59", "11-22 10:00"):
        pipeline.mailings.sent(person, when=when)
    assert pipeline.materialize("weekly_sent_writebacks", day=WEEK).success
    (task,) = tasks(pipeline.world, person)
    assert task["Writeback_Key__c"] == f"sent:weekly:2025-11-23:{person}"
    assert "Sent 2 times" in task["Description"]


def test_six_weeks_backfilled_twice_write_nothing_the_second_time(pipeline: Pipeline) -> None:
    people = [pipeline.world.contact() for _ in range(2)]
    weeks = [
        (datetime(2025, 10, 13, tzinfo=UTC) + timedelta(days=7 * number)).date().isoformat() for number in range(6)
    ]
    for week in weeks:
        pipeline.mailings.sent(*people, occurred_at=datetime.fromisoformat(f"{week}T10:00:00+00:00"))
    for week in weeks:
        deliver(pipeline.world, pipeline.mailings, name=week, occurrence=Occurrence.WEEKLY)
    calls = pipeline.world.organisation.usage.calls
    again = [pipeline.materialize("weekly_sent_writebacks", day=week) for week in weeks]
    assert all(result.success for result in again)
    assert pipeline.world.organisation.usage.calls == calls
    green = pipeline.instance.get_materialized_partitions(dg.AssetKey("weekly_sent_writebacks"))
    assert green == set(weeks)
    numbers = [metadata(result, "weekly_sent_writebacks") for result in again]
    assert {(each["unchanged"], each["written"], each["api_calls"]) for each in numbers} == {(2, 0, 0)}
    assert len(tasks(pipeline.world)) == 12


def test_missing_windows_are_listed_and_only_a_chosen_frequency_makes_them_late(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    missing = yesterday(pipeline, person, days=5)
    listed = pipeline.materialize(SENT)
    found = check(listed, "no_window_is_missing")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    windows: Any = found.metadata["windows"]
    assert [record.data["window"] for record in windows.records] == [missing]
    fresh = check(listed, "is_fresh")
    assert (fresh.passed, fresh.description) == (True, "frequency is manual")

    settle(pipeline.world, frequency="daily")
    late = check(pipeline.materialize(SENT), "is_fresh")
    assert (late.passed, late.severity) == (False, dg.AssetCheckSeverity.ERROR)
    hours = late.metadata["hours_behind"].value
    assert isinstance(hours, int)
    assert 4 * 24 <= hours <= 5 * 24

    delivered = pipeline.materialize(SENT, day=missing)
    assert checks(delivered) == {
        "no_window_is_missing": True,
        "is_fresh": True,
        "every_row_is_accounted_for": True,
    }


def test_windows_that_the_settings_do_not_choose_are_no_ones_concern(pipeline: Pipeline) -> None:
    yesterday(pipeline, pipeline.world.contact(), days=5)
    settle(pipeline.world, frequency="daily")
    assert checks(pipeline.materialize(OPENED)) == {
        "no_window_is_missing": True,
        "is_fresh": True,
        "every_row_is_accounted_for": True,
    }


def test_a_failed_summary_does_not_fail_its_window(pipeline: Pipeline) -> None:
    gone = pipeline.world.contact()
    pipeline.world.as_user(admin.delete, gone)
    pipeline.mailings.sent(gone)
    assert pipeline.materialize(SENT, day=DAY).success
    assert [row.status for row in pipeline.world.rows(gone)] == [Status.FAILED]
