"""Row writes as the CSV file of a Bulk job, and rows shared out among files that Salesforce takes.

Pure. An empty cell would leave a field as it is, so emptiness is written out; lines end in LF everywhere, in texts too,
as a job fails as a whole over one CR LF anywhere in its file.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from writeback_pipeline.domain.bulk import JobKind, kind_of
from writeback_pipeline.domain.records import RowWrite

MAX_BYTES = 100_000_000
"""Longest file: Salesforce takes 150 MB, counted after it was put into base64."""

_NULL = "#N/A"
_LINE_END = "\n"
_ROWS_AT_ONCE = 1_000  # as text they take four times the room


class JobFiles:
    """The files that rows are shared out among, portion by portion, none longer than `most` bytes."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._most = most
        self._files = 0
        self._ruler = csv.writer(_Ruler(), lineterminator=_LINE_END)
        self._filling: dict[tuple[JobKind, tuple[str, ...]], tuple[int, int]] = {}

    def share_out(self, rows: Iterable[RowWrite]) -> list[tuple[int, JobKind]]:
        """For each row the number of its file, from 1 in the order of their first rows, and the job that carries it.

        Raises ValueError for a row that no job can carry.
        """
        return [self._place(row) for row in rows]

    def _place(self, row: RowWrite) -> tuple[int, JobKind]:
        kind = kind_of(row)
        if kind is None:
            raise ValueError(f"a {row.sobject} with a link, or without a key, cannot go by Bulk API")
        record = _record(row)
        size: int = self._ruler.writerow(_cells(record.values()))
        columns = tuple(record)
        number, used = self._filling.get((kind, columns), (0, self._most))
        if used + size > self._most:
            self._files += 1
            number, used = self._files, len(_lines([columns]))
        self._filling[kind, columns] = number, used + size
        return number, kind


def file_of(rows: Iterable[RowWrite]) -> bytes:
    """The file of one job: a header and the rows, which all have the same columns."""
    content, coming = io.BytesIO(), iter(rows)
    while some := [_record(row) for row in islice(coming, _ROWS_AT_ONCE)]:
        if not content.tell():
            content.write(_lines([some[0]]))
        content.write(_lines(record.values() for record in some))
    return content.getvalue()


def cell(value: Any) -> str:
    """A value as its cell, and as the results of the job show it."""
    if value is None or value == "":
        return _NULL
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).replace("\r\n", "\n").replace("\r", "\n")


def _record(row: RowWrite) -> Mapping[str, Any]:
    key = {"Id": row.record_id} if row.record_id is not None else dict([row.external_id] if row.external_id else [])
    return key | dict(row.fields)


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=_LINE_END).writerows(map(_cells, rows))
    return _encoded(text.getvalue())


def _cells(values: Iterable[Any]) -> list[str]:
    return [cell(value) for value in values]


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")


class _Ruler:
    """A file that keeps nothing: what is written to it tells its bytes."""

    def write(self, line: str) -> int:
        return len(_encoded(line))
