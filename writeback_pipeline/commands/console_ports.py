"""What the console needs of a pipeline, bound: of the one that is alone, or of one bridge of several.

A bridge that is set up wrongly still has its pages, which say so.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from writeback_pipeline.alerting.teller import Channels
from writeback_pipeline.bindings import open_activity, open_channels, open_organisation, open_store
from writeback_pipeline.bridges import CHOSEN, variables_of
from writeback_pipeline.cli import troubles
from writeback_pipeline.commands.dagster_webserver import DagsterWebserver
from writeback_pipeline.console.ports import Links, Ports
from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Held
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.store.store import Store

PATIENCE = timedelta(seconds=10)
"""How long a page waits for the database before it says that it is busy."""

LOOK_SECONDS = 8.0
"""How long a person at a page waits for Salesforce."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One pipeline as the console has it: its pages' ports, and whose health is looked at beside them, by whom."""

    ports: Ports
    watched: tuple[Store, Channels] | None = None


def pipeline_of(bridge: str) -> Pipeline:
    """The pipeline of one bridge of several; if it is set up wrongly, one whose every page says so."""
    try:
        return pipeline(variables_of(bridge, os.environ))
    except troubles() as error:
        trouble = cast("Any", _Trouble(error))
        return Pipeline(Ports(trouble, _now, troubles(), activity=trouble, runs=DagsterWebserver(None), look=trouble))


def pipeline(variables: Mapping[str, str]) -> Pipeline:
    """The pipeline that these variables describe; raises what `troubles` lists."""
    environment, channels = read_environment(variables), open_channels(variables)
    store = open_store(environment, wait=PATIENCE)
    salesforce, dagster, public = (
        variables.get(name, "").rstrip("/") or None
        for name in ("SALESFORCE_URL", "WRITEBACK_DAGSTER_URL", "WRITEBACK_DAGSTER_PUBLIC_URL")
    )
    links = Links(salesforce, public or dagster, channels.alerting.runbook)
    ports = Ports(
        ledger=store,
        clock=_now,
        troubles=troubles(),
        activity=lambda: open_activity(environment),
        runs=DagsterWebserver(dagster, variables.get(CHOSEN, "")),
        links=links,
        look=lambda person: look(environment, store, person, variables),
    )
    return Pipeline(ports, (store, channels))


def _now() -> datetime:
    return datetime.now(UTC)


def look(environment: Environment, store: Store, person: PersonRef, variables: Mapping[str, str] = os.environ) -> Held:
    """What the ledger's organisation holds under a person's id now; not waited for very long."""
    with open_organisation(environment, variables, read_seconds=LOOK_SECONDS) as organisation:
        check_pinned(store.pinned_organisation(), organisation.organisation_id)
        return organisation.look([person])[person.salesforce_id]


class _Trouble:
    """Stands for what cannot be opened: whatever it is asked, it says why."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error
