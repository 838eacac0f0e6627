"""The DuckDB database that events are read with, and the error that names the file when one cannot be read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import duckdb
from duckdb import DuckDBPyConnection

from writeback_pipeline.domain.trouble import Trouble

_FAULTS_OF_THE_MACHINE = (duckdb.OutOfMemoryException, duckdb.InterruptException)
_REPLACE = "Replace the file or move it away, then run the window again."


class ActivityDataError(Trouble):
    """Event data that cannot be used; the message names the file, what is wrong with it and what to do.

    `column` is set where the schema is at fault; `file` is the place itself where it could not be listed.
    """

    passing = True  # a file that is still being written is whole at the next look

    def __init__(self, file: str, problem: str, column: str | None = None, *, remedy: str = _REPLACE) -> None:
        super().__init__(f"{file}: {problem}. {remedy}")
        self.file = file
        self.problem = problem
        self.remedy = remedy
        self.column = column


@contextmanager
def event_database(memory_limit: str = "1GB", threads: int | None = None) -> Iterator[DuckDBPyConnection]:
    """A database in memory; what exceeds the limit spills to a temporary folder. `threads` None takes every core."""
    with TemporaryDirectory(prefix="writebacks-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "temp_directory": folder,
            "preserve_insertion_order": False,
        }
        if threads is not None:
            config["threads"] = threads
        database = duckdb.connect(config=config)
        try:
            database.execute("SET GLOBAL TimeZone = 'UTC'")
            yield database
        finally:
            database.close()


@contextmanager
def naming_the_file(database: DuckDBPyConnection, files: Sequence[str], probe: str) -> Iterator[None]:
    """Turn DuckDB's refusal into an ActivityDataError of the first file on which `probe`, run on it alone, fails."""
    try:
        yield
    except _FAULTS_OF_THE_MACHINE:
        raise
    except duckdb.Error:
        for file in files:
            try:
                database.cursor().execute(probe, {"files": [file]}).fetchall()
            except duckdb.Error as error:
                raise ActivityDataError(file, f"cannot be read, {first_line(error)}") from error
        raise


def first_line(error: Exception) -> str:
    """What DuckDB says, without the excerpt of the query that follows it."""
    return str(error).splitlines()[0]
