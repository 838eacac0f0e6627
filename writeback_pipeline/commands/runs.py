"""Run a Dagster job of this project in this process, recorded in the home's instance like any other run.

Imports dagster, so it is imported only by commands that run something.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from writeback_pipeline.commands.dagster_home import one_at_a_time
from writeback_pipeline.definitions import defs


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that ended. `failure` is what it failed with, `passing` whether a later run may succeed by itself;
    `failed_checks` are the asset checks that are red."""

    run_id: str
    failure: str | None
    passing: bool
    failed_checks: tuple[str, ...]


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The instance that DAGSTER_HOME names, with its tables made."""
    with ExitStack() as stack:
        with one_at_a_time(Path(os.environ["DAGSTER_HOME"])):
            instance = stack.enter_context(dg.DagsterInstance.get())
        yield instance


def deliver_opt_outs_job() -> dg.JobDefinition:
    """The job as Dagster loads it again inside the run."""
    return defs().resolve_job_def("deliver_opt_outs")


def run_opt_outs(config: Mapping[str, Any]) -> FinishedRun:
    """Run `deliver_opt_outs` with that configuration of the write asset."""
    run_config = {
        "ops": {"opt_out_writebacks": {"config": dict(config)}},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    with (
        open_instance() as instance,
        dg.execute_job(dg.reconstructable(deliver_opt_outs_job), instance=instance, run_config=run_config) as result,
    ):
        return _finished(result)


def _finished(result: dg.JobExecutionResult) -> FinishedRun:
    failure, passing = (None, False) if result.success else _failure(result)
    red = tuple(
        evaluation.check_name
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
    )
    return FinishedRun(result.run_id, failure, passing, red)


def _failure(result: dg.JobExecutionResult) -> tuple[str, bool]:
    for event in result.all_node_events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            if told is not None:
                return told.description or "", told.metadata["passing"].value is True
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            if error is not None:
                return error.message.strip(), True
    return "the run failed; its log in Dagster says why", True
