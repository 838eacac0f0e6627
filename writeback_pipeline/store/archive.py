"""The archive of removed rows: Parquet files, complete and on disk before anything is removed, and rewritten only to
erase a person.

Imports pyarrow, so it is imported only where something is archived.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from writeback_pipeline.domain.erasure import PersonalData
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.retention import Table

_TYPES = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),  # an instant in UTC, as in the ledger
    "timestamp without time zone": pa.timestamp("us"),
}


_PERSONAL = ("email", "subscriber_id", "reason", "error_message")
_RECORDS = ("salesforce_id", "redirected_from", "person_id")


def write(path: Path, table: Table) -> None:
    """Write the rows to that file, which appears only when it is whole; raises StoreUnusable where it cannot."""
    schema = pa.schema([(name, _TYPES.get(type_.lower(), pa.string())) for name, type_ in table.columns.items()])
    columns = zip(*table.rows, strict=True) if table.rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)]
    _write(path, pa.table(arrays, schema=schema))


def files_of(folders: Iterable[Path], data: PersonalData) -> list[Path]:
    """The files below those folders that hold names, words or answers of the person."""
    return [path for path, _ in _without(folders, data)]


def erase(folders: Iterable[Path], data: PersonalData) -> list[Path]:
    """Write those files anew without them, each at once; raises StoreUnusable where one cannot be written."""
    rewritten = []
    for path, table in _without(folders, data):
        _write(path, table)
        rewritten.append(path)
    return rewritten


def _without(folders: Iterable[Path], data: PersonalData) -> Iterator[tuple[Path, pa.Table]]:
    """The files that hold anything of the person, each with what it is to hold from then on."""
    for folder in sorted({path.parent for each in folders for path in each.rglob("writebacks-*.parquet")}):
        ids: set[int] = set()
        for path in sorted(folder.glob("writebacks-*.parquet")):
            table = pq.read_table(path)
            theirs = _theirs(table, data)
            ids |= set(table.filter(theirs)["id"].to_pylist())
            yield from _cleared(path, table, theirs, _PERSONAL)
        for path in sorted(folder.glob("attempts-*.parquet")):
            table = pq.read_table(path)
            theirs = pc.is_in(table["writeback_id"], pa.array(sorted(ids), pa.int64()))
            yield from _cleared(path, table, theirs, ("message",))


def _theirs(table: pa.Table, data: PersonalData) -> pa.ChunkedArray:
    """Which rows are the person's: by a record, or by a name where there is no record."""
    records, names = pa.array(data.people, pa.string()), pa.array(sorted(data.names), pa.string())
    named = pc.or_(
        pc.is_in(table["subscriber_id"], names), pc.is_in(pc.utf8_lower(table["email"]), pc.utf8_lower(names))
    )
    theirs = pc.and_(named, pc.is_null(table["salesforce_id"]))
    for column in _RECORDS:
        theirs = pc.or_(theirs, pc.is_in(table[column], records))
    return theirs


def _cleared(
    path: Path, table: pa.Table, theirs: pa.ChunkedArray, columns: Iterable[str]
) -> Iterator[tuple[Path, pa.Table]]:
    before = table
    for column in columns:
        nothing = pa.scalar(None, table[column].type)
        cleared = pc.if_else(theirs, nothing, table[column])
        table = table.set_column(table.column_names.index(column), table.schema.field(column), cleared)
    if not table.equals(before):
        yield path, table


def _write(path: Path, table: pa.Table) -> None:
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        if pq.read_metadata(temporary).num_rows != table.num_rows:
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
