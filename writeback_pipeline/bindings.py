"""Opens what the environment names: the platform database, the mailing events, the Salesforce organisation.

The shells that bind implementations (`definitions` and the command line) come here; nothing else does. The gateway and
the embedded organisation's web server are imported only when they are opened: most commands need neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from writeback_pipeline.delivery.gate import Gate
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.environment import Environment
from writeback_pipeline.store.database import WAIT
from writeback_pipeline.store.store import Store

if TYPE_CHECKING:
    from writeback_pipeline.activity.source import MailingEvents
    from writeback_pipeline.alerting.teller import Channels
    from writeback_pipeline.salesforce.connection import SalesforceConnection
    from writeback_pipeline.salesforce.organisation import SalesforceOrganisation

EMBEDDED_CLIENT = "local"
"""Client id and secret of the embedded organisation; it answers on the loopback interface only."""


def open_store(environment: Environment, *, wait: timedelta = WAIT) -> Store:
    """The platform database; taken for one transaction at a time, so there is nothing to close. Others who keep it are
    waited for so long."""
    return Store(environment.database, environment.home, wait=wait)


def open_activity(environment: Environment) -> MailingEvents:
    """The platform's mailing events; a folder that somebody named has to exist, the home's own need not."""
    from writeback_pipeline.activity.source import MailingEvents

    location = environment.activity
    if environment.names_activity and "://" not in location and not Path(location).exists():
        from writeback_pipeline.salesforce.connection import ConfigurationError

        raise ConfigurationError(
            f"WRITEBACK_ACTIVITY is {location}, which does not exist: correct it or make the folder"
        )
    return MailingEvents(location)


def open_channels(variables: Mapping[str, str]) -> Channels:
    """The channels of the alerts; none where no variable names one."""
    from writeback_pipeline.alerting.configuration import read_alerting
    from writeback_pipeline.alerting.teller import Channels

    return Channels(read_alerting(variables))


@contextmanager
def open_organisation(
    environment: Environment,
    variables: Mapping[str, str],
    purpose: Purpose | None = Purpose.OPT_OUTS,
    *,
    manual: bool = True,
    read_seconds: float | None = None,
) -> Iterator[SalesforceOrganisation]:
    """A session with the organisation that the variables name; with the embedded one where they name none.

    Its calls count against the budget that the ledger keeps, for that purpose; None leaves the ledger alone. `manual`
    when a person asked for it; `read_seconds` is how long an answer is waited for, if not as long as usual: trouble
    then holds up nobody else.
    """
    from writeback_pipeline.salesforce.connection import from_environment
    from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
    from writeback_pipeline.salesforce.session import READ_SECONDS

    with ExitStack() as stack:
        connection = from_environment(variables)
        if connection is None:
            connection = stack.enter_context(_embedded(environment))
        gate = None
        if purpose is not None:
            ledger, impatient = open_store(environment), read_seconds is not None
            gate = Gate(ledger, purpose, lambda: datetime.now(UTC), manual, impatient)
        organisation = SalesforceOrganisation(connection, gate, read_seconds=read_seconds or READ_SECONDS)
        stack.callback(organisation.close)
        yield organisation
        if gate is not None:
            gate.leave(organisation.usage)


@contextmanager
def _embedded(environment: Environment) -> Iterator[SalesforceConnection]:
    """The embedded organisation, answering over HTTP inside this process; its state is the home's SQLite file."""
    from writeback_pipeline.local_org.server import run_in_thread
    from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection

    with run_in_thread(environment.local_org, with_sample=True) as server:
        yield SalesforceConnection(server.url, EMBEDDED_CLIENT, ClientCredentials(EMBEDDED_CLIENT))
