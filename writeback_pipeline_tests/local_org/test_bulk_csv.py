"""The CSV of Bulk jobs: what any standard reader or writer makes of it."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.local_org import bulk_csv
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline_tests.local_org.bulk_support import table

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=20)
TABLES = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))
DELIMITERS = st.sampled_from(sorted(bulk_csv.DELIMITERS))


@given(TABLES, DELIMITERS, st.sampled_from(["LF", "CRLF"]))
def test_what_a_standard_writer_wrote_is_read_as_it_was(rows: list[list[str]], delimiter: str, ending: str) -> None:
    end = bulk_csv.LINE_ENDINGS[ending]
    header = [f"c{number}" for number in range(len(rows[0]))]
    data = table(header, rows, end=end, delimiter=bulk_csv.DELIMITERS[delimiter])
    assert list(bulk_csv.rows(data.encode(), ending, delimiter)) == [header, *rows]


@given(st.lists(CELLS, min_size=1), DELIMITERS)
def test_a_standard_reader_reads_the_cells_of_a_line(cells: list[str], delimiter: str) -> None:
    text = io.StringIO(bulk_csv.line(cells, delimiter) + "\n", newline="")
    assert list(csv.reader(text, delimiter=bulk_csv.DELIMITERS[delimiter], strict=True)) == [cells]


@given(st.binary(), st.sampled_from(["LF", "CRLF"]))
def test_any_bytes_are_read_or_refused(data: bytes, ending: str) -> None:
    try:
        rows = list(bulk_csv.rows(data, ending, "COMMA"))
    except bulk_csv.BatchError as error:
        assert str(error).startswith(("ClientInputError : ", "InvalidBatch : "))
    else:
        assert len({len(row) for row in rows}) <= 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [(None, "CODE:why:--"), ([], "CODE:why:--"), (["A"], "CODE:why:A --"), (["A", "B"], "CODE:why:A B --")],
)
def test_a_refusal_becomes_a_cell(fields: list[str] | None, expected: str) -> None:
    assert bulk_csv.error_cell(ApiError(400, "CODE", "why", fields)) == expected
