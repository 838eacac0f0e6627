"""The stores that are put through whatever can happen: each a line here. Every example gets an empty one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from writeback_pipeline.store.postgres_connections import close_all
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.fakes.ledger import MemoryLedger
from writeback_pipeline_tests.postgres import server
from writeback_pipeline_tests.torture.held_open import HeldStore


@dataclass(frozen=True)
class Kind:
    """How to make one in an empty folder and to be done with it. `backups` if a copy of it can be put back: then it has
    `back_up(path)` and `put_back(path)`; `undoes` if it knows of undoing."""

    make: Callable[[Path], Store | MemoryLedger]
    close: Callable[[Any], None]
    backups: bool = False
    undoes: bool = False


STORES = {
    "memory": Kind(lambda _: MemoryLedger(), lambda _: None),
    "duckdb": Kind(
        lambda folder: HeldStore(folder / "writebacks.duckdb"), lambda store: store.held.close(), True, True
    ),
    "postgresql": Kind(lambda folder: Store(server().new_url(), folder), lambda _: close_all(), undoes=True),
}
