"""Fixtures of the gateway's tests."""

from collections.abc import Iterator

import pytest

from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.salesforce.scripted import ScriptedServer, scripted_server


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def scripted(server: ScriptedServer) -> Iterator[SalesforceOrganisation]:
    """A gateway to the scripted server, quick to give up."""
    organisation = SalesforceOrganisation(server.connection, connect_seconds=1, read_seconds=0.3)
    yield organisation
    organisation.close()
