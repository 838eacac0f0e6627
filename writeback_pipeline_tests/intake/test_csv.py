"""CSV files as platforms and spreadsheets write them, and as they should not."""

from pathlib import Path

import pytest

from writeback_pipeline.domain.intake import COLUMNS
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline.intake.changes import BadLine, read_changes
from writeback_pipeline.intake.rows import UnreadableFile
from writeback_pipeline_tests.intake.files import CONTACT, GOOD, LEAD, RECEIVED_AT

HEADER = "kind,object_type,salesforce_id,occurred_at"
LINE = ",".join(GOOD.values())


def read(tmp_path: Path, content: str | bytes) -> tuple[int, list[BadLine]]:
    path = tmp_path / "changes.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    changes, bad_lines = read_changes(path, RECEIVED_AT)
    return len(changes), bad_lines


def test_rows_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "changes.csv"
    path.write_text(f"{HEADER}\n{LINE}\nresubscribe,Lead,{LEAD},2026-11-23T09:06:00Z\n")
    changes, bad_lines = read_changes(path, RECEIVED_AT)
    assert [(change.kind, change.salesforce_id) for change in changes] == [
        (Kind.UNSUBSCRIBE, CONTACT),
        (Kind.RESUBSCRIBE, LEAD),
    ]
    assert bad_lines == []


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_any_line_ending_and_a_byte_order_mark_are_read(tmp_path: Path, ending: str, mark: str) -> None:
    assert read(tmp_path, mark + ending.join([HEADER, LINE, LINE]) + ending) == (2, [])


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    header, line = "occurred_at, kind ,salesforce_id,object_type", f"2026-11-23T09:05:07Z,unsubscribe,{CONTACT},Contact"
    assert read(tmp_path, f"{header}\n{line}\n") == (1, [])


@pytest.mark.parametrize("content", ["", "\n\n", HEADER, HEADER + "\n", "\ufeff" + HEADER + "\r\n\r\n"])
def test_a_file_without_rows_has_no_changes(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == (0, [])


def test_quoted_texts_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "changes.csv"
    path.write_bytes(f'{HEADER},reason\n{LINE},"He said ""no"",\r\nthen\nleft"\n'.encode())
    (change,), _ = read_changes(path, RECEIVED_AT)
    assert change.reason == 'He said "no",\r\nthen\nleft'


def test_a_bad_line_is_named_by_the_line_on_which_its_row_begins(tmp_path: Path) -> None:
    bad_line = LINE.replace("unsubscribe", "bad_email")
    taken, (bad,) = read(tmp_path, f'{HEADER},reason\n{LINE},"one\ntwo\nthree"\n\n{bad_line},"x\ny"\n{LINE},\n')
    assert taken == 2
    assert bad.line == 6
    assert bad.problems[0].startswith("kind: Bad Email is not a writeback of its own")
    assert bad.values["reason"] == "x\ny"


def test_all_bad_lines_and_all_their_problems_are_told(tmp_path: Path) -> None:
    content = (
        f"{HEADER}\nopened,Account,{CONTACT},2026-11-23\n{LINE}\nunsubscribe,Lead,{CONTACT},2026-11-23T09:05:07Z\n"
    )
    taken, (first, second) = read(tmp_path, content)
    assert taken == 1
    assert (first.line, [text.partition(":")[0] for text in first.problems]) == (
        2,
        ["kind", "object_type", "occurred_at"],
    )
    assert (second.line, len(second.problems)) == (4, 1)


def test_bytes_that_are_not_utf_8_are_named_by_line_and_byte(tmp_path: Path) -> None:
    latin = f"{HEADER},reason\n{LINE},ok\n{LINE},".encode() + "café".encode("latin-1") + f"\n{LINE},fine\n".encode()
    taken, (bad,) = read(tmp_path, latin)
    assert taken == 2
    assert bad.line == 3
    assert bad.problems == (f"not UTF-8: byte {len(LINE) + 5} of line 3 is 0xE9; save the file as UTF-8",)


def test_a_damaged_byte_inside_a_text_of_several_lines_is_named_by_its_own_line(tmp_path: Path) -> None:
    _, (bad,) = read(tmp_path, f'{HEADER},reason\n{LINE},"one\n'.encode() + b'\xff"\n')
    assert bad.line == 2
    assert bad.problems[0].startswith("not UTF-8: byte 1 of line 3 is 0xFF")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_in_another_unicode_encoding_is_not_taken(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(UnreadableFile, match="line 1: not UTF-8: byte 1 of line 1 is 0xFF"):
        read(tmp_path, f"{HEADER}\n{LINE}\n".encode(encoding))


@pytest.mark.parametrize("line", [LINE + ",more", LINE.rpartition(",")[0], "unsubscribe"])
def test_a_row_with_more_or_fewer_fields_than_the_header_is_bad(tmp_path: Path, line: str) -> None:
    _, (bad,) = read(tmp_path, f"{HEADER}\n{line}\n")
    assert "where the header has 4" in bad.problems[0]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("kind,object_type,occurred_at", "column salesforce_id is missing"),
        (HEADER.replace("kind", "Kind"), "unknown column 'Kind'"),
        (HEADER + ",reasons", "unknown column 'reasons'"),
        (HEADER + ",kind", "column kind is there more than once"),
        (HEADER.replace(",", ";"), "column kind, object_type, salesforce_id, occurred_at is missing"),
    ],
)
def test_wrong_columns_are_a_problem_of_the_file(tmp_path: Path, header: str, says: str) -> None:
    with pytest.raises(UnreadableFile, match=says):
        read(tmp_path, f"{header}\n{LINE}\n")


@pytest.mark.parametrize("line", [f'"{LINE}', f'{LINE},"never closed', f'"unsubscribe"x,{LINE}'])
def test_nothing_is_guessed_after_broken_quoting(tmp_path: Path, line: str) -> None:
    with pytest.raises(UnreadableFile, match=r"changes\.csv: line 3 cannot be read as CSV .*mend the quoting"):
        read(tmp_path, f"{HEADER},reason\n{LINE},\n{line}\n{LINE},\n")


def test_text_far_too_long_for_a_reason_cannot_smuggle_in_rows(tmp_path: Path) -> None:
    smuggled = f'{HEADER},reason\n{LINE},"{"x" * 200_000}\n{LINE},\n"\n'
    with pytest.raises(UnreadableFile, match="line 2 cannot be read as CSV"):
        read(tmp_path, smuggled)


def test_a_reason_of_40_000_characters_and_one_with_nul_are_bad_lines(tmp_path: Path) -> None:
    taken, (long, nul) = read(tmp_path, f"{HEADER},reason\n{LINE},{'x' * 40_000}\n{LINE},a\0b\n{LINE},fine\n")
    assert taken == 1
    assert (long.line, nul.line) == (2, 3)
    assert "40,000 characters" in long.problems[0]
    assert "NUL" in nul.problems[0]


def test_the_column_names_of_the_documentation_are_the_ones_that_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, ",".join(COLUMNS) + "\n" + LINE + ",,,,\n") == (1, [])
