"""The stores that must keep the contract. Each test gets an empty one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.fakes.ledger import MemoryLedger
from writeback_pipeline_tests.ledgers import contradictory, miscounted
from writeback_pipeline_tests.postgres import server

STORES: dict[str, Callable[[Path], Store | MemoryLedger]] = {
    "duckdb": lambda folder: Store(folder / "writebacks.duckdb"),
    "postgresql": lambda folder: Store(server().new_url(), folder),
    "memory": lambda _: MemoryLedger(),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store | MemoryLedger]:
    made = STORES[request.param](tmp_path)
    yield made
    if isinstance(made, Store):
        with made._database.reading() as session:
            assert contradictory(session) == []
            assert miscounted(session) == []
