"""The Dagster code location: the one place where everything is bound.

`defs` is what workspace.yaml loads. `build_definitions` takes other resources, for tests and for your own location.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from writeback_pipeline.bindings import open_organisation
from writeback_pipeline.defs.assets import opt_out_writebacks, pending_queue
from writeback_pipeline.defs.checks import every_row_is_accounted_for, no_opt_out_is_older_than, nothing_failed
from writeback_pipeline.defs.jobs import deliver_opt_outs
from writeback_pipeline.defs.sensors import opt_out_queue_sensor
from writeback_pipeline.environment import read_environment
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.store import Store

POLL_SECONDS = 30
"""How often the queue is looked at, in seconds, unless WRITEBACK_POLL_SECONDS says otherwise."""


class PlatformDatabase(DuckDBResource):
    """The platform database. Its connections wait for other processes, and are closed whatever happens in between."""

    def ledger(self) -> Store:
        """The queue and ledger kept in it."""
        return Store(self.database)

    @contextmanager
    def get_connection(self) -> Iterator[Session]:
        """A read-only connection for a look of your own; keep it short, nobody writes meanwhile."""
        with Database(Path(self.database)).reading() as connection:
            yield connection


class Salesforce(dg.ConfigurableResource["Salesforce"]):
    """The Salesforce organisation that the SALESFORCE_ variables name, or the embedded one where they name none.

    The other variables are read when a run connects, so no secret ever is configuration.
    """

    url: str = Field(description="Base URL of the organisation; empty for the embedded one.")

    def connect(self) -> AbstractContextManager[SalesforceOrganisation]:
        """A session, logged in at its first call."""
        return open_organisation(read_environment(os.environ), os.environ)


def build_definitions(resources: Mapping[str, Any], *, poll_seconds: int = POLL_SECONDS) -> dg.Definitions:
    """The pipeline over the given `platform_database` and `salesforce` resources."""
    return dg.Definitions(
        assets=[pending_queue, opt_out_writebacks],
        asset_checks=[nothing_failed, no_opt_out_is_older_than, every_row_is_accounted_for],
        jobs=[deliver_opt_outs],
        sensors=[opt_out_queue_sensor(poll_seconds)],
        resources=resources,
        executor=dg.in_process_executor,
    )


def production_resources() -> dict[str, Any]:
    """The resources that the environment names."""
    return {
        "platform_database": PlatformDatabase(database=read_environment(os.environ).database),
        "salesforce": Salesforce(url=os.environ.get("SALESFORCE_URL", "")),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """The code location."""
    poll_seconds = int(os.environ.get("WRITEBACK_POLL_SECONDS") or POLL_SECONDS)
    return build_definitions(production_resources(), poll_seconds=poll_seconds)
