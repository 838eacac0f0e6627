"""Tables of text: nothing too wide, nothing that a terminal obeys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from writeback_pipeline.commands.tables import LONGEST, plain, table


def test_columns_stand_side_by_side_under_their_names() -> None:
    assert table({"id": ["1", "22"], "name": ["Zoë", "伊藤"]}) == ("id  name\n1   Zoë\n22  伊藤", [])


def test_columns_that_are_empty_in_every_row_are_left_out() -> None:
    text, left_out = table({"id": ["1", "2"], "none": ["", ""], "some": ["", "x"]})
    assert text == "id  some\n1\n2   x"
    assert left_out == []


def test_a_long_text_is_cut_even_where_there_is_room() -> None:
    lines = table({"text": ["x" * 1_000]})[0].splitlines()
    assert len(lines[1]) == LONGEST
    assert lines[1].endswith("x…")


def test_texts_are_cut_before_columns_are_left_out() -> None:
    columns = {"id": ["1"], "text": ["word " * 10], "time": ["2026-11-23T09:05:07Z"]}
    text, left_out = table(columns, 50, texts=("text",))
    assert left_out == []
    assert "2026-11-23T09:05:07Z" in text
    assert "…" in text


def test_what_does_not_fit_goes_by_importance_and_is_named() -> None:
    columns = {"first": ["a" * 20], "second": ["b" * 20], "third": ["c" * 20]}
    text, left_out = table(columns, 45, by_importance=("third", "first"))
    assert left_out == ["second"]
    assert text.splitlines()[0].split() == ["first", "third"]


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a\x9bb", "a\u202eb", "a\ud800b", "a\r\nb"])
def test_a_cell_is_one_line_without_anything_a_terminal_obeys(text: str) -> None:
    assert plain(text).isprintable()
    assert len(table({"text": [text]})[0].splitlines()) == 2


CELLS = st.text(st.characters(codec=None), max_size=80)


@given(st.lists(st.tuples(CELLS, CELLS, st.just("2026-11-23T09:05:07Z")), min_size=1, max_size=5), st.integers(25, 200))
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = {name: [row[number] for row in rows] for number, name in enumerate(("reason", "email", "occurred_at"))}
    text, _ = table(columns, width, texts=("reason", "email"), by_importance=("occurred_at",))
    assert max(cell_len(line) for line in text.split("\n")) <= width
    assert len(text.split("\n")) == len(rows) + 1
