"""The CSV of Bulk jobs: uploads read strictly, cells turned into field values, and lines as results print them.

Text in, values out; the only thing it knows of an organisation is what a field is.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from writeback_pipeline.local_org import times
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.fields import Field

DELIMITERS = {"BACKQUOTE": "`", "CARET": "^", "COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "TAB": "\t"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_NULL = "#N/A"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class BatchError(Exception):
    """The upload cannot be processed, or not from here on; the text is the job's error message."""


def rows(content: bytes, line_ending: str, delimiter: str) -> Iterator[list[str]]:
    """The header and then the rows, each of as many cells; BatchError where that ends."""
    # A carriage return is looked for inside quotes as well: Salesforce looks at the file, not at its cells.
    first, separator, _ = content.partition(b"\n")
    if (b"\r\n" in content) if line_ending == "LF" else (separator and not first.endswith(b"\r")):
        raise BatchError(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {line_ending}"
        )
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="\n")
    width = 0
    try:
        for row in csv.reader(text, delimiter=DELIMITERS[delimiter], strict=True):
            width = width or len(row)
            if row and len(row) != width:
                raise BatchError(f"InvalidBatch : A row has {len(row)} columns where the header has {width}")
            if row:
                yield row
    except UnicodeDecodeError:
        raise BatchError("InvalidBatch : The data is not UTF-8") from None
    except csv.Error as error:
        raise BatchError(f"InvalidBatch : Failed to parse the CSV data: {error}") from None


def given_values(columns: Sequence[Field], row: Sequence[str]) -> dict[str, Any]:
    """The row as a JSON record: empty cells are left out, #N/A is null; ApiError for a cell of the wrong type."""
    return {f.name: _value(f, cell, number) for number, (f, cell) in enumerate(zip(columns, row, strict=True)) if cell}


def error_cell(error: ApiError) -> str:
    """A refusal as the column sf__Error has it."""
    blamed = f"{' '.join(error.fields)} --" if error.fields else "--"
    return f"{error.code}:{error.message}:{blamed}"


def line(cells: Iterable[str], delimiter: str) -> str:
    """A line of results: every value in quotes, no line end."""
    return DELIMITERS[delimiter].join(['"' + cell.replace('"', '""') + '"' for cell in cells])


def _value(f: Field, cell: str, number: int) -> Any:
    if cell == _NULL:
        return None
    reader, name = _READERS.get(f.type, (None, ""))
    value = reader(cell) if reader else cell
    if value is None:
        message = (
            f"Failed to deserialize field at col {number}. Due to, '{cell}' is not a valid value for the type {name}"
        )
        raise ApiError(400, "INVALID_FIELD", message, [f.name])
    return value


def _boolean(cell: str) -> bool | None:
    return _BOOLEANS.get(cell.lower())


def _integer(cell: str) -> int | None:
    try:
        return int(cell)
    except ValueError:
        return None


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "boolean": (_boolean, "xsd:boolean"),
    "int": (_integer, "xsd:int"),
    "double": (_number, "xsd:double"),
    "currency": (_number, "xsd:double"),
    "date": (times.read_date, "xsd:date"),
    "datetime": (times.read_datetime, "xsd:dateTime"),
}
