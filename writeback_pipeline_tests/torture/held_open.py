"""A store whose database stays open in this process: what is proved over it is not about files, and is quicker so."""

from pathlib import Path

import duckdb

from writeback_pipeline.store.database import Database
from writeback_pipeline.store.file_lock import Patience
from writeback_pipeline.store.store import Store


class HeldDatabase(Database):
    """The same transactions, each on a cursor of one connection."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._held = duckdb.connect(str(self.path))

    def _connect(self, patience: Patience, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        return self._held.cursor()

    def close(self) -> None:
        self._held.close()


class HeldStore(Store):
    """A store over such a database."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._database = self.held = HeldDatabase(path)
