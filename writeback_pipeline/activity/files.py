"""Where mailing events are: the Parquet files that a window needs, found by their date.

Files lie in `<location>/date=YYYY-MM-DD/*.parquet`, by the UTC date of `occurred_at`. The location is a folder or
anything else that DuckDB reads, a pattern included; one that does not exist holds no events.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.database import ActivityDataError, first_line
from writeback_pipeline.domain.windows import Window

_EXTENSION = re.compile(r"(?:required extension '|requires the extension )(?P<name>\w+).*\n+(?P<why>.*)")
"""What DuckDB says of an extension that it has to have and could not load."""

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment_sql(statistic: str) -> str:
    """That statistic of `occurred_at` as microseconds since 1970, and of other columns none."""
    return f"CASE WHEN path_in_schema = 'occurred_at' THEN epoch_us({statistic}::TIMESTAMPTZ) END"


_SPANS = f"""
SELECT file_name, min({moment_sql("stats_min_value")}), max({moment_sql("stats_max_value")})
FROM parquet_metadata($files)
WHERE path_in_schema = 'occurred_at' AND stats_min_value IS NOT NULL
GROUP BY file_name
"""

Span = tuple[datetime, datetime]
"""First and last time of a file's events."""


def window_files(database: DuckDBPyConnection, location: str, window: Window) -> list[str]:
    """The files of the window's UTC dates, and those of the day before and after that hold events of the window.

    A neighbouring day's file is judged by its statistics alone: one that cannot be read is a fault of its own day.
    """
    first, last = window.start.date(), (window.end - timedelta(microseconds=1)).date()
    own = [file for day in _days(first, last) for file in _files_of(database, location, day)]
    neighbours = [file for day in (first - _DAY, last + _DAY) for file in _files_of(database, location, day)]
    spans = time_spans(database, neighbours)
    return own + [file for file in neighbours if file in spans and _touches(spans[file], window)]


def fingerprint(database: DuckDBPyConnection, files: Sequence[str]) -> str:
    """A text that changes when a file is added, removed or written again; no event is read for it."""
    if not files:
        return ""
    rows = database.execute(
        "SELECT filename, size, epoch_us(last_modified) FROM read_blob($files) ORDER BY ALL", {"files": list(files)}
    ).fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:32]


def time_spans(database: DuckDBPyConnection, files: Sequence[str]) -> dict[str, Span]:
    """The span of each file, from its statistics; files that have none, or cannot be read, are left out."""
    if not files:
        return {}
    try:
        rows = database.execute(_SPANS, {"files": list(files)}).fetchall()
    except duckdb.Error:
        if len(files) == 1:
            return {}
        return {file: span for one in files for file, span in time_spans(database, [one]).items()}
    return {file: (instant(first), instant(last)) for file, first, last in rows}


def _files_of(database: DuckDBPyConnection, location: str, day: date) -> list[str]:
    partition = f"date={day.isoformat()}"
    if Path(location).is_dir():  # a folder's name is taken as it is, brackets and stars included
        return sorted(str(file) for file in Path(location, partition).glob("*.parquet"))
    pattern = f"{location.rstrip('/')}/{partition}/*.parquet"
    try:
        return sorted(file for (file,) in database.execute("SELECT file FROM glob($p)", {"p": pattern}).fetchall())
    except duckdb.Error as error:
        problem, remedy = _why_not_listed(error)
        raise ActivityDataError(pattern, problem, remedy=remedy) from error


def _why_not_listed(error: duckdb.Error) -> tuple[str, str]:
    """What is wrong, and the remedy. Object storage takes an extension, which DuckDB fetches at its first use."""
    extension = _EXTENSION.search(str(error))
    if extension is None:
        remedy = "Correct WRITEBACK_ACTIVITY, or give this machine access to it."
        return f"cannot be listed, {first_line(error)}", remedy
    name = extension["name"]
    install = f""".venv/bin/python -c "import duckdb; duckdb.execute('INSTALL {name}')\""""
    return (
        f"cannot be listed, DuckDB's extension {name} is not installed ({extension['why'].rstrip('.:')})",
        f"Let the user that runs this install it once, where extensions.duckdb.org can be reached: {install}. "
        "It is kept in the folder .duckdb of that user's home, which may be copied to other machines.",
    )


def _days(first: date, last: date) -> list[date]:
    return [first + _DAY * offset for offset in range((last - first).days + 1)]


def instant(microseconds: int) -> datetime:
    """The time so many microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _touches(span: Span, window: Window) -> bool:
    return span[0] < window.end and window.start <= span[1]
