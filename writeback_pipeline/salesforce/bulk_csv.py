"""Row writes as the CSV file of a Bulk job, and rows shared out among files that Salesforce takes.

Pure. An empty cell would leave a field as it is, so emptiness is written out; lines end in LF everywhere, in texts too,
as a job fails as a whole over one CR LF anywhere in its file.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from writeback_pipeline.domain.bulk import JobKind, kind_of
from writeback_pipeline.domain.records import RowWrite

MAX_BYTES = 100_000_000
"""Longest file: Salesforce takes 150 MB, counted after it was put into base64."""

_NULL = "#N/A"
_ROWS_AT_ONCE = 1_000  # as text they take four times the room


def jobs_for(rows: Sequence[RowWrite], most: int = MAX_BYTES) -> list[tuple[JobKind, tuple[int, ...]]]:
    """The rows' positions, each group the file of one job, in the order of their first rows.

    Raises ValueError for a row that no job can carry.
    """
    latest: dict[tuple[JobKind, tuple[str, ...]], tuple[list[int], int]] = {}
    files: list[tuple[JobKind, list[int]]] = []
    for position, row in enumerate(rows):
        kind = kind_of(row)
        if kind is None:
            raise ValueError(f"a {row.sobject} with a link, or without a key, cannot go by Bulk API")
        record = _record(row)
        size = len(_lines([record.values()]))
        shape = (kind, tuple(record))
        positions, used = latest.get(shape, ([], most))
        if used + size > most:
            positions, used = [], len(_lines([record]))
            files.append((kind, positions))
        positions.append(position)
        latest[shape] = (positions, used + size)
    return [(kind, tuple(positions)) for kind, positions in files]


def file_of(rows: Sequence[RowWrite]) -> bytes:
    """The file of one job: a header and the rows, which all have the same columns."""
    content = io.BytesIO(_lines([_record(rows[0])]))
    content.seek(0, io.SEEK_END)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        content.write(_lines(_record(row).values() for row in rows[start : start + _ROWS_AT_ONCE]))
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
    csv.writer(text, lineterminator="\n").writerows([cell(value) for value in row] for row in rows)
    return text.getvalue().encode(errors="replace")
