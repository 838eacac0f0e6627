"""Rows of a Parquet file, streamed batch by batch; texts, whole numbers and timestamps are taken, nothing else.

A timestamp column without a time zone becomes a time without one, and is refused like any other such time.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from writeback_pipeline.domain.intake import column_problems
from writeback_pipeline.intake.rows import RawRow, UnreadableFile

_BATCH = 10_000
_UNDECODED = re.compile("[\udc80-\udcff]")


def parquet_rows(file: BinaryIO) -> Iterator[RawRow]:
    """Every row, numbered from 1. UnreadableFile for anything that is not Parquet, wrong columns or types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    read = 0
    try:
        parquet = pq.ParquetFile(file)
        schema = parquet.schema_arrow
        problems = [*column_problems(schema.names), *filter(None, map(_type_problem, schema))]
        if problems:
            raise UnreadableFile("; ".join(problems))
        for batch in parquet.iter_batches(batch_size=_BATCH):
            columns = [_texts(column) for column in batch.columns]
            for values in zip(*columns, strict=True):
                read += 1
                yield _row(read, dict(zip(schema.names, values, strict=True)))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        after = f" after row {read}" if read else ""
        raise UnreadableFile(f"cannot be read as Parquet{after}: {error}") from None


def _type_problem(field: Any) -> str | None:
    import pyarrow.types as kinds

    wanted = field.type.value_type if kinds.is_dictionary(field.type) else field.type
    taken = (
        kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_binary, kinds.is_large_binary,
        kinds.is_integer, kinds.is_timestamp, kinds.is_null,
    )  # fmt: skip
    if any(is_kind(wanted) for is_kind in taken):
        return None
    return f"column {field.name} has the type {wanted}: write it as text"


def _texts(column: Any) -> list[str]:
    import pyarrow as pa

    try:
        texts = column.cast(pa.string()).to_pylist()
    except ValueError:  # bytes that are not UTF-8
        raw = column.cast(pa.binary()).to_pylist()
        texts = [None if value is None else value.decode(errors="surrogateescape") for value in raw]
    return [text or "" for text in texts]


def _row(number: int, values: dict[str, str]) -> RawRow:
    spoilt = [name for name, text in values.items() if not text.isascii() and _UNDECODED.search(text)]
    return RawRow(number, values, tuple(f"{name}: not UTF-8; write the column as text" for name in spoilt))
