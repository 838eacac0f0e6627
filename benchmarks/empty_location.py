"""A Dagster code location with nothing in it but a sensor and a job that does nothing: what `latency` calls the floor.

The sensor asks for a run when the file `EMPTY_ASKED` is there; the job puts `EMPTY_DONE` in its place.
"""

import os
from pathlib import Path

import dagster as dg


@dg.op
def nothing() -> None:
    """Say that it ran."""
    Path(os.environ["EMPTY_ASKED"]).replace(os.environ["EMPTY_DONE"])


@dg.job(executor_def=dg.in_process_executor)
def empty() -> None:
    """Run it."""
    nothing()


@dg.sensor(
    job=empty,
    minimum_interval_seconds=int(os.environ.get("WRITEBACK_POLL_SECONDS", "5")),
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def asked(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.RunRequest:
    """Ask for a run when the file is there and no run is under way."""
    unfinished = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    )
    if not Path(os.environ["EMPTY_ASKED"]).exists() or context.instance.get_run_records(unfinished, limit=1):
        return dg.SkipReason("nothing is asked for")
    return dg.RunRequest()


defs = dg.Definitions(jobs=[empty], sensors=[asked])
