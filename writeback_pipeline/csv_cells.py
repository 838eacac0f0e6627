"""CSV files that people open in a spreadsheet: texts are shown as they are, never run as a formula, and stay whole."""

import csv
from collections.abc import Iterable
from typing import Any, TextIO

_FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"
"""The same four signs as East Asian versions of spreadsheets take them."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", *_FULL_WIDTH)


def formula_safe(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would otherwise take it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def write_rows(file: TextIO, rows: Iterable[Iterable[Any]]) -> None:
    """Write rows that end in LF. Every text is made safe, and one with a line break of any kind is quoted."""
    writer = csv.writer(_EndingInLf(file))
    writer.writerows([formula_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


class _EndingInLf:
    """What the csv module writes its rows to: it quotes a CR only where its own rows end in CR LF."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self._file.write(row[:-2] + "\n")
