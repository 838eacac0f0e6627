"""Files as a whole: their endings, keys given twice, round trips, the sample, and the lines that are put aside."""

import csv
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from writeback_pipeline.domain.people import KEY_PREFIXES, ObjectType, id_suffix
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Change, utc_text
from writeback_pipeline.intake.changes import BadLine, read_changes
from writeback_pipeline.intake.rejects import REJECT_COLUMNS, write_rejects
from writeback_pipeline.intake.rows import UnreadableFile
from writeback_pipeline_tests.intake.files import GOOD, RECEIVED_AT, csv_file, jsonl_file

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.mark.parametrize("name", ["changes.txt", "changes", "changes.csv.gz", "changes.xlsx"])
def test_an_ending_that_nobody_reads_is_refused_and_the_others_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("kind")
    with pytest.raises(UnreadableFile, match=r"\.csv, \.jsonl, \.ndjson, \.parquet"):
        read_changes(tmp_path / name, RECEIVED_AT)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"nothing\.csv cannot be read: No such file"):
        read_changes(tmp_path / "nothing.csv", RECEIVED_AT)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UnreadableFile, match=r"folder\.csv cannot be read: Is a directory"):
        read_changes(tmp_path / "folder.csv", RECEIVED_AT)


def test_a_key_given_to_two_different_changes_is_a_problem_of_the_second(tmp_path: Path) -> None:
    keyed = GOOD | {"delivery_key": "k-1", "reason": "one"}
    path = csv_file(tmp_path / "changes.csv", [keyed, keyed, keyed | {"reason": "two"}])
    changes, (bad,) = read_changes(path, RECEIVED_AT)
    assert len(changes) == 2
    assert bad.line == 4
    assert bad.problems[0].startswith("delivery_key: line 2 gives this key to another change")


def test_the_same_change_without_a_key_may_be_there_twice(tmp_path: Path) -> None:
    changes, bad_lines = read_changes(
        csv_file(tmp_path / "changes.csv", [GOOD, GOOD | {"object_type": "contact"}]), RECEIVED_AT
    )
    assert len({change.delivery_key for change in changes}) == 1
    assert bad_lines == []


LETTERS = "ABCXYZabcxyz0189"
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).map(str.strip)
REASONS = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\r\t\",;'="), max_size=80)


@st.composite
def changes_of_any_sort(draw: st.DrawFn) -> Change:
    object_type = draw(st.sampled_from(ObjectType))
    id15 = KEY_PREFIXES[object_type] + draw(st.text(LETTERS, min_size=12, max_size=12))
    email = draw(st.none() | NAMES) or None
    known = email is None or draw(st.booleans())
    return Change(
        kind=draw(st.sampled_from(OPT_OUT_KINDS)),
        object_type=object_type,
        salesforce_id=id15 + id_suffix(id15) if known else None,
        occurred_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(0, 2 * 10**13))),
        reason=reason if (reason := draw(REASONS)).strip() else None,
        subscriber_id=draw(st.none() | NAMES) or None,
        email=email,
    )


def as_row(change: Change) -> dict[str, str]:
    return {
        "kind": change.kind,
        "object_type": change.object_type,
        "salesforce_id": change.salesforce_id or "",
        "occurred_at": utc_text(change.occurred_at),
        "reason": change.reason or "",
        "subscriber_id": change.subscriber_id or "",
        "email": change.email or "",
        "delivery_key": "",
    }


@settings(max_examples=60)
@given(st.lists(changes_of_any_sort(), min_size=1, max_size=5))
def test_changes_survive_a_round_trip_through_csv_and_json_lines(changes: list[Change]) -> None:
    rows = [as_row(change) for change in changes]
    with TemporaryDirectory() as folder:
        assert read_changes(csv_file(Path(folder, "changes.csv"), rows), RECEIVED_AT) == (changes, [])
        assert read_changes(jsonl_file(Path(folder, "changes.jsonl"), rows), RECEIVED_AT) == (changes, [])


@settings(max_examples=150)
@given(st.binary(max_size=300), st.sampled_from([".csv", ".jsonl"]), st.booleans())
def test_no_bytes_whatever_break_a_reader(content: bytes, ending: str, with_header: bool) -> None:
    header = b"kind,object_type,salesforce_id,occurred_at,reason\n" if with_header else b""
    with TemporaryDirectory() as folder:
        path = Path(folder, f"changes{ending}")
        path.write_bytes(header + content)
        try:
            changes, _ = read_changes(path, RECEIVED_AT)
        except UnreadableFile as error:
            assert str(path) in str(error)
        else:
            assert changes == []


def test_rejected_lines_are_written_with_what_is_wrong_and_what_they_had(tmp_path: Path) -> None:
    bad = BadLine(7, ("kind: no", "email: no"), {"kind": "sent", "reason": "two\nlines", "email": "ü@x.example"})
    write_rejects(tmp_path / "rejects.csv", [bad])
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == list(REJECT_COLUMNS)
    assert (row["line"], row["problems"]) == ("7", "kind: no; email: no")
    assert (row["kind"], row["reason"], row["email"], row["delivery_key"]) == ("sent", "two\nlines", "ü@x.example", "")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_rejected_text_is_run_as_a_formula(tmp_path: Path, start: str) -> None:
    write_rejects(tmp_path / "rejects.csv", [BadLine(2, ("bad",), {"reason": f"{start}cmd|' /C calc'!A0"})])
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["reason"] == f"'{start}cmd|' /C calc'!A0"


def test_rejected_lines_never_overwrite_a_file(tmp_path: Path) -> None:
    (tmp_path / "rejects.csv").write_text("precious")
    with pytest.raises(FileExistsError):
        write_rejects(tmp_path / "rejects.csv", [])
    assert (tmp_path / "rejects.csv").read_text() == "precious"


def test_the_sample_is_what_its_generator_writes_byte_for_byte(tmp_path: Path) -> None:
    again = tmp_path / "again.csv"
    subprocess.run([sys.executable, SAMPLE / "generate_opt_outs.py", again], check=True)
    assert again.read_bytes() == (SAMPLE / "opt_outs.csv").read_bytes()


def test_the_sample_has_some_of_everything() -> None:
    changes, bad_lines = read_changes(SAMPLE / "opt_outs.csv", RECEIVED_AT)
    assert bad_lines == []
    assert len(changes) >= 1_000
    assert len({change.delivery_key for change in changes}) == len(changes)
    assert {(change.kind, change.object_type) for change in changes} == {
        (kind, object_type) for kind in OPT_OUT_KINDS for object_type in ObjectType
    }
    assert max(change.occurred_at for change in changes).date().isoformat() == "2026-11-22"
    assert max(change.occurred_at for change in changes) - changes[0].occurred_at > timedelta(weeks=7)
    reasons = Counter(change.reason for change in changes)
    assert reasons["Bad Email"] > 100
    assert any(reason and "\n" in reason for reason in reasons)
    assert any(change.salesforce_id is None and change.email for change in changes)
    text = (SAMPLE / "opt_outs.csv").read_text(encoding="utf-8")
    assert any(len(line.split(",")[2]) == 15 for line in text.splitlines() if line.startswith("unsubscribe,"))
