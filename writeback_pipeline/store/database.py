"""The DuckDB file: opened for one short transaction at a time, migrated before its first use, closed on every way out.

Starting a DuckDB engine costs ten times what opening a file does, so engines are kept, and the file is attached to one
for as long as a transaction lasts. Nobody else in this project opens the file. What is done inside the transaction is
the other modules' work; who may have the file open is `file_lock`'s, and what its troubles are called `errors`'.
"""

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from weakref import WeakSet

import duckdb

from writeback_pipeline.store import schema
from writeback_pipeline.store.dialect import DUCKDB
from writeback_pipeline.store.errors import HELD_ELSEWHERE, concerns_the_file, unusable
from writeback_pipeline.store.file_lock import Patience, alone_among_threads, locked
from writeback_pipeline.store.session import Session

WAIT = timedelta(seconds=30)
"""How long an open waits for other processes before it gives up."""

MOST_IDLE = 8
"""Engines that a database keeps: each has a thread for every core, and some megabytes."""


class Database:
    """One database file, shared by any number of processes and threads that all come this way.

    Raises StoreBusy when others keep it for the whole wait, StoreUnusable when the file itself is the trouble.
    """

    def __init__(
        self,
        path: Path,
        *,
        wait: timedelta = WAIT,
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
        departed_too: bool = False,
    ) -> None:
        self.path = path.resolve()  # one file, one lock, by whatever link it is reached
        self._wait = wait
        self._migrations = migrations
        self._departed_too = departed_too
        self._idle: list[duckdb.DuckDBPyConnection] = []
        _databases.add(self)

    @property
    def shown(self) -> str:
        """Its path."""
        return str(self.path)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction, alone in the file: committed at the end of the block, rolled back when it raises."""
        with self._opened(read_only=False) as connection:
            self._migrate(connection)
            with _transaction(connection):
                session = Session(connection, DUCKDB)
                if not self._departed_too:
                    schema.refuse_departed(self.shown, session)
                yield session

    def sharing(self) -> AbstractContextManager[Session]:
        """The same: in a file nobody else is ever beside."""
        return self.writing()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look, beside other readers. No writer gets in meanwhile, so everything read is of one moment."""
        with ExitStack() as stack:
            if not self.path.exists():
                self._prepare()
            connection = stack.enter_context(self._opened(read_only=True))
            if self._missing(connection):
                stack.close()
                self._prepare()
                connection = stack.enter_context(self._opened(read_only=True))
            yield Session(connection, DUCKDB)

    def _prepare(self) -> None:
        with self._opened(read_only=False) as connection:
            self._migrate(connection)

    @contextmanager
    def _opened(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(self.path, error) from error
        patience = Patience(self.path, self._wait)
        among_threads = nullcontext() if read_only else alone_among_threads(self.path, patience)
        with among_threads, locked(self.path, patience, shared=read_only):
            try:
                with self._engine() as engine:
                    self._attach(engine, patience, read_only=read_only)
                    yield engine
            except duckdb.Error as error:
                if concerns_the_file(error):
                    raise unusable(self.path, error) from error
                raise

    @contextmanager
    def _engine(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """An engine, used by nobody else meanwhile; one that has seen an error is closed, and the file with it."""
        try:
            engine = self._idle.pop()
        except IndexError:
            engine = _started(self.path)
        with ExitStack() as stack:
            stack.callback(engine.close)
            yield engine
            with suppress(duckdb.Error):  # what was committed is in the log, even if there is no room to tidy that up
                engine.execute("USE memory")
                engine.execute("DETACH platform")
                if len(self._idle) < MOST_IDLE:
                    stack.pop_all()
                    self._idle.append(engine)

    def close_idle(self) -> None:
        """End the engines that are kept; the next transaction starts its own."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _attach(self, engine: duckdb.DuckDBPyConnection, patience: Patience, *, read_only: bool) -> None:
        quoted = str(self.path).replace("'", "''")
        mode = "READ_ONLY" if read_only else "READ_WRITE"
        while True:
            try:
                engine.execute(f"ATTACH '{quoted}' AS platform (TYPE duckdb, {mode})")
            except duckdb.IOException as error:
                if HELD_ELSEWHERE not in str(error):
                    raise
                patience.pause("a program that opened it directly")
            else:
                engine.execute("USE platform")
                return

    def _migrate(self, connection: duckdb.DuckDBPyConnection) -> None:
        missing = self._missing(connection)
        if missing:
            with _transaction(connection):
                schema.migrate(Session(connection, DUCKDB), len(self._migrations) - missing, self._migrations)
            connection.execute("CHECKPOINT")  # table definitions are not left to the write-ahead log

    def _missing(self, connection: duckdb.DuckDBPyConnection) -> int:
        """How many migrations the file lacks; refuses one that a newer release has migrated."""
        try:
            done = schema.version(Session(connection, DUCKDB))
        except duckdb.CatalogException:
            done = 0
        return schema.missing(str(self.path), done, self._migrations)


_databases: WeakSet[Database] = WeakSet()


def _close_all_idle() -> None:
    """A forked child has none of an engine's threads: it would crash when it ended what it got from its parent. And at
    the end of a process DuckDB complains of what is open."""
    for database in list(_databases):
        database.close_idle()


os.register_at_fork(before=_close_all_idle)
atexit.register(_close_all_idle)


def _started(path: Path) -> duckdb.DuckDBPyConnection:
    """An engine without a database; what does not fit its memory goes beside the file that it is for."""
    engine = duckdb.connect(config={"temp_directory": f"{path}.tmp"})
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("SET enable_progress_bar = false")  # standard output is not the store's
    return engine


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        with suppress(duckdb.Error):  # what went wrong first is what is told
            connection.rollback()
        raise
