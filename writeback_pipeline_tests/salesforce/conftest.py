"""Fixtures of the gateway's tests."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.salesforce.scripted import ScriptedServer, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def scripted(server: ScriptedServer) -> Iterator[SalesforceOrganisation]:
    """A gateway to the scripted server."""
    with closing(SalesforceOrganisation(server.connection, connect_seconds=60, read_seconds=60)) as organisation:
        yield organisation


@pytest.fixture
def hasty(server: ScriptedServer) -> Iterator[SalesforceOrganisation]:
    """A gateway that, once logged in, is quick to give up, for what is never answered."""
    with closing(SalesforceOrganisation(server.connection)) as organisation:
        assert organisation.organisation_id
        organisation._session._timeout = (60, 0.3)
        yield organisation
