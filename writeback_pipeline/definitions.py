"""The Dagster code location: the one place where everything is bound.

`defs` is what workspace.yaml loads. `build_definitions` takes other resources, for tests and for your own location.
"""

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster_duckdb import DuckDBResource
from pydantic import Field

from writeback_pipeline.bindings import open_activity, open_channels, open_organisation
from writeback_pipeline.bridges import CHOSEN, variables_of
from writeback_pipeline.defs.activity_location import activity_of
from writeback_pipeline.defs.alerts import alert_sensor
from writeback_pipeline.defs.assets import opt_out_writebacks, pending_queue
from writeback_pipeline.defs.checks import every_row_is_accounted_for, no_opt_out_is_older_than, nothing_failed
from writeback_pipeline.defs.jobs import opt_out_job
from writeback_pipeline.defs.preflight import organisation_is_ready
from writeback_pipeline.defs.reconciliation import daily_reconciliation, opt_out_reconciliation, reconciliation_job
from writeback_pipeline.defs.scope import ALONE, Scope
from writeback_pipeline.defs.sensors import opt_out_queue_sensor
from writeback_pipeline.defs.sync import (
    audit_job,
    daily_audit,
    flag_matches_ledger,
    quarter_hourly_sync,
    salesforce_opt_outs,
    sync_job,
)
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.settings import InvalidSetting, Occurrence, WritebackSettings
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.environment import read_environment
from writeback_pipeline.logs import configure, is_configured
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.location import is_server, open_database
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.store import Store

if TYPE_CHECKING:  # every run and every code server loads this module: what only some of them need comes with its use
    from writeback_pipeline.activity.source import CountedWindow, MailingEvents
    from writeback_pipeline.alerting.teller import Channels
    from writeback_pipeline.salesforce.organisation import SalesforceOrganisation

POLL_SECONDS = 30
"""How often the queue is looked at, in seconds, unless WRITEBACK_POLL_SECONDS says otherwise."""


ZONE_WAIT = timedelta(seconds=5)
"""How long the code location waits for the database while it loads."""


_BRIDGE = Field(default="", description="The bridge, where there are several; its variables are meant.")


class PlatformDatabase(DuckDBResource):
    """The platform database: a DuckDB file, or a server's, whose URL and password are read from WRITEBACK_DATABASE.

    Its connections wait for other processes, and are given back whatever happens in between.
    """

    bridge: str = _BRIDGE

    def ledger(self) -> Store:
        """The queue and ledger kept in it."""
        return Store(self._location(), read_environment(_variables(self.bridge)).home)

    @contextmanager
    def get_connection(self) -> Iterator[Session]:
        """A read-only connection for a look of your own; keep it short, nobody writes to a file meanwhile."""
        with open_database(self._location()).reading() as session:
            yield session

    def _location(self) -> str:
        # The configuration of a resource is shown and stored: the URL with its password is none.
        return read_environment(_variables(self.bridge)).database if is_server(self.database) else self.database


class Salesforce(dg.ConfigurableResource["Salesforce"]):
    """The Salesforce organisation that the SALESFORCE_ variables name, or the embedded one where they name none.

    The other variables are read when a run connects, so no secret ever is configuration.
    """

    url: str = Field(description="Base URL of the organisation; empty for the embedded one.")
    bridge: str = _BRIDGE

    def connect(self, purpose: Purpose, *, manual: bool) -> "AbstractContextManager[SalesforceOrganisation]":
        """A session, logged in at its first call."""
        variables = _variables(self.bridge)
        return open_organisation(read_environment(variables), variables, purpose, manual=manual)


class MailingActivity(dg.ConfigurableResource["MailingActivity"]):
    """The platform's mailing events: Parquet, hive-partitioned by date."""

    location: str = Field(description="A folder, or any URL that DuckDB reads.")
    bridge: str = _BRIDGE

    def counted(self, window: Window, presentation: Presentation) -> "AbstractContextManager[CountedWindow]":
        """The window's events, counted, for the length of the block."""
        return self._events().counted(window, presentation)

    def counted_each(
        self, windows: Iterable[Window], presentation: Presentation
    ) -> "Generator[CountedWindow, None, None]":
        """The windows' events, counted one after the other."""
        return self._events().counted_each(windows, presentation)

    def fingerprints(self, windows: Iterable[Window]) -> Mapping[str, str]:
        """Per window's name what changes whenever its files change."""
        return self._events().fingerprints(windows)

    def _events(self) -> "MailingEvents":
        return open_activity(replace(read_environment(_variables(self.bridge)), activity=self.location))


