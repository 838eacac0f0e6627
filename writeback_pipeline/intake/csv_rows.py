"""Rows of a CSV file (RFC 4180, comma, header in the first line), streamed.

A row counts from the line it begins on: a quoted text may run over several. Where quoting is broken nobody knows what
the rest means, so reading ends there with an error instead of guessing.
"""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from writeback_pipeline.domain.intake import column_problems
from writeback_pipeline.intake.rows import RawRow, UnreadableFile
from writeback_pipeline.intake.text_lines import text_lines


def csv_rows(file: BinaryIO) -> Iterator[RawRow]:
    """The rows below the header; none in an empty file. UnreadableFile for wrong columns or broken quotes."""
    damage: dict[int, str] = {}
    header: list[str] | None = None
    for first, last, fields in _records(file, damage):
        spoilt = tuple(damage.pop(line) for line in range(first, last + 1) if line in damage) if damage else ()
        if header is None:
            header = [name.strip() for name in fields]
            problems = [*spoilt, *column_problems(header)]
            if problems:
                raise UnreadableFile(f"line {first}: {'; '.join(problems)}")
            continue
        if len(fields) != len(header):
            wanted = (
                f"has {len(fields)} fields where the header has {len(header)}: is a comma or a line break unquoted?"
            )
            spoilt = (*spoilt, wanted)
        yield RawRow(first, dict(zip(header, fields, strict=False)), spoilt)


def _records(file: BinaryIO, damage: dict[int, str]) -> Iterator[tuple[int, int, list[str]]]:
    """First line, last line and fields of each record that is not a blank line; notes damaged lines in `damage`."""

    def lines() -> Iterator[str]:
        for number, (line, problem) in enumerate(text_lines(file), start=1):
            if problem:
                damage[number] = problem
            yield line

    reader = csv.reader(lines(), strict=True)
    while True:
        first = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UnreadableFile(
                f"line {first} cannot be read as CSV ({error}), nor anything after it: mend the quoting there"
            ) from None
        if fields:
            yield first, reader.line_num, fields
