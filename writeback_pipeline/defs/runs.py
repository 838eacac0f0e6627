"""Who a run was started by, as its tags tell."""

import dagster as dg

_RETRY = "dagster/retry_number"

_BY_ITSELF = (
    "dagster/sensor_name",
    "dagster/schedule_name",
    "dagster/backfill",
    "dagster/from_automation_condition",
    _RETRY,
)
"""Tags that Dagster puts on what it starts itself; a backfill was asked for by a person, but its runs were not."""


def is_manual(run: dg.DagsterRun) -> bool:
    """Whether a person started this very run, in the UI or on the command line."""
    return not any(tag in run.tags for tag in _BY_ITSELF)


def is_repeat(run: dg.DagsterRun) -> bool:
    """Whether Dagster began this run in place of one whose process died."""
    return _RETRY in run.tags
