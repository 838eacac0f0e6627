"""What a PostgreSQL server's troubles are called, and what a person can do about each.

A mistake in our own SQL stays what psycopg calls it. What libpq says of a connection that was not made has no code, so
its words are compared; servers that speak another language fall back to what is said of any trouble.
"""

import psycopg

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store.errors import CommitInDoubt, StoreUnusable

_START = "Start the server, or correct host and port in WRITEBACK_DATABASE."
_SIGN_IN = "Correct user and password in WRITEBACK_DATABASE, or pg_hba.conf on the server."
_DATABASE = "Make the database, or correct its name in WRITEBACK_DATABASE."
_RIGHTS = "Give the role the right to it; docs/postgresql.md has the statements."
_DISK = "The server's disk is full: free some space there, then run again."
_READ_ONLY = "It takes no writes now: name the primary in WRITEBACK_DATABASE, or wait until the failover is over."
_DAMAGED = "The server reports damaged data: put the last backup in its place, as docs/postgresql.md says."

_BY_CODE = {
    "28000": _SIGN_IN,
    "28P01": _SIGN_IN,
    "3D000": _DATABASE,
    "42501": _RIGHTS,
    "3F000": _RIGHTS,  # a schema that the role may not use is none to it
    "53100": _DISK,
    "25006": _READ_ONLY,
    "58030": _DISK,
    "XX001": _DAMAGED,
    "XX002": _DAMAGED,
}
_BY_WORDS = (
    (("password authentication failed", "no pg_hba.conf entry", "no password supplied"), _SIGN_IN),
    (("role", "does not exist"), _SIGN_IN),
    (("database", "does not exist"), _DATABASE),
    (("permission denied for database",), _RIGHTS),
    (("session is read-only", "not writable"), _READ_ONLY),
    (("certificate", "SSL"), "Correct the sslmode and certificate parameters of WRITEBACK_DATABASE."),
    (("refused", "No such file", "timeout expired", "could not translate", "resolve", "unreachable"), _START),
)
_OTHERWISE = "Look at the server's log, then run again."

_PASSING = ("starting up", "shutting down", "too many clients", "connection slots", "in recovery", "not yet accept")
"""How a server begins to say that it will take connections in a moment."""

_BUSY = {
    "55P03": "other transactions kept it locked",
    "40P01": "two transactions waited for each other",
    "40001": "another transaction came in between",
    "53300": "it has no connection left",
    "57014": "a statement took too long and was ended",
    "25P03": "the transaction stood still for too long and was ended",
    "57P03": "it is starting or stopping",
}
_LOST = ("08", "57P01", "57P02", "57P05")


def may_pass(error: psycopg.Error) -> bool:
    """Whether a connection that was not made may be in a moment: the server restarts, or all its places are taken."""
    words = str(error)
    return any(sign in words for sign in _PASSING) or _matches(words, _START)


def not_connected(shown: str, error: psycopg.Error, waited: float) -> StoreBusy | StoreUnusable:
    """What to tell of a connection that was not made, after having tried for that many seconds."""
    words = _words(error)
    if any(sign in words for sign in _PASSING):
        return StoreBusy(
            f"{shown} took no connection for {waited:g} s ({words}). Nothing was changed; try again. If it lasts, look "
            "at the server, and at who holds its connections."
        )
    remedy = next((remedy for signs, remedy in _BY_WORDS if _has(words, signs)), _OTHERWISE)
    return StoreUnusable(f"{shown} cannot be used. {remedy} The cause: {words}")


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection ended before an answer came."""
    code = error.sqlstate or ""
    return code.startswith(_LOST) or (not code and isinstance(error, psycopg.OperationalError))


def in_doubt(shown: str, error: psycopg.Error) -> CommitInDoubt:
    """What to tell of a step that may or may not have been committed: it must not be done again blindly."""
    return CommitInDoubt(
        f"{shown}: the connection was lost while a step was being committed ({_words(error)}). Run again: whether it "
        "was committed is found out by itself, and nothing is done twice."
    )


def trouble(shown: str, error: psycopg.Error) -> StoreBusy | StoreUnusable | None:
    """What to tell of an error in a transaction; None where it is a mistake in a statement or its values."""
    code = error.sqlstate or ""
    if code in _BUSY:
        return StoreBusy(f"{shown}: {_BUSY[code]}. Nothing was changed; try again.")
    if code in _BY_CODE:
        return StoreUnusable(f"{shown} cannot be used. {_BY_CODE[code]} The cause: {_words(error)}")
    if is_lost(error):
        return StoreBusy(f"{shown}: the connection was lost ({_words(error)}). Nothing was changed; try again.")
    if isinstance(error, psycopg.OperationalError | psycopg.InternalError):
        return StoreUnusable(f"{shown} cannot be used. {_OTHERWISE} The cause: {_words(error)}")
    return None


def _has(words: str, signs: tuple[str, ...]) -> bool:
    return all(sign in words for sign in signs) if "does not exist" in signs else any(sign in words for sign in signs)


def _matches(words: str, remedy: str) -> bool:
    return any(each is remedy and _has(words, signs) for signs, each in _BY_WORDS)


def _words(error: psycopg.Error) -> str:
    """What the server or libpq said, on one line; neither ever repeats a password."""
    return " ".join(str(error).split())
