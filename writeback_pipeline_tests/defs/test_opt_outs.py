"""The opt-out assets, checks and sensor in real Dagster runs."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.remote_origin import ManagedGrpcPythonEnvCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from writeback_pipeline.defs import sensors
from writeback_pipeline.delivery.undo import RunUndo
from writeback_pipeline.domain.ledger import LEASE
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.defs.conftest import Pipeline, checks, metadata
from writeback_pipeline_tests.world import START


def long_ago(pipeline: Pipeline, hours: int) -> None:
    """Queue an unsubscribe that nobody can deliver, as if that many hours ago."""
    pipeline.world.clock.at = datetime.now(UTC) - timedelta(hours=hours)
    pipeline.world.unsubscribe(pipeline.world.contact())
    pipeline.world.ledger.claim("somebody else", datetime.now(UTC), limit=1)


def test_a_run_delivers_and_tells_in_numbers_what_it_did(pipeline: Pipeline) -> None:
    person, gone = pipeline.world.contact(), pipeline.world.contact()
    pipeline.world.as_user(admin.delete, gone)
    pipeline.world.unsubscribe(person)
    pipeline.world.unsubscribe(gone)
    result = pipeline.run()
    assert result.success
    assert pipeline.world.opted_out(person)
    queue, written = metadata(result, "pending_queue"), metadata(result, "opt_out_writebacks")
    assert (queue["owed"], queue["pending"]) == (2, 2)
    assert (written["settled"], written["written"], written["failed"], written["flag_set"]) == (2, 1, 1, 1)
    assert written["api_calls"] == 3
    (problem,) = written["needs_attention"].records
    assert problem.data["error"] == "ENTITY_IS_DELETED"
    assert {row.run_id for row in pipeline.world.rows()} == {result.run_id}


def test_how_long_opt_outs_took_is_told_of_the_run_and_of_the_day(pipeline: Pipeline) -> None:
    pipeline.world.clock.at = datetime.now(UTC) - timedelta(minutes=10)
    pipeline.world.unsubscribe(pipeline.world.contact(), pipeline.world.clock() - timedelta(minutes=50))
    first = pipeline.run()
    written = metadata(first, "opt_out_writebacks")
    assert 2_990 <= written["event_to_queued_p50_seconds"] <= 3_010
    assert 590 <= written["queued_to_written_p95_seconds"] <= 700
    assert 3_590 <= written["event_to_written_max_seconds"] <= 3_700
    assert "event_to_written_p50_seconds" not in metadata(first, "pending_queue")
    second = pipeline.run()
    assert "event_to_written_p50_seconds" not in metadata(second, "opt_out_writebacks")
    (day,) = metadata(second, "pending_queue")["latency_by_day"].records
    assert day.data["written"] == "1"
    assert day.data["event_to_written_max"] == str(written["event_to_written_max_seconds"])


def test_a_row_that_needs_a_person_colours_the_check_and_not_the_run(pipeline: Pipeline) -> None:
    gone = pipeline.world.contact()
    pipeline.world.as_user(admin.delete, gone)
    pipeline.world.unsubscribe(gone)
    result = pipeline.run()
    assert result.success
    assert checks(result) == {
        "organisation_is_ready": True,
        "nothing_failed": False,
        "no_opt_out_is_older_than": True,
        "every_row_is_accounted_for": True,
    }
    assert checks(pipeline.run())["nothing_failed"] is False  # and stays red until somebody has acted


def test_the_check_of_failures_tells_each_error_once_with_what_to_do(pipeline: Pipeline) -> None:
    world = pipeline.world
    gone = [world.contact() for _ in range(3)]
    for person in gone:
        world.as_user(admin.delete, person)
        world.unsubscribe(person)
    (found,) = (each for each in pipeline.run().get_asset_check_evaluations() if each.check_name == "nothing_failed")
    assert (found.description, found.metadata["failed"].value) == ("3 opt-outs need a person", 3)
    table = found.metadata["errors"]
    assert isinstance(table, dg.TableMetadataValue)
    (error,) = table.records
    newest = max(world.rows(), key=lambda row: row.id)
    assert error.data == {
        "error": "ENTITY_IS_DELETED",
        "rows": "3",
        "what to do": newest.advice,
        "example": str(newest.id),
        "record": newest.salesforce_id,
        "message": newest.error_message,
    }


def test_what_was_undone_leaves_the_check_green(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    run_id = pipeline.run().run_id
    RunUndo(pipeline.world.ledger, pipeline.world.organisation, lambda: datetime.now(UTC), "somebody").run(run_id)
    assert [row.error_code for row in pipeline.world.rows()] == ["UNDONE"]
    assert checks(pipeline.run())["nothing_failed"] is True


def test_the_age_check_warns_after_an_hour_and_fails_after_two_days(pipeline: Pipeline) -> None:
    long_ago(pipeline, hours=2)
    (warned,) = [c for c in pipeline.run().get_asset_check_evaluations() if c.check_name == "no_opt_out_is_older_than"]
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    long_ago(pipeline, hours=49)
    (failed,) = [c for c in pipeline.run().get_asset_check_evaluations() if c.check_name == "no_opt_out_is_older_than"]
    assert (failed.passed, failed.severity) == (False, dg.AssetCheckSeverity.ERROR)


def test_a_dry_run_shows_the_plan_and_writes_nothing(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person, reason="Bad Email")
    result = pipeline.run(dry_run=True)
    assert result.success
    assert not pipeline.world.opted_out(person)
    assert pipeline.world.rows(person)[0].status is Status.PENDING
    (observed,) = [e for e in result.all_events if e.event_type_value == "ASSET_OBSERVATION"]
    plan = observed.asset_observation_data.asset_observation.metadata
    assert (plan["planned_writebacks"].value, plan["planned_api_calls"].value) == (1, 2)
    table = plan["plan"]
    assert isinstance(table, dg.TableMetadataValue)
    (line,) = table.records
    assert str(line.data["note_body"]).endswith("Reason: Bad Email")
    assert "opt_out_writebacks" not in {
        e.materialization.asset_key.to_user_string() for e in result.get_asset_materialization_events()
    }


def test_the_limit_is_a_number_of_people(pipeline: Pipeline) -> None:
    pipeline.world.unsubscribe_all([pipeline.world.contact() for _ in range(3)])
    assert metadata(pipeline.run(limit=2), "opt_out_writebacks")["written"] == 2


def test_the_sensor_asks_for_one_run_while_something_is_due(pipeline: Pipeline) -> None:
    assert pipeline.tick() == dg.SkipReason("nothing is due")
    pipeline.world.clock.at = datetime.now(UTC)
    pipeline.world.unsubscribe(pipeline.world.contact())
    asked = pipeline.tick()
    assert isinstance(asked, dg.RunRequest)
    assert asked.run_key is None
    pipeline.run()
    assert pipeline.tick() == dg.SkipReason("nothing is due")


def test_the_sensor_waits_while_a_delivery_is_under_way(pipeline: Pipeline) -> None:
    pipeline.world.unsubscribe(pipeline.world.contact(), START)
    pipeline.instance.create_run_for_job(
        pipeline.definitions.resolve_job_def("deliver_opt_outs"), status=dg.DagsterRunStatus.STARTED
    )
    assert pipeline.tick() == dg.SkipReason("a delivery is under way")


def after_the_lease(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """What the sensor's clock shows from now on: a lease and a tick later."""
    later = datetime.now(UTC) + LEASE + timedelta(seconds=30)

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return later

    monkeypatch.setattr(sensors, "datetime", Later)
    return later


