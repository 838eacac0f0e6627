"""Parquet files: the column types that exports have, and those that say nothing about a change."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from writeback_pipeline.intake.changes import read_changes
from writeback_pipeline.intake.rows import UnreadableFile
from writeback_pipeline_tests.intake.files import CONTACT, GOOD, RECEIVED_AT

MOMENT = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)


def parquet(tmp_path: Path, **columns: pa.Array) -> Path:
    path = tmp_path / "changes.parquet"
    rows = len(next(iter(columns.values()))) if columns else 1
    texts = {name: pa.array([text] * rows) for name, text in GOOD.items()}
    pq.write_table(pa.table(texts | columns), path)
    return path


def test_columns_of_text_are_read_and_null_is_empty(tmp_path: Path) -> None:
    path = parquet(tmp_path, reason=pa.array([None, "Bad Email"]), subscriber_id=pa.array([1, None]))
    changes, bad_lines = read_changes(path, RECEIVED_AT)
    assert [(change.reason, change.subscriber_id) for change in changes] == [(None, "1"), ("Bad Email", None)]
    assert bad_lines == []


@pytest.mark.parametrize(
    "kind",
    [
        pa.timestamp("s", "UTC"),
        pa.timestamp("ms", "Europe/Berlin"),
        pa.timestamp("us", "-05:00"),
        pa.timestamp("ns", "America/New_York"),
    ],
)
def test_typed_timestamps_with_a_zone_are_the_same_instant(tmp_path: Path, kind: pa.DataType) -> None:
    (change,), _ = read_changes(parquet(tmp_path, occurred_at=pa.array([MOMENT], kind)), RECEIVED_AT)
    assert change.occurred_at == MOMENT


def test_typed_timestamps_without_a_zone_are_refused_row_by_row(tmp_path: Path) -> None:
    naive = pa.array([MOMENT.replace(tzinfo=None)] * 2, pa.timestamp("us"))
    changes, bad_lines = read_changes(parquet(tmp_path, occurred_at=naive), RECEIVED_AT)
    assert changes == []
    assert [bad.line for bad in bad_lines] == [1, 2]
    assert "has no time zone: add the offset" in bad_lines[0].problems[0]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int8(), pa.string())]
)
def test_every_way_to_store_text_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    (change,), _ = read_changes(parquet(tmp_path, salesforce_id=pa.array([CONTACT]).cast(kind)), RECEIVED_AT)
    assert change.salesforce_id == CONTACT


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        (pa.array([[1]]), "list"),
        (pa.array([1.5]), "double"),
        (pa.array([True]), "bool"),
        (pa.array([{"a": 1}]), "struct"),
    ],
)
def test_a_column_of_another_type_is_a_problem_of_the_file(tmp_path: Path, column: pa.Array, shown: str) -> None:
    with pytest.raises(UnreadableFile, match=f"column reason has the type {shown}.*: write it as text"):
        read_changes(parquet(tmp_path, reason=column), RECEIVED_AT)


def test_bytes_that_are_not_utf_8_spoil_their_row_only(tmp_path: Path) -> None:
    changes, (bad,) = read_changes(parquet(tmp_path, reason=pa.array([b"caf\xe9", "café".encode(), None])), RECEIVED_AT)
    assert [change.reason for change in changes] == ["café", None]
    assert bad.line == 1
    assert bad.problems == ("reason: not UTF-8; write the column as text",)


def test_row_numbers_run_on_from_batch_to_batch(tmp_path: Path) -> None:
    kinds = ["unsubscribe"] * 20_000 + ["bad_email"]
    changes, (bad,) = read_changes(parquet(tmp_path, kind=pa.array(kinds)), RECEIVED_AT)
    assert len(changes) == 20_000
    assert bad.line == 20_001


def test_no_rows_are_no_changes(tmp_path: Path) -> None:
    assert read_changes(parquet(tmp_path, reason=pa.array([], pa.string())), RECEIVED_AT) == ([], [])


def test_missing_and_unknown_columns_are_a_problem_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "changes.parquet"
    pq.write_table(pa.table({"kind": ["unsubscribe"], "id": [CONTACT]}), path)
    with pytest.raises(UnreadableFile, match=r"column object_type, salesforce_id, occurred_at is missing.*'id'"):
        read_changes(path, RECEIVED_AT)


@pytest.mark.parametrize("content", [b"", b"kind,object_type\n", b"PAR1" + b"\0" * 40 + b"PAR1"])
def test_what_is_not_parquet_is_not_taken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "changes.parquet"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="cannot be read as Parquet"):
        read_changes(path, RECEIVED_AT)
