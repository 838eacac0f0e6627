"""Where mailing events are: the Parquet files that a window needs, found by their date.

Files lie in `<location>/date=YYYY-MM-DD/*.parquet`, by the UTC date of `occurred_at`. The location is a folder or
anything else that DuckDB reads, a pattern included; one that does not exist holds no events.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.database import ActivityDataError, first_line, naming_the_file
from writeback_pipeline.domain.windows import Window

_EXTENSION = re.compile(r"(?:required extension '|requires the extension )(?P<name>\w+).*\n+(?P<why>.*)")
"""What DuckDB says of an extension that it has to have and could not load."""

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def _moment_sql(statistic: str) -> str:
    """That statistic of `occurred_at` as microseconds since 1970, and of other columns none."""
    return f"CASE WHEN path_in_schema = 'occurred_at' THEN epoch_us(TRY_CAST({statistic} AS TIMESTAMPTZ)) END"


_FOOTERS = f"""
SELECT file_name, coalesce(sum(row_group_num_rows) FILTER (path_in_schema = 'occurred_at'), 0)::BIGINT,
    coalesce(sum(stats_null_count) FILTER (path_in_schema = 'event_id'), 0)::BIGINT,
    coalesce(sum(stats_null_count) FILTER (path_in_schema = 'occurred_at'), 0)::BIGINT,
    min({_moment_sql("stats_min_value")}), max({_moment_sql("stats_max_value")}),
    coalesce(bool_and(stats_null_count IS NOT NULL AND (
        path_in_schema = 'event_id' OR stats_min_value IS NOT NULL OR stats_null_count = num_values
    )), true)
FROM parquet_metadata($files)
WHERE (path_in_schema, type) IN (('event_id', 'BYTE_ARRAY'), ('occurred_at', 'INT64'), ('occurred_at', 'INT96'))
    AND row_group_num_rows > 0
GROUP BY file_name HAVING bool_or(path_in_schema = 'occurred_at')
"""
_FROM_EVENTS = """
SELECT count(*), count(*) - count(event_id), count(*) - count(occurred_at), epoch_us(min(occurred_at)),
    epoch_us(max(occurred_at)), true
FROM read_parquet($files, hive_partitioning = false)
"""

Span = tuple[datetime, datetime]
"""First and last time of a file's events."""


class Footer(NamedTuple):
    """What a file says of its events in its end, where no event is read for it: `span` is None where it does not.

    A file that was written without statistics, or by a writer that has none for times, is not `complete`.
    """

    events: int
    without_id: int
    without_time: int
    span: Span | None
    complete: bool


NO_EVENTS = Footer(0, 0, 0, None, True)
"""A file without events says nothing."""


class WindowFiles(NamedTuple):
    """A window's files, and the footers of those that have events."""

    files: list[str]
    footers: Mapping[str, Footer]

    @property
    def events(self) -> int:
        """How many events the files have, of other windows, too."""
        return sum(self.footers.get(file, NO_EVENTS).events for file in self.files)


def window_files(database: DuckDBPyConnection, location: str, window: Window) -> list[str]:
    """The files of the window's UTC dates, and those of the day before and after that hold events of the window.

    A neighbouring day's file is judged by its footer alone: one that cannot be read is a fault of its own day, and one
    that does not say from when its events are may hold some.
    """
    own, neighbours = _by_date(database, location, window)
    return own + _with_events_of(window, _footers(database, [], neighbours))


def window_files_with_footers(database: DuckDBPyConnection, location: str, window: Window) -> WindowFiles:
    """The same with what their footers say; raises ActivityDataError for a file of the window's dates without one."""
    own, neighbours = _by_date(database, location, window)
    footers = _footers(database, own, neighbours)
    beside = {file: footers[file] for file in neighbours if file in footers}
    return WindowFiles(own + _with_events_of(window, beside), footers)


def footer_from_events(database: DuckDBPyConnection, file: str) -> Footer:
    """What the footer of that file, whose columns are those of events, would say; raises ActivityDataError."""
    with naming_the_file(database, [file], _FROM_EVENTS):
        (said,) = database.execute(_FROM_EVENTS, {"files": [file]}).fetchall()
    return _footer(*said)


def fingerprint(database: DuckDBPyConnection, files: Sequence[str]) -> str:
    """A text that changes when a file is added, removed or written again; no event is read for it."""
    if not files:
        return ""
    rows = database.execute(
        "SELECT filename, size, epoch_us(last_modified) FROM read_blob($files) ORDER BY ALL", {"files": list(files)}
    ).fetchall()
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:32]


def _by_date(database: DuckDBPyConnection, location: str, window: Window) -> tuple[list[str], list[str]]:
    """The files of the window's UTC dates, and of the day before and after."""
    first, last = window.start.date(), (window.end - timedelta(microseconds=1)).date()
    own = [file for day in _days(first, last) for file in _files_of(database, location, day)]
    return own, [file for day in (first - _DAY, last + _DAY) for file in _files_of(database, location, day)]


def _with_events_of(window: Window, footers: Mapping[str, Footer]) -> list[str]:
    return [file for file, footer in footers.items() if not footer.complete or _touches(footer.span, window)]


def _footers(database: DuckDBPyConnection, own: Sequence[str], neighbours: Sequence[str]) -> dict[str, Footer]:
    """The footers of files that have events, in this order; neighbours that have none to be read are left out."""
    try:
        return _read_footers(database, [*own, *neighbours])
    except duckdb.Error:
        with naming_the_file(database, own, _FOOTERS):
            found = _read_footers(database, own)
        for file in neighbours:
            with suppress(duckdb.Error):
                found |= _read_footers(database, [file])
        return found


def _read_footers(database: DuckDBPyConnection, files: Sequence[str]) -> dict[str, Footer]:
    if not files:
        return {}
    footers = {file: _footer(*said) for file, *said in database.execute(_FOOTERS, {"files": list(files)}).fetchall()}
    return {file: footers[file] for file in files if file in footers}


def _footer(
    events: int, without_id: int, without_time: int, first: int | None, last: int | None, complete: bool
) -> Footer:
    span = None if first is None or last is None else (_instant(first), _instant(last))
    return Footer(events, without_id, without_time, span, complete)


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


def _instant(microseconds: int) -> datetime:
    """The time so many microseconds after 1970, or the first or last that Python has."""
    return _EPOCH + min(max(timedelta(microseconds=microseconds), _FIRST - _EPOCH), _LAST - _EPOCH)


def _touches(span: Span | None, window: Window) -> bool:
    return span is not None and span[0] < window.end and window.start <= span[1]
