"""The archive of removed rows: Parquet files, complete and on disk before anything is removed.

Imports pyarrow, so it is imported only where something is archived.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.retention import Table

_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),  # an instant in UTC, as in the ledger
    "timestamp without time zone": pa.timestamp("us"),
}


def write(path: Path, table: Table) -> None:
    """Write the rows to that file, which appears only when it is whole; raises StoreUnusable where it cannot."""
    schema = pa.schema([(name, _TYPES.get(type_.lower(), pa.string())) for name, type_ in table.columns.items()])
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            pq.write_table(pa.table(arrays, schema=schema), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        if pq.read_metadata(temporary).num_rows != len(table.rows):
            raise StoreUnusable(f"{path} does not hold what was written to it: check the disk. Nothing was removed.")
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StoreUnusable(f"{path} cannot be written ({error.strerror}): nothing more was removed.") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