@dataclass(frozen=True, slots=True)
class AlertChannels:
    """Whom the WRITEBACK_ALERT_ variables name; they are read at every look, so no secret ever is configuration."""

    bridge: str = ""

    def teller(self) -> "Channels":
        """The channels; raises AlertsMisconfigured."""
        return open_channels(_variables(self.bridge))


def build_definitions(
    resources: Mapping[str, Any], *, poll_seconds: int = POLL_SECONDS, zone: str = "UTC", scope: Scope = ALONE
) -> dg.Definitions:
    """The pipeline over the resources `platform_database`, `salesforce`, `mailing_activity` and `alert_channels`.

    `zone` is the one that partitions begin in and schedules tick in. A window's own bounds follow the setting at the
    moment of the run, so a changed zone takes effect without a reload. `scope` is the bridge, of several.
    """
    checks = [organisation_is_ready, nothing_failed, no_opt_out_is_older_than, every_row_is_accounted_for]
    opt_outs = [pending_queue, opt_out_writebacks, salesforce_opt_outs, opt_out_reconciliation]
    sync, reconciliation, audit = sync_job(scope), reconciliation_job(scope), audit_job(scope)
    opt_out_schedules = [
        quarter_hourly_sync(sync),
        daily_reconciliation(zone, reconciliation),
        daily_audit(zone, audit),
    ]
    activity = [activity_of(occurrence, zone, scope) for occurrence in Occurrence]
    return dg.Definitions(
        assets=[*map(scope.of, opt_outs), *(asset for each in activity for asset in each.assets)],
        asset_checks=[
            *map(scope.of, [*checks, flag_matches_ledger]),
            *(check for each in activity for check in each.checks),
        ],
        jobs=[opt_out_job(scope), sync, reconciliation, audit, *(each.job for each in activity)],
        schedules=[*opt_out_schedules, *(schedule for each in activity for schedule in each.schedules)],
        sensors=[opt_out_queue_sensor(poll_seconds, scope), alert_sensor(scope)],
        resources=resources,
        executor=dg.in_process_executor,
    )


def production_resources(bridge: str = "") -> dict[str, Any]:
    """The resources that the environment names, for a bridge of several."""
    variables = _variables(bridge)
    environment = read_environment(variables)
    return {
        "platform_database": PlatformDatabase(database=open_database(environment.database).shown, bridge=bridge),
        "salesforce": Salesforce(url=variables.get("SALESFORCE_URL", ""), bridge=bridge),
        "mailing_activity": MailingActivity(location=environment.activity, bridge=bridge),
        "alert_channels": AlertChannels(bridge),
    }


@dg.definitions
def defs() -> dg.Definitions:
    """The code location of a pipeline that is alone, or, in a process that is for one bridge of several, of that."""
    return location_of(os.environ.get(CHOSEN, ""))


def location_of(bridge: str) -> dg.Definitions:
    """The code location of that bridge; without a name, of the pipeline that is alone."""
    if not is_configured():  # a command has said already what it shows
        configure(os.environ, "info")
    variables = _variables(bridge)
    poll_seconds = _poll_seconds(variables)
    resources, zone = production_resources(bridge), _zone_now(variables)
    return build_definitions(resources, poll_seconds=poll_seconds, zone=zone, scope=Scope(bridge))


def _poll_seconds(variables: Mapping[str, str]) -> int:
    text = variables.get("WRITEBACK_POLL_SECONDS") or str(POLL_SECONDS)
    if not text.isdecimal() or int(text) < 1:
        from writeback_pipeline.salesforce.connection import ConfigurationError

        raise ConfigurationError(f"WRITEBACK_POLL_SECONDS is {text}: it has to be a whole number of seconds, 1 or more")
    return int(text)


def _variables(bridge: str) -> Mapping[str, str]:
    return _of_bridge(bridge) if bridge else os.environ


@lru_cache
def _of_bridge(bridge: str) -> Mapping[str, str]:
    """As they were when this process first needed them: a bridges.toml that is being edited stops nothing at work. A
    process may serve several bridges, so its environment is left as it is."""
    return variables_of(bridge, os.environ)


def _zone_now(variables: Mapping[str, str]) -> str:
    """The bridge's zone; the default where no ledger says one that can be read: the location loads all the same."""
    environment = read_environment(variables)
    if environment.has_database:
        with suppress(StoreBusy, StoreUnusable, InvalidSetting):
            return Store(environment.database, environment.home, wait=ZONE_WAIT).settings().time_zone
    return WritebackSettings().time_zone
