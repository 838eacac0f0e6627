"""A store whose database stays open in this process: what is proved over it is not about files, and is quicker so."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
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

    @contextmanager
    def _engine(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._held.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'")
            yield cursor

    def _attach(self, engine: duckdb.DuckDBPyConnection, patience: Patience, *, read_only: bool) -> None:
        """It is attached."""

    def close(self) -> None:
        self._held.close()

    def back_up(self, to: Path) -> None:
        """Copy the file."""
        self._held.execute("CHECKPOINT")
        shutil.copy(self.path, to)

    def put_back(self, backup: Path) -> None:
        """Go on with that copy."""
        self._held.close()
        self.path.with_name(self.path.name + ".wal").unlink(missing_ok=True)
        shutil.copy(backup, self.path)
        self._held = duckdb.connect(str(self.path))


class HeldStore(Store):
    """A store over such a database."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._database = self.held = HeldDatabase(path)
        self.back_up, self.put_back = self.held.back_up, self.held.put_back
