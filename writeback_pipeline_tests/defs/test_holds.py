"""What Dagster shows while Salesforce is left alone, and what a run says of its cost."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from writeback_pipeline.defs.runs import is_manual
from writeback_pipeline.delivery.gate import Gate
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline_tests.defs.conftest import Pipeline, metadata
from writeback_pipeline_tests.world import START

BY_SENSOR = {"dagster/sensor_name": "opt_out_queue_sensor"}


def owe(pipeline: Pipeline) -> None:
    pipeline.world.unsubscribe(pipeline.world.contact(), START)


def run_by_sensor(pipeline: Pipeline) -> dg.ExecuteInProcessResult:
    job = pipeline.definitions.resolve_job_def("deliver_opt_outs")
    return job.execute_in_process(instance=pipeline.instance, tags=BY_SENSOR, raise_on_error=False)


def failure(result: dg.ExecuteInProcessResult) -> str:
    (step,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert step.user_failure_data is not None
    return step.user_failure_data.description or ""


def test_a_run_says_what_it_cost_and_what_is_left(pipeline: Pipeline) -> None:
    owe(pipeline)
    numbers = metadata(pipeline.run(), "opt_out_writebacks")
    assert numbers["api_calls"] == 2
    # The look beforehand asks for the API's versions, which the organisation does not count.
    assert numbers["api_calls_left"] == 50_000 - pipeline.world.calls_received() - 1
    assert numbers["api_calls_per_1000_writebacks"] == 2000.0


def test_the_sensor_says_why_it_waits(pipeline: Pipeline) -> None:
    owe(pipeline)
    pipeline.world.fault("unavailable")
    assert not run_by_sensor(pipeline).success
    waits = pipeline.tick()
    assert isinstance(waits, dg.SkipReason)
    assert waits.skip_message is not None
    assert waits.skip_message.startswith("Salesforce is tried again at 20")
    assert "because HTTP_503" in waits.skip_message


def test_a_run_that_the_sensor_started_waits_and_one_that_a_person_started_tries(pipeline: Pipeline) -> None:
    owe(pipeline)
    pipeline.world.fault("unavailable", times=1)
    assert "HTTP_503" in failure(run_by_sensor(pipeline))
    assert "Not called before" in failure(run_by_sensor(pipeline))
    assert pipeline.run().success
    assert pipeline.world.ledger.hold(Purpose.OPT_OUTS, datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("tag", "manual"),
    [
        ("dagster/sensor_name", False),
        ("dagster/schedule_name", False),
        ("dagster/backfill", False),
        ("dagster/retry_number", False),
        ("dagster/partition", True),
        ("writebacks/due", True),
    ],
)
def test_what_dagster_starts_by_itself_is_told_by_its_tags(pipeline: Pipeline, tag: str, manual: bool) -> None:
    job = pipeline.definitions.resolve_job_def("deliver_opt_outs")
    assert is_manual(pipeline.instance.create_run_for_job(job, tags={tag: "1"})) is manual


def test_a_spent_budget_is_told_by_the_sensor_too(pipeline: Pipeline) -> None:
    owe(pipeline)
    pipeline.world.ledger.change_settings({"api_budget_share": "0.01"}, "somebody", START)
    assert isinstance(pipeline.tick(), dg.RunRequest)
    gate = Gate(pipeline.world.ledger, Purpose.OPT_OUTS, lambda: datetime.now(UTC) - timedelta(hours=2))
    for _ in range(150):
        gate.admit(ApiUsage(calls=0))
    waits = pipeline.tick()
    assert isinstance(waits, dg.SkipReason)
    assert "API_BUDGET_SPENT: 150 API calls were made in 24 hours, of 150 that are ours." in (waits.skip_message or "")
