"""A home of its own for every test, and the command line called in it as a person would."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from writeback_pipeline.cli import main
from writeback_pipeline.domain.ledger import Settlement
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import ledgers

Writebacks = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def no_other_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that ran in this process has left its Dagster home in the environment, and that folder may be gone."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def writebacks(home: Path) -> Writebacks:
    def call(*arguments: object, **variables: str) -> Result:
        environment = {**ledgers.variables(home), "SALESFORCE_URL": None, **variables}
        return CliRunner().invoke(main, [str(argument) for argument in arguments], env=environment)

    return call


@pytest.fixture
def store(home: Path) -> Store:
    """The store of that home."""
    return ledgers.store_of(home)


@pytest.fixture
def settle_all(store: Store) -> Callable[..., None]:
    """Ends everything that is due as a delivery would, all in one way."""

    def settle(status: Status, **how: str) -> None:
        now = datetime.now(UTC)
        claims = store.claim("tester", now, limit=1_000)
        settlements = [
            Settlement(row.id, claim.person.salesforce_id, claim.epoch, status, attempted=True, **how)  # type: ignore[arg-type]
            for claim in claims
            for row in claim.taken
        ]
        store.record([], settlements, [], now, release=True)

    return settle
