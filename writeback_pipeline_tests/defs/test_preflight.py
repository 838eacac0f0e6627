"""The look before the first delivery of a day, as Dagster runs it."""

from datetime import UTC, datetime

import dagster as dg
import pytest

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import package, usage
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.store.location import open_database
from writeback_pipeline_tests.defs.conftest import Pipeline, checks


def calls_so_far(pipeline: Pipeline) -> int:
    with pipeline.world.inside.connection() as connection:
        return usage.used(connection, datetime.now(UTC).timestamp())


def look(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "organisation_is_ready"]
    return found


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    told = [event.step_failure_data.user_failure_data for event in result.all_events if event.is_step_failure]
    return [(each.description or "") if each else "" for each in told]


def test_the_organisation_is_looked_at_before_the_first_delivery_of_a_day_only(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    first = pipeline.run()
    assert look(first).passed
    assert look(first).metadata["failures"].value == 0
    assert pipeline.world.opted_out(person)
    before = calls_so_far(pipeline)
    second = pipeline.run()
    assert look(second).passed
    assert calls_so_far(pipeline) == before


def test_what_was_found_yesterday_counts_no_more(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.run()

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: object = None) -> "Tomorrow":
            return cls(2099, 1, 1, tzinfo=UTC)

    before = calls_so_far(pipeline)
    monkeypatch.setattr("writeback_pipeline.defs.preflight.datetime", Tomorrow)
    result = pipeline.run()
    assert calls_so_far(pipeline) > before
    assert "clock" in (look(result).description or "")


def test_a_hidden_flag_is_one_error_that_names_the_permission_set_and_no_row_fails(pipeline: Pipeline) -> None:
    pipeline.world.hide_opt_out_field()
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    result = pipeline.run()
    assert not result.success
    (told,) = failures(result)
    assert told.count("Salesforce_Writebacks") == 1
    assert "Email Opt Out" in told
    assert checks(result) == {"organisation_is_ready": False}
    assert pipeline.world.rows(person)[0].status is Status.PENDING
    assert not pipeline.world.opted_out(person)


def test_what_was_in_the_way_is_looked_at_again_until_it_is_gone(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    with pipeline.world.inside.connection() as connection:
        package.uninstall(connection)
        assert not pipeline.run().success
        package.install(connection)
    assert look(pipeline.run()).passed
    assert pipeline.world.opted_out(person)


def test_what_could_be_better_is_yellow_and_holds_nothing_back(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    with pipeline.world.inside.connection() as connection:
        org_settings.change(connection, daily_api_requests=100)
        usage.add(connection, 90, datetime.now(UTC).timestamp())
    found = look(pipeline.run())
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "API requests" in (found.description or "")
    assert pipeline.world.opted_out(person)
    again = look(pipeline.run())
    assert (again.passed, again.severity, again.description) == (False, found.severity, found.description)


@pytest.mark.parametrize(
    ("hidden", "passed"), [("Task", True), ("Lead.HasOptedOutOfEmail", False)], ids=["activity", "leads"]
)
def test_what_others_lack_holds_no_opt_out_back(pipeline: Pipeline, hidden: str, passed: bool) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    with pipeline.world.inside.connection() as connection:
        org_settings.change(connection, hidden=frozenset({hidden}))
    result = pipeline.run()
    assert result.success
    assert (look(result).passed, look(result).severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert pipeline.world.opted_out(person)


def test_what_may_pass_is_left_to_the_delivery(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    with pipeline.world.inside.connection() as connection:
        org_settings.change(connection, daily_api_requests=0)
    result = pipeline.run()
    assert (look(result).passed, look(result).severity) == (False, dg.AssetCheckSeverity.WARN)
    assert pipeline.world.rows(person)[0].status in (Status.PENDING, Status.WAITING)
    with pipeline.world.inside.connection() as connection:
        org_settings.change(connection, daily_api_requests=1_000)
    assert look(pipeline.run()).passed


def test_another_organisation_than_the_ledgers_is_written_nothing(pipeline: Pipeline) -> None:
    person = pipeline.world.contact()
    pipeline.world.unsubscribe(person)
    with open_database(pipeline.world.database).writing() as session:
        session.execute("INSERT INTO organisation (slot, organisation_id) VALUES (1, '00D000000000001EAA')")
    result = pipeline.run()
    assert not result.success
    assert "the ledger belongs to 00D000000000001EAA" in failures(result)[0]
    assert not pipeline.world.opted_out(person)
