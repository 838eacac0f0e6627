"""The file of rejected lines: what was wrong beside what was given, for a person to mend in a spreadsheet."""

import csv
from collections.abc import Iterable
from pathlib import Path

from writeback_pipeline.csv_cells import formula_safe
from writeback_pipeline.domain.intake import COLUMNS
from writeback_pipeline.domain.notes import clean_text
from writeback_pipeline.intake.changes import BadLine

REJECT_COLUMNS = ("line", "problems", *COLUMNS)


def write_rejects(path: Path, bad_lines: Iterable[BadLine]) -> None:
    """Write the lines as a new CSV file; FileExistsError when there is one already.

    Bytes and characters that no text file carries are shown as U+FFFD.
    """
    with path.open("x", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(REJECT_COLUMNS)
        for bad in bad_lines:
            texts = ("; ".join(bad.problems), *(bad.values.get(column, "") for column in COLUMNS))
            writer.writerow((bad.line, *(formula_safe(clean_text(text)) for text in texts)))
