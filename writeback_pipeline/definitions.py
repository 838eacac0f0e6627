"""The Dagster code location: the one place where everything is bound.

`defs` is what workspace.yaml loads. `build_definitions` takes other resources, for tests and for your own location.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from writeback_pipeline.activity.source import CountedWindow, MailingEvents
from writeback_pipeline.alerting.teller import Channels
from writeback_pipeline.bindings import open_activity, open_channels, open_organisation
from writeback_pipeline.defs.activity_location import activity_of
from writeback_pipeline.defs.alerts import alert_sensor
from writeback_pipeline.defs.assets import opt_out_writebacks, pending_queue
from writeback_pipeline.defs.checks import every_row_is_accounted_for, no_opt_out_is_older_than, nothing_failed
from writeback_pipeline.defs.jobs import deliver_opt_outs
from writeback_pipeline.defs.preflight import organisation_is_ready
from writeback_pipeline.defs.reconciliation import daily_reconciliation, opt_out_reconciliation, reconcile_opt_outs
from writeback_pipeline.defs.sensors import opt_out_queue_sensor
from writeback_pipeline.defs.sync import (
    audit_opt_outs,
    daily_audit,
    flag_matches_ledger,
    quarter_hourly_sync,
    salesforce_opt_outs,
    sync_salesforce,
)
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.settings import InvalidSetting, Occurrence, WritebackSettings
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.environment import read_environment
from writeback_pipeline.logs import configure, is_configured
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.location import is_server, open_database
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.store import Store

POLL_SECONDS = 30
"""How often the queue is looked at, in seconds, unless WRITEBACK_POLL_SECONDS says otherwise."""


ZONE_WAIT = timedelta(seconds=5)
"""How long the code location waits for the database while it loads."""


class PlatformDatabase(DuckDBResource):
    """The platform database: a DuckDB file, or a server's, whose URL and password are read from WRITEBACK_DATABASE.

    Its connections wait for other processes, and are given back whatever happens in between.
    """

    def ledger(self) -> Store:
        """The queue and ledger kept in it."""
        return Store(self._location(), read_environment(os.environ).home)

    @contextmanager
    def get_connection(self) -> Iterator[Session]:
        """A read-only connection for a look of your own; keep it short, nobody writes to a file meanwhile."""
        with open_database(self._location()).reading() as session:
            yield session

    def _location(self) -> str:
        # The configuration of a resource is shown and stored: the URL with its password is none.
        return read_environment(os.environ).database if is_server(self.database) else self.database


class Salesforce(dg.ConfigurableResource["Salesforce"]):
    """The Salesforce organisation that the SALESFORCE_ variables name, or the embedded one where they name none.

    The other variables are read when a run connects, so no secret ever is configuration.
    """

    url: str = Field(description="Base URL of the organisation; empty for the embedded one.")

    def connect(self, purpose: Purpose, *, manual: bool) -> AbstractContextManager[SalesforceOrganisation]:
        """A session, logged in at its first call."""
        return open_organisation(read_environment(os.environ), os.environ, purpose, manual=manual)


class MailingActivity(dg.ConfigurableResource["MailingActivity"]):
    """The platform's mailing events: Parquet, hive-partitioned by date."""

    location: str = Field(description="A folder, or any URL that DuckDB reads.")

    def counted(self, window: Window, presentation: Presentation) -> AbstractContextManager[CountedWindow]:
        """The window's events, counted, for the length of the block."""
        return self._events().counted(window, presentation)

    def fingerprints(self, windows: Iterable[Window]) -> Mapping[str, str]:
        """Per window's name what changes whenever its files change."""
        return self._events().fingerprints(windows)

    def _events(self) -> MailingEvents:
        return open_activity(replace(read_environment(os.environ), activity=self.location))


class AlertChannels:
    """Whom the WRITEBACK_ALERT_ variables name; they are read at every look, so no secret ever is configuration."""

    def teller(self) -> Channels:
        """The channels; raises AlertsMisconfigured."""
        return open_channels(os.environ)


def build_definitions(
    resources: Mapping[str, Any], *, poll_seconds: int = POLL_SECONDS, zone: str = "UTC"
) -> dg.Definitions:
    """The pipeline over the resources `platform_database`, `salesforce`, `mailing_activity` and `alert_channels`.

    `zone` is the one that partitions begin in and schedules tick in. A window's own bounds follow the setting at the
    moment of the run, so a changed zone takes effect without a reload.
    """
    opt_out_checks = [organisation_is_ready, nothing_failed, no_opt_out_is_older_than, every_row_is_accounted_for]
    opt_outs = [pending_queue, opt_out_writebacks, salesforce_opt_outs, opt_out_reconciliation]
    opt_out_schedules = [quarter_hourly_sync, daily_reconciliation(zone), daily_audit(zone)]
    activity = [activity_of(occurrence, zone) for occurrence in Occurrence]
    return dg.Definitions(
        assets=[*opt_outs, *(asset for each in activity for asset in each.assets)],
        asset_checks=[*opt_out_checks, flag_matches_ledger, *(check for each in activity for check in each.checks)],
        jobs=[deliver_opt_outs, sync_salesforce, reconcile_opt_outs, audit_opt_outs, *(each.job for each in activity)],
        schedules=[*opt_out_schedules, *(schedule for each in activity for schedule in each.schedules)],
        sensors=[opt_out_queue_sensor(poll_seconds), alert_sensor],
        resources=resources,
        executor=dg.in_process_executor,
    )


def production_resources() -> dict[str, Any]:
    """The resources that the environment names."""
    environment = read_environment(os.environ)
    return {
        "platform_database": PlatformDatabase(database=open_database(environment.database).shown),
        "salesforce": Salesforce(url=os.environ.get("SALESFORCE_URL", "")),
        "mailing_activity": MailingActivity(location=environment.activity),
        "alert_channels": AlertChannels(),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """The code location."""
    if not is_configured():  # a command has said already what it shows
        configure(os.environ, "info")
    poll_seconds = int(os.environ.get("WRITEBACK_POLL_SECONDS") or POLL_SECONDS)
    return build_definitions(production_resources(), poll_seconds=poll_seconds, zone=_zone_now())


def _zone_now() -> str:
    """The bridge's zone; the default where no ledger says one that can be read: the location loads all the same."""
    environment = read_environment(os.environ)
    if environment.has_database:
        with suppress(StoreBusy, StoreUnusable, InvalidSetting):
            return Store(environment.database, environment.home, wait=ZONE_WAIT).settings().time_zone
    return WritebackSettings().time_zone
