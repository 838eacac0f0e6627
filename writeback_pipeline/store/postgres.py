"""The PostgreSQL database: transactions on a kept connection, migrated before its first use, in one of three ways.

`writing` is alone in the ledger, as every transaction is in a DuckDB file. `sharing` goes on beside others of its kind
and is for what is done often: it locks the rows of the people it acts for (`people.hold`) before it reads what it
decides on. Both are READ COMMITTED, so that what is read after a lock is what is there; nothing has to be serialised,
and nothing fails for it. `reading` looks at one moment and waits for nobody. Settings of a session are those of its
transaction, so a pooler may stand in between.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from writeback_pipeline.store import postgres_connections as connections
from writeback_pipeline.store import schema
from writeback_pipeline.store.database import WAIT
from writeback_pipeline.store.dialect import POSTGRESQL
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.postgres_errors import in_doubt, is_lost, may_pass, not_connected, trouble
from writeback_pipeline.store.postgres_url import parse
from writeback_pipeline.store.session import Session

OLDEST = 13
"""The oldest major version of PostgreSQL that takes all statements."""

MOST_SKEW = timedelta(seconds=10)
"""How far this machine's clock may be off the server's; two machines may differ by twice that."""

TOLD_AFTER = 3.0
"""Seconds without a connection after which whoever waits is told."""

_log = logging.getLogger(__name__)

_PAUSE = 0.25
"""Seconds between two tries to connect."""

_LIMITS = (
    "SET LOCAL TimeZone = 'UTC'; SET LOCAL lock_timeout = {wait}; SET LOCAL statement_timeout = '5min'; "
    # A worker that was stopped in the middle must not keep the others waiting until they give up.
    "SET LOCAL idle_in_transaction_session_timeout = {idle}; SET LOCAL search_path = {schema}; "
)
_ALONE = "BEGIN; {limits} LOCK TABLE schema_version IN EXCLUSIVE MODE; "
_BESIDE = "BEGIN; {limits} LOCK TABLE schema_version IN ROW SHARE MODE; "
_LOOK = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {limits} "
_STATE = "SELECT coalesce(max(version), 0), clock_timestamp() FROM schema_version"


class PostgresDatabase:
    """One schema of one database, shared by any number of processes, threads and machines.

    Raises StoreBusy when the server is restarting or others keep it locked for the whole wait, StoreUnusable when a
    person has to do something about it.
    """

    def __init__(
        self,
        url: str,
        *,
        wait: timedelta = WAIT,
        migrations: Sequence[schema.Migration] = schema.MIGRATIONS,
        departed_too: bool = False,
    ) -> None:
        self._server = parse(url)
        self._wait = wait
        self._migrations = migrations
        self._departed_too = departed_too
        self._limits = self._limited(idle=wait)

    def _limited(self, idle: timedelta) -> str:
        milliseconds, schema_name = max(1, int(self._wait.total_seconds() * 1000)), f'"{self._server.schema}"'
        return _LIMITS.format(wait=milliseconds, idle=max(1, int(idle.total_seconds() * 2000 / 3)), schema=schema_name)

    @property
    def shown(self) -> str:
        """The URL without its secrets."""
        return self._server.shown

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One transaction, alone in the ledger: committed at the end of the block, rolled back when it raises."""
        with self._transaction(_ALONE) as session:
            yield session

    @contextmanager
    def sharing(self) -> Iterator[Session]:
        """One transaction beside others of its kind, for what holds the people it acts for."""
        with self._transaction(_BESIDE) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A look at one moment, beside everybody."""
        with self._transaction(_LOOK) as session:
            yield session

    def kept_open(self) -> AbstractContextManager[None]:
        """Nothing: connections are kept in any case."""
        return nullcontext()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        connection = self._begun(begin.format(limits=self._limits) + _STATE)
        session = Session(connection, POSTGRESQL)
        try:
            if begin is not _LOOK and not self._departed_too:
                schema.refuse_departed(self.shown, session)
            yield session
            self._commit(connection, changing=begin is not _LOOK)
        except BaseException as error:
            self._end(connection)
            if isinstance(error, psycopg.Error) and (told := trouble(self.shown, error)):
                raise told from error
            raise
        connections.give_back(self._server.conninfo, connection)

    def _commit(self, connection: psycopg.Connection, *, changing: bool) -> None:
        try:
            connection.execute("COMMIT")
        except psycopg.OperationalError as error:
            if changing and is_lost(error):
                raise in_doubt(self.shown, error) from error
            raise

    def _end(self, connection: psycopg.Connection) -> None:
        """Undo what was done, and say nothing of what went wrong meanwhile: what went wrong first is told."""
        with suppress(psycopg.Error):
            connection.execute("ROLLBACK")
        connections.give_back(self._server.conninfo, connection)

    def _begun(self, statements: str) -> psycopg.Connection:
        """A connection in a transaction that has begun so, of a database that is migrated."""
        while True:
            connection, fresh = self._connection()
            asked = time.time()
            try:
                version, there = self._answer(connection, statements)
                missing = schema.missing(self.shown, version, self._migrations)
                self._compare_clocks(there, asked)
            except psycopg.errors.UndefinedTable:
                missing = len(self._migrations)
            except psycopg.OperationalError as error:
                self._end(connection)
                if not fresh and connection.closed:
                    continue  # it had been cut off while it waited
                raise trouble(self.shown, error) or error from error
            except BaseException:
                self._end(connection)
                raise
            if not missing:
                return connection
            self._end(connection)
            self._migrate()

    def _connection(self) -> tuple[psycopg.Connection, bool]:
        """A connection, and whether it is new."""
        if connection := connections.kept(self._server.conninfo):
            return connection, False
        return self._opened(), True

    def _opened(self) -> psycopg.Connection:
        begun = time.monotonic()
        deadline, told = begun + self._wait.total_seconds(), False
        while True:
            try:
                connection = connections.opened(self._server.conninfo)
            except psycopg.Error as error:
                if not may_pass(error) or time.monotonic() >= deadline:
                    raise not_connected(self.shown, error, self._wait.total_seconds()) from error
                if not told and time.monotonic() - begun >= TOLD_AFTER:
                    told = True
                    _log.warning("%s takes no connection: waiting up to %g s", self.shown, self._wait.total_seconds())
                time.sleep(min(_PAUSE, max(0.0, deadline - time.monotonic())))
                continue
            try:
                self._check(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _check(self, connection: psycopg.Connection) -> None:
        """Refuse a server that would fail later, in the middle of something."""
        if connection.info.server_version < OLDEST * 10_000:
            raise StoreUnusable(f"{self.shown} is older than PostgreSQL {OLDEST}: upgrade the server.")
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StoreUnusable(f"{self.shown} keeps texts as {encoding}: make the database with ENCODING 'UTF8'.")

    @staticmethod
    def _answer(connection: psycopg.Connection, statements: str) -> tuple[Any, ...]:
        """The row of the last of several statements that go to the server together."""
        cursor = connection.execute(statements.encode())
        while cursor.nextset():
            pass
        [row] = cursor.fetchall()
        return row

    def _compare_clocks(self, there: datetime, asked: float) -> None:
        # Leases are given by the clock of whoever claims and respected by everybody else's.
        ahead = asked - there.timestamp()
        behind = there.timestamp() - time.time()
        if max(ahead, behind) > MOST_SKEW.total_seconds():
            raise StoreUnusable(
                f"This machine's clock ({datetime.now(UTC):%H:%M:%S} UTC) is {max(ahead, behind):.0f} s away from that "
                f"of {self.shown}: leases would end too early or too late. Have both follow a time server, then run "
                "again. Nothing was changed."
            )

    def _migrate(self) -> None:
        connection, _ = self._connection()
        try:
            # No table is there to be locked yet; the schema's name is what processes that come at once agree on.
            # However little patience a page has, and however long the history is: nobody can do anything before it is
            # migrated.
            limits = self._limited(idle=max(self._wait, WAIT))
            connection.execute(f"BEGIN; {limits} SET LOCAL statement_timeout = 0".encode())
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [self._server.schema])
            self._make_schema(connection)
            session = Session(connection, POSTGRESQL)
            schema.migrate(session, self._done(session), self._migrations)
            connection.execute("COMMIT")
        except BaseException as error:
            self._end(connection)
            if isinstance(error, psycopg.Error) and (told := trouble(self.shown, error)):
                raise told from error
            raise
        connections.give_back(self._server.conninfo, connection)

    def _make_schema(self, connection: psycopg.Connection) -> None:
        there = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = $1", [self._server.schema]).fetchall()
        if not there:  # asking IF NOT EXISTS needs the right even where nothing is to be made
            connection.execute(f'CREATE SCHEMA "{self._server.schema}"'.encode())

    def _done(self, session: Session) -> int:
        if session.execute("SELECT to_regclass('schema_version')").fetchall() == [(None,)]:
            return 0
        session.execute("LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE")
        done = schema.version(session)
        schema.missing(self.shown, done, self._migrations)
        return done
