"""JSON Lines: one object a line, and what stands there instead."""

import json
from pathlib import Path

import pytest

from writeback_pipeline.intake.changes import BadLine, read_changes
from writeback_pipeline_tests.intake.files import CONTACT, GOOD, RECEIVED_AT

LINE = json.dumps(GOOD)


def read(tmp_path: Path, content: str | bytes, name: str = "changes.jsonl") -> tuple[int, list[BadLine]]:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    changes, bad_lines = read_changes(path, RECEIVED_AT)
    return len(changes), bad_lines


@pytest.mark.parametrize("name", ["changes.jsonl", "changes.ndjson", "CHANGES.NDJSON"])
def test_every_line_is_a_change_whatever_the_ending_is_called(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"{LINE}\n\n{LINE}\r\n  \n{LINE}", name) == (3, [])


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_a_file_without_lines_has_no_changes(tmp_path: Path, content: str) -> None:
    assert read(tmp_path, content) == (0, [])


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeff" + LINE) == (1, [])


def test_null_is_the_same_as_absent_and_a_whole_number_is_taken_as_text(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    path.write_text(json.dumps(GOOD | {"reason": None, "subscriber_id": 4711, "email": ""}))
    (change,), _ = read_changes(path, RECEIVED_AT)
    assert (change.reason, change.subscriber_id, change.email) == (None, "4711", None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "is not JSON"),
        ("unsubscribe", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5_000, "is not JSON"),
        ("null", "is not a JSON object"),
        ('["unsubscribe"]', "is not a JSON object"),
    ],
)
def test_a_line_that_is_no_json_object_is_bad(tmp_path: Path, line: str, says: str) -> None:
    taken, (bad,) = read(tmp_path, f"{LINE}\n{line}\n{LINE}\n")
    assert taken == 2
    assert bad.line == 2
    assert says in bad.problems[0]


@pytest.mark.parametrize("value", ["true", "1.5", "[]", '{"a": 1}', "NaN"])
def test_a_value_that_is_no_text_is_bad(tmp_path: Path, value: str) -> None:
    _, (bad,) = read(tmp_path, LINE[:-1] + f', "reason": {value}}}')
    assert bad.problems[0].startswith("reason: must be a text")


def test_all_problems_of_a_line_are_told_once_each(tmp_path: Path) -> None:
    _, (bad,) = read(tmp_path, json.dumps({"kind": "bad_email", "salesforce_id": [CONTACT], "Reason": "x"}))
    assert [text.partition(":")[0] for text in bad.problems] == [
        "salesforce_id",
        "unknown name 'Reason'",
        "kind",
        "object_type",
        "occurred_at",
    ]


def test_half_a_character_in_a_reason_is_replaced_and_in_a_name_refused(tmp_path: Path) -> None:
    path = tmp_path / "changes.jsonl"
    path.write_text(LINE[:-1] + r', "reason": "a\ud83d!"}' + "\n" + LINE[:-1] + r', "email": "a\ud83d!"}')
    (change,), (bad,) = read_changes(path, RECEIVED_AT)
    assert change.reason == "a\ufffd!"
    assert bad.problems[0].startswith("email: ")


def test_bytes_that_are_not_utf_8_are_named_by_line_and_byte(tmp_path: Path) -> None:
    taken, (bad,) = read(tmp_path, LINE.encode() + b"\n" + LINE[:-1].encode() + b', "reason": "\xe9"}\n')
    assert taken == 1
    assert bad.problems == (f"not UTF-8: byte {len(LINE) + 13} of line 2 is 0xE9; save the file as UTF-8",)
