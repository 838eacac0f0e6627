"""Dagster's side of `writebacks check`: whether anything is delivered by itself, a finding each.

Imports dagster, which takes seconds, so it is imported only where a home has an instance. Reads the instance, loads no
definitions.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState

from writeback_pipeline.bridges import CHOSEN
from writeback_pipeline.domain.findings import Finding, Level
from writeback_pipeline.redaction import redacted

AREA = "Dagster"


def instance_findings(folder: Path) -> Iterator[Finding]:
    """What the instance configured in that folder tells of its daemon, of what was stopped, and of its pools."""
    try:
        opened = dg.DagsterInstance.from_config(str(folder))
    except Exception as error:  # whatever the storage raises that the configuration names
        why = redacted(str(error.__cause__ or error).strip().partition("\n")[0])
        remedy = "Correct that file, or the variables that it names, such as DAGSTER_POSTGRES_URL."
        yield Finding(AREA, "instance", Level.FAILURE, f"{folder}/dagster.yaml cannot be used: {why}", remedy)
        return
    with opened as instance:
        yield _daemon(instance)
        yield _stopped(instance)
        yield _pools(instance)


def _daemon(instance: dg.DagsterInstance) -> Finding:
    silent = [kind for kind, status in instance.get_daemon_statuses().items() if status.required and not status.healthy]
    if silent:
        told = f"no heartbeat of {', '.join(sorted(silent)).lower()}: nothing is delivered by itself"
        return Finding(AREA, "daemon", Level.WARNING, told, "Start make dev, or dagster-daemon under a supervisor.")
    return Finding(AREA, "daemon", Level.OK, "is running")


def _stopped(instance: dg.DagsterInstance) -> Finding:
    # What was never touched has no state and runs as the code says: the sensor and the schedules do.
    states = [state for state in instance.all_instigator_state() if state.status.value == "STOPPED"]
    bridge = os.environ.get(CHOSEN)
    stopped = sorted(each.instigator_name for each in states if bridge in (None, _location(each)))
    if stopped:
        told = f"somebody stopped {', '.join(stopped)}"
        return Finding(
            AREA, "sensor and schedules", Level.WARNING, told, "Start them again in Dagster's UI, Automation."
        )
    return Finding(AREA, "sensor and schedules", Level.OK, "none was stopped")


def _location(state: InstigatorState) -> str:
    return state.origin.repository_origin.code_location_origin.location_name


def _pools(instance: dg.DagsterInstance) -> Finding:
    storage = instance.event_log_storage
    pools = [storage.get_concurrency_info(key) for key in sorted(storage.get_concurrency_keys())]
    if not pools:
        return Finding(AREA, "pools", Level.OK, "none is in use; leases in the ledger keep runs apart")
    told = ", ".join(f"{pool.concurrency_key}: {pool.active_slot_count} of {pool.slot_count} taken" for pool in pools)
    return Finding(AREA, "pools", Level.OK, told)
