"""The file of rejected lines: what was wrong beside what was given, for a person to mend in a spreadsheet."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from writeback_pipeline.csv_cells import write_rows
from writeback_pipeline.domain.intake import COLUMNS
from writeback_pipeline.domain.notes import clean_text
from writeback_pipeline.intake.changes import BadLine

REJECT_COLUMNS = ("line", "problems", *COLUMNS)


def write_rejects(path: Path, bad_lines: Iterable[BadLine]) -> None:
    """Write the lines as a new CSV file; FileExistsError when there is one already.

    Bytes and characters that no text file carries are shown as U+FFFD.
    """
    with path.open("x", encoding="utf-8", newline="") as file:
        write_rows(file, chain([REJECT_COLUMNS], map(_row, bad_lines)))


def _row(bad: BadLine) -> tuple[int | str, ...]:
    texts = ("; ".join(bad.problems), *(bad.values.get(column, "") for column in COLUMNS))
    return bad.line, *map(clean_text, texts)