def test_a_run_that_takes_long_is_waited_for_while_it_has_people_leased(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        pipeline.world.unsubscribe(pipeline.world.contact(), START)
    job = pipeline.definitions.resolve_job_def("deliver_opt_outs")
    pipeline.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    later = after_the_lease(monkeypatch)
    (claim,) = pipeline.world.ledger.claim("the long run", later - LEASE / 2, limit=1)
    assert pipeline.tick() == dg.SkipReason("a delivery is under way")
    pipeline.world.ledger.release("the long run", [claim.lease])
    assert isinstance(pipeline.tick(), dg.RunRequest), "its host is gone, and so are its leases"


def test_a_run_that_takes_long_is_waited_for_while_its_log_grows(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.world.unsubscribe(pipeline.world.contact(), START)
    job = pipeline.definitions.resolve_job_def("deliver_opt_outs")
    run = pipeline.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    later = after_the_lease(monkeypatch)
    assert isinstance(pipeline.tick(), dg.RunRequest)
    told = dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None, level="info", user_message="settled", run_id=run.run_id, timestamp=later.timestamp() - 60
    )
    pipeline.instance.store_event(told)
    assert pipeline.tick() == dg.SkipReason("a delivery is under way")


def test_a_run_that_is_queued_is_waited_for_however_long(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.world.unsubscribe(pipeline.world.contact(), START)
    job = pipeline.definitions.resolve_job_def("deliver_opt_outs")
    module = LoadableTargetOrigin(module_name="writeback_pipeline.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(module, "writeback_pipeline")
    origin = RemoteRepositoryOrigin(location, "__repository__").get_job_origin(job.name)
    pipeline.instance.create_run_for_job(job, status=dg.DagsterRunStatus.QUEUED, remote_job_origin=origin)
    after_the_lease(monkeypatch)
    assert pipeline.tick() == dg.SkipReason("a delivery is under way")


@pytest.mark.duckdb_file  # nobody who looks waits for a server
def test_a_busy_store_is_a_skipped_tick_and_no_crash(pipeline: Pipeline) -> None:
    with open_database(pipeline.world.database).writing():
        pipeline.world.ledger = pipeline.world.store(wait=timedelta(milliseconds=50))
        assert pipeline.tick() == dg.SkipReason("the store is busy")


def test_trouble_with_the_whole_organisation_fails_the_run_and_marks_no_row_failed(pipeline: Pipeline) -> None:
    pipeline.world.hide_opt_out_field()
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    result = pipeline.run()
    assert not result.success
    assert pipeline.world.rows(person)[0].status is Status.PENDING
    (failure,) = [e.step_failure_data for e in result.all_events if e.is_step_failure]
    assert failure.user_failure_data is not None
    assert "Email Opt Out" in (failure.user_failure_data.description or "")


def test_a_row_that_contradicts_itself_is_found(pipeline: Pipeline) -> None:
    pipeline.world.unsubscribe(pipeline.world.contact())
    pipeline.run()
    with open_database(pipeline.world.database).writing() as session:
        session.execute("UPDATE writebacks SET note_id = NULL")
    assert checks(pipeline.run())["every_row_is_accounted_for"] is False


def test_the_reconciliation_sets_flags_again_and_lists_notes_that_are_gone(pipeline: Pipeline) -> None:
    world = pipeline.world
    world.clock.at = datetime.now(UTC)
    cleared, without_note, _ = people = [world.contact() for _ in range(3)]
    world.unsubscribe_all(people)
    world.deliver()
    world.as_user(admin.edit, cleared, {"HasOptedOutOfEmail": False})
    world.as_user(admin.delete, world.rows(without_note)[0].note_id)
    job = pipeline.definitions.resolve_job_def("reconcile_opt_outs")
    found = metadata(job.execute_in_process(instance=pipeline.instance), "opt_out_reconciliation")
    assert [found[name] for name in ("people_compared", "flags_set_again", "notes_gone")] == [3, 1, 1]
    assert world.opted_out(cleared)
    assert world.notes(without_note) == []
    again = metadata(job.execute_in_process(instance=pipeline.instance), "opt_out_reconciliation")
    assert [again[name] for name in ("people_compared", "flags_set_again", "notes_gone")] == [3, 0, 1]
