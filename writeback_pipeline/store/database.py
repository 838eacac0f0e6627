"""The DuckDB file: opened for one short transaction at a time, migrated before its first use, closed on every way out.

The file is attached to an engine of this process for as long as a transaction lasts; where many follow one another it
stays so in between, while nobody else waits. Nobody else in this project opens the file. What is done inside the
transaction is the other modules' work; which engines there are is `engines`', who may have the file open `file_lock`'s,
whose turn it is among the threads and how long it lingers `writers`', and what its troubles are called `errors`'.
"""

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb

from writeback_pipeline.store import engines, schema
from writeback_pipeline.store.dialect import DUCKDB
from writeback_pipeline.store.errors import HELD_ELSEWHERE, concerns_the_file, unusable
from writeback_pipeline.store.file_lock import Patience, locked
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.writers import Open, close_all, writers_of

WAIT = timedelta(seconds=30)
"""How long an open waits for other processes before it gives up."""


@dataclass(slots=True)
class _OpenFile:
    """The file with its lock, and the engine to which it is attached; `is_here` once its ledger is known not to have
    been moved."""

    opening: AbstractContextManager[duckdb.DuckDBPyConnection]
    engine: duckdb.DuckDBPyConnection
    migrations: Sequence[schema.Migration]
    is_here: bool = False

    def close(self) -> None:
        """Give it back."""
        self.opening.__exit__(None, None, None)


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

    @property
    def shown(self) -> str:
        """Its path."""
        return str(self.path)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction, alone in the file: committed at the end of the block, rolled back when it raises."""
        with self._opened_to_write() as file, _transaction(file.engine):
            session = Session(file.engine, DUCKDB)
            if self._departed_too:
                file.is_here = False  # or no more, after this
            elif not file.is_here:
                schema.refuse_departed(self.shown, session)
                file.is_here = True
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
            connection = stack.enter_context(self._opened_to_read())
            if self._missing(connection):
                stack.close()
                self._prepare()
                connection = stack.enter_context(self._opened_to_read())
            yield Session(connection, DUCKDB)

    def kept_open(self) -> AbstractContextManager[None]:
        """A block in which transactions that write follow one another: the file stays open for the next of them.

        It is given back as soon as anybody else waits for it, or nothing was written for some milliseconds.
        """
        return writers_of(self.path).kept_open()

    def _prepare(self) -> None:
        with self._opened_to_write():
            pass

    def _opened_to_read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        writers_of(self.path).close()  # it would be given back, but not at once
        return self._opened(Patience(self.path, self._wait), read_only=True)

    @contextmanager
    def _opened_to_write(self) -> Iterator[_OpenFile]:
        patience = Patience(self.path, self._wait)
        with writers_of(self.path).turn(patience) as turn:
            file = turn.left = self._fitting(turn.found) or self._open_to_write(patience)
            try:
                yield file
            except BaseException as error:
                turn.left = None
                file.opening.__exit__(type(error), error, error.__traceback__)
                raise

    def _fitting(self, found: Open | None) -> _OpenFile | None:
        """What was left open, by whatever object for the file, if it was migrated as this one wants it."""
        if isinstance(found, _OpenFile) and found.migrations is self._migrations:
            return found
        if found is not None:
            found.close()
        return None

    def _open_to_write(self, patience: Patience) -> _OpenFile:
        with ExitStack() as stack:
            opening = self._opened(patience, read_only=False)
            engine = stack.enter_context(opening)
            self._migrate(engine)
            stack.pop_all()
            return _OpenFile(opening, engine, self._migrations)

    @contextmanager
    def _opened(self, patience: Patience, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(self.path, error) from error
        with locked(self.path, patience, shared=read_only):
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
        engine = engines.kept(self.path)
        with ExitStack() as stack:
            stack.callback(engine.close)
            yield engine
            with suppress(duckdb.Error):  # what was committed is in the log, even if there is no room to tidy that up
                engine.execute("USE memory")
                engine.execute("DETACH platform")
                stack.pop_all()
                engines.give_back(self.path, engine)

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


def _close_all_idle() -> None:
    """A forked child has none of an engine's threads: it would crash when it ended what it got from its parent. And at
    the end of a process DuckDB complains of what is open."""
    close_all()
    engines.close_all()


os.register_at_fork(before=_close_all_idle)
atexit.register(_close_all_idle)


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
