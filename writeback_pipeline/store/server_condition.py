"""What may be wrong with a server although it answers: how safe its commits are, our role's rights, its clock."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from writeback_pipeline.domain.findings import Finding, Level
from writeback_pipeline.store.session import Session

AREA = "platform"
SKEW_SECONDS = 1.0
"""From here on a difference of the clocks is worth a word; see `postgres.MOST_SKEW` for where work ends."""

_FACTS = {
    "fsync": "current_setting('fsync')",
    "full_page_writes": "current_setting('full_page_writes')",
    "synchronous_commit": "current_setting('synchronous_commit')",
    "superuser": "current_setting('is_superuser')",
    "may_migrate": "has_schema_privilege(current_schema(), 'CREATE')",
    "encrypted": "coalesce((SELECT s.ssl FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid()), FALSE)",
    "far": "inet_server_addr() IS NOT NULL AND NOT inet_server_addr() <<= '127.0.0.0/8' "
    "AND inet_server_addr() <> '::1'",
    "clock": "clock_timestamp()",
}

_WRONG: tuple[tuple[Callable[[dict[str, Any]], bool], Level, str, str], ...] = (
    (
        lambda facts: "off" in (facts["fsync"], facts["full_page_writes"]),
        Level.FAILURE,
        "fsync or full_page_writes is off: after a crash of the server's machine the database may be damaged",
        "Set both to on in postgresql.conf.",
    ),
    (
        lambda facts: facts["synchronous_commit"] == "off",
        Level.FAILURE,
        "synchronous_commit is off: a crash loses what was journalled last, and was sent",
        "ALTER ROLE ... SET synchronous_commit = on",
    ),
    (
        lambda facts: facts["superuser"] == "on",
        Level.WARNING,
        "the role is a superuser",
        "Give the pipeline a role of its own, as docs/postgresql.md says.",
    ),
    (
        lambda facts: not facts["may_migrate"],
        Level.WARNING,
        "the role may not create tables in its schema: a later release cannot migrate it",
        "GRANT CREATE ON SCHEMA ... before an upgrade.",
    ),
    (
        lambda facts: facts["far"] and not facts["encrypted"],
        Level.WARNING,
        "the connection is not encrypted",
        "Add sslmode=verify-full and sslrootcert to WRITEBACK_DATABASE.",
    ),
    (
        lambda facts: abs(facts["skew"]) > SKEW_SECONDS,
        Level.WARNING,
        "this machine's clock is {skew:+.1f} s from the server's; beyond 10 s nothing is delivered",
        "Have both follow a time server.",
    ),
)


def findings(session: Session) -> list[Finding]:
    """What is wrong with the server; nothing of a file."""
    if not session.dialect.locks_rows:
        return []
    [row] = session.execute(f"SELECT {', '.join(_FACTS.values())}").fetchall()
    facts = dict(zip(_FACTS, row, strict=True))
    facts["skew"] = (datetime.now(UTC) - facts["clock"]).total_seconds()
    return [
        Finding(AREA, "database server", level, told.format(**facts), remedy)
        for is_wrong, level, told, remedy in _WRONG
        if is_wrong(facts)
    ]
