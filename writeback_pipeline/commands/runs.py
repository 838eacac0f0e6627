"""Run a Dagster job of this project in this process, recorded in the home's instance like any other run.

Imports dagster, so it is imported only by commands that run something.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from writeback_pipeline.bridges import CHOSEN
from writeback_pipeline.commands.dagster_home import one_at_a_time
from writeback_pipeline.definitions import defs
from writeback_pipeline.defs.scope import Scope
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.writebacks import Kind


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run that ended. `failure` is what it failed with, `passing` whether a later run may succeed by itself;
    `failed_checks` are the asset checks that are red; `numbers` the write assets' metadata, added up."""

    run_id: str
    failure: str | None
    passing: bool
    failed_checks: tuple[str, ...]
    numbers: Mapping[str, int]

    @property
    def left(self) -> int:
        """Writebacks of mailing activity that wait for a later run."""
        return sum(self.numbers[name] for name in ("waiting", "unknown", "left_to_another_run"))


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The instance that DAGSTER_HOME names, with its tables made."""
    with ExitStack() as stack:
        with one_at_a_time(Path(os.environ["DAGSTER_HOME"])):
            instance = stack.enter_context(dg.DagsterInstance.get())
        yield instance


def deliver_opt_outs() -> dg.JobDefinition:
    """The job as Dagster loads it again inside the run."""
    return defs().resolve_job_def("deliver_opt_outs")


def deliver_daily_activity() -> dg.JobDefinition:
    """The job as Dagster loads it again inside the run."""
    return defs().resolve_job_def("deliver_daily_activity")


def deliver_weekly_activity() -> dg.JobDefinition:
    """The job as Dagster loads it again inside the run."""
    return defs().resolve_job_def("deliver_weekly_activity")


def run_opt_outs(config: Mapping[str, Any]) -> FinishedRun:
    """Deliver opt-outs, with that configuration of the write asset."""
    with open_instance() as instance:
        return _run(deliver_opt_outs, instance, {"opt_out_writebacks": config})


def sync_salesforce() -> dg.JobDefinition:
    """The job as Dagster loads it again inside the run."""
    return defs().resolve_job_def("sync_salesforce")


def run_sync() -> FinishedRun:
    """Bring Salesforce's own opt-outs to the platform."""
    with open_instance() as instance:
        return _run(sync_salesforce, instance, {})


def run_activity(
    occurrence: Occurrence, kinds: Sequence[Kind], partitions: Sequence[str], *, finished: Callable[[FinishedRun], None]
) -> None:
    """Deliver windows one after the other, a run each; `finished` hears of every one."""
    job = {Occurrence.DAILY: deliver_daily_activity, Occurrence.WEEKLY: deliver_weekly_activity}[occurrence]
    assets = [Scope(os.environ.get(CHOSEN, "")).key(f"{occurrence}_{kind}_writebacks") for kind in kinds]
    with open_instance() as instance:
        for partition in partitions:
            finished(_run(job, instance, {}, partition=partition, assets=assets))


def _run(
    job: Callable[[], dg.JobDefinition],
    instance: dg.DagsterInstance,
    configs: Mapping[str, Mapping[str, Any]],
    *,
    partition: str | None = None,
    assets: Sequence[dg.AssetKey] | None = None,
) -> FinishedRun:
    run_config = {
        "ops": {name: {"config": dict(config)} for name, config in configs.items()},
        "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
    }
    with dg.execute_job(
        dg.reconstructable(job),
        instance=instance,
        run_config=run_config,
        tags={} if partition is None else {"dagster/partition": partition},
        asset_selection=assets,
    ) as result:
        return _finished(result)


def _finished(result: dg.JobExecutionResult) -> FinishedRun:
    failure, passing = (None, False) if result.success else _failure(result)
    red = tuple(
        evaluation.check_name
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
    )
    return FinishedRun(result.run_id, failure, passing, red, _numbers(result))


def _numbers(result: dg.JobExecutionResult) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for event in result.get_asset_materialization_events():
        if event.materialization.asset_key.path[-1].endswith("_writebacks"):
            values = {name: each.value for name, each in event.materialization.metadata.items()}
            numbers.update({name: value for name, value in values.items() if isinstance(value, int)})
    return numbers


def _failure(result: dg.JobExecutionResult) -> tuple[str, bool]:
    """What a step failed with, and whether that may pass: our own words, not the library's below them."""
    for event in result.all_node_events:
        if event.is_step_failure:
            told, error = event.step_failure_data.user_failure_data, event.step_failure_data.error
            if told is not None:
                passing = told.metadata.get("passing")
                return told.description or "", passing is None or passing.value is True
            if error is not None:
                return (error.cause or error).message.strip(), True
    return "the run failed; its log in Dagster says why", True
