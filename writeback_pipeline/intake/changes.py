"""A whole file of opt-out changes: which reader it needs, and its rows sorted into changes and bad lines.

Nothing is queued here. A file is taken as a whole or not at all, unless the caller decides to go on without bad lines.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from writeback_pipeline.domain.intake import parse_change
from writeback_pipeline.domain.writebacks import Change
from writeback_pipeline.intake.csv_rows import csv_rows
from writeback_pipeline.intake.jsonl_rows import jsonl_rows
from writeback_pipeline.intake.parquet_rows import parquet_rows
from writeback_pipeline.intake.rows import RawRow, UnreadableFile

_READERS: dict[str, Callable[[BinaryIO], Iterator[RawRow]]] = {
    ".csv": csv_rows,
    ".jsonl": jsonl_rows,
    ".ndjson": jsonl_rows,
    ".parquet": parquet_rows,
}


NONE_TAKEN: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is no change, with everything that is wrong with it and the values it has."""

    line: int
    problems: tuple[str, ...]
    values: Mapping[str, str]


def read_changes(path: Path, received_at: datetime) -> tuple[list[Change], list[BadLine]]:
    """The changes of a file received at that moment, in its order, and its bad lines.

    Raises UnreadableFile when the file as a whole is wrong.
    """
    with open_rows(path) as file:
        return sort_out(rows_of(path, file), received_at)


def open_rows(path: Path) -> BinaryIO:
    """The file, opened; UnreadableFile when it is not there, is a folder or has an ending that nobody reads."""
    if path.suffix.lower() not in _READERS:
        raise UnreadableFile(f"{path} has no ending that says what it is: it must be one of {', '.join(_READERS)}")
    try:
        return path.open("rb")
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror}") from None


def rows_of(path: Path, file: BinaryIO) -> Iterator[RawRow]:
    """The rows of a file opened by `open_rows`; its ending says what form it has."""
    try:
        yield from _READERS[path.suffix.lower()](file)
    except UnreadableFile as error:
        raise UnreadableFile(f"{path}: {error}") from None


def sort_out(
    rows: Iterable[RawRow], received_at: datetime, taken: Mapping[str, str] = NONE_TAKEN
) -> tuple[list[Change], list[BadLine]]:
    """Changes and bad lines. A delivery_key that two lines give to different changes is a problem of the second, one
    that is `taken` of each that has it; what it says there is told."""
    changes: list[Change] = []
    bad_lines: list[BadLine] = []
    keyed: dict[str, tuple[int, Change]] = {}
    for row in rows:
        parsed = parse_change(row.values, received_at)
        if row.problems or not isinstance(parsed, Change):
            bad_lines.append(BadLine(row.line, _all_problems(row, parsed), row.values))
            continue
        if parsed.key is not None:
            line, first = keyed.setdefault(parsed.key, (row.line, parsed))
            if first != parsed:
                problem = f"delivery_key: line {line} gives this key to another change; every change needs its own"
                bad_lines.append(BadLine(row.line, (problem,), row.values))
                continue
        if told := taken.get(parsed.delivery_key):
            bad_lines.append(BadLine(row.line, (f"delivery_key: {told}",), row.values))
            continue
        changes.append(parsed)
    return changes, bad_lines


def _all_problems(row: RawRow, parsed: Change | tuple[str, ...]) -> tuple[str, ...]:
    """Those of form first; those of content where there is any, once per column."""
    if isinstance(parsed, Change) or not row.values:
        return row.problems
    told = {problem.partition(":")[0] for problem in row.problems}
    return (*row.problems, *(problem for problem in parsed if problem.partition(":")[0] not in told))
