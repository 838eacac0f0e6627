"""Which database a location names: a `postgresql://` URL a server's, anything else a DuckDB file.

psycopg is an extra of the project, and imported only for a server.
"""

import hashlib
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from writeback_pipeline.store.database import WAIT, Database
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.session import Session


class AnyDatabase(Protocol):
    """Transactions of a database, each committed at the end of its block and rolled back when that raises."""

    @property
    def shown(self) -> str:
        """Where it is, for people: no secret is in it."""

    def writing(self) -> AbstractContextManager[Session]:
        """Alone in the ledger."""

    def sharing(self) -> AbstractContextManager[Session]:
        """Beside others of its kind, where the database can do that; it holds on to all that it decides on."""

    def reading(self) -> AbstractContextManager[Session]:
        """A look at one moment."""

    def kept_open(self) -> AbstractContextManager[None]:
        """A block in which transactions that write follow one another, which costs less where the database is told."""


def is_server(location: str | Path) -> bool:
    """Whether a server is named, and no file."""
    return "://" in str(location)


def open_database(location: str | Path, *, wait: timedelta = WAIT, departed_too: bool = False) -> AnyDatabase:
    """The database, connected to when it is first used; raises StoreUnusable for a location that cannot be one.

    One whose ledger was moved away lets nobody write, unless `departed_too`.
    """
    if not is_server(location):
        return Database(Path(location), wait=wait, departed_too=departed_too)
    if not str(location).startswith(("postgresql://", "postgres://")):
        raise StoreUnusable("WRITEBACK_DATABASE must be the path of a DuckDB file or begin with postgresql://")
    try:
        from writeback_pipeline.store.postgres import PostgresDatabase
    except ImportError as error:
        raise StoreUnusable(
            f"PostgreSQL needs the extra `postgres`, of which {error.name or 'a part'} is missing: "
            "pip install --require-hashes -r requirements-postgres.lock"
        ) from error
    return PostgresDatabase(str(location), wait=wait, departed_too=departed_too)


def mark_path(database: AnyDatabase, home: Path | None) -> Path:
    """Where the database's high-water mark is kept: beside the file, or in the home for a server's."""
    if isinstance(database, Database):
        return database.path.with_name(database.path.name + ".mark")
    if home is None:
        raise ValueError("a server's high-water mark needs a home")
    return home / f"postgresql-{hashlib.sha256(database.shown.encode()).hexdigest()[:8]}.mark"
