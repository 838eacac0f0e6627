"""The stores that must keep the contract. Each test gets an empty one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.fakes.ledger import MemoryLedger
from writeback_pipeline_tests.postgres import server

STORES: dict[str, Callable[[Path], Store | MemoryLedger]] = {
    "duckdb": lambda folder: Store(folder / "writebacks.duckdb"),
    "postgresql": lambda folder: Store(server().new_url(), folder),
    "memory": lambda _: MemoryLedger(),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store | MemoryLedger:
    return STORES[request.param](tmp_path)
