"""The stores that must keep the contract. Each test gets an empty one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from writeback_pipeline.store.store import Store

STORES: dict[str, Callable[[Path], Store]] = {"duckdb": lambda folder: Store(folder / "writebacks.duckdb")}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return STORES[request.param](tmp_path)
