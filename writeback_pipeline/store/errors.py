"""What the database file's troubles are called, and what a person can do about each.

Only trouble with the file belongs here: a database kept by another process is `domain.ledger.StoreBusy`, a mistake in
our own SQL stays what DuckDB calls it.
"""

from pathlib import Path

import duckdb

from writeback_pipeline.domain.trouble import Trouble

HELD_ELSEWHERE = "Could not set lock on file"
"""How DuckDB begins to say that a program which knows nothing of our lock file has the database open."""

_REMEDIES = (
    (("No space left", "File too large", "quota"), "The disk or its quota is full: free some space, then run again."),
    (
        ("Permission denied", "Read-only file system", "Operation not permitted"),
        "It may not be written: correct the owner and the permissions of the file and of its folder.",
    ),
    (
        ("Is a directory", "Not a directory", "File exists"),
        "A folder is where the file should be, or a file where a folder should be: correct WRITEBACK_DATABASE.",
    ),
    (
        ("not a valid DuckDB database", "Corrupt database file", "checksum", "Could not read enough bytes"),
        "The file is damaged or no database of this pipeline: keep it aside under another name together with its "
        ".wal file, and put the last backup in its place.",
    ),
    (("version number", "newer version of DuckDB"), "Another version of DuckDB wrote it: install that one or newer."),
)
_OTHERWISE = "Check the disk and the folder's permissions, then run again."


class StoreUnusable(Trouble):
    """The database cannot be opened or written; the message names the file and the remedy. Nothing was changed."""


class CommitInDoubt(StoreUnusable):
    """The connection was lost while a step was being committed; whether it was is found out at the next try."""

    passing = True


def unusable(path: Path, error: BaseException) -> StoreUnusable:
    """The same trouble, told with the file's name and what to do."""
    reason = str(error).splitlines()[0]
    remedy = next((remedy for signs, remedy in _REMEDIES if any(sign in reason for sign in signs)), _OTHERWISE)
    return StoreUnusable(f"{path} cannot be used. {remedy} The cause: {reason}")


def concerns_the_file(error: duckdb.Error) -> bool:
    """Whether it is the file's or the machine's trouble, not a mistake in a statement or its values."""
    return not isinstance(error, duckdb.ProgrammingError | duckdb.DataError | duckdb.IntegrityError)
