"""One running organisation per test module, empty but for its users, with a clock that tests own."""

from collections.abc import Iterator

import pytest

from writeback_pipeline.local_org import faults, server, settings, state
from writeback_pipeline_tests.local_org.support import Api, Clock, Org


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Org]]:
    database = tmp_path_factory.mktemp("organisation") / "organisation.sqlite"
    clock = Clock()
    opened = state.open_org(database)
    with server.run_in_thread(database, clock=clock) as running, opened.connection() as connection:
        yield running.url, Org(opened, connection, clock)
    opened.close()


@pytest.fixture
def org(_running: tuple[str, Org]) -> Iterator[Org]:
    """The organisation, its settings put back to the defaults after the test and no fault left armed."""
    org = _running[1]
    yield org
    default = settings.OrgSettings()
    org.set(**{name: getattr(default, name) for name in settings.OrgSettings.__dataclass_fields__})
    faults.clear(org.connection)


@pytest.fixture
def api(_running: tuple[str, Org], org: Org) -> Iterator[Api]:
    """A client that has signed in."""
    client = Api(_running[0])
    client.sign_in()
    yield client
    client.http.close()
