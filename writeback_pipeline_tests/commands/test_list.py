"""The Writeback List on the command line: filters, forms, and texts that want to be more than texts."""

import csv
import io
import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.commands.list import WIDTH_OF_A_PIPE
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import MISDATED, Change, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.intake.files import CONTACT, LEAD

COLUMNS = [
    "id", "kind", "object_type", "salesforce_id", "subscriber_id", "email", "occurred_at", "reason", "window_start",
    "window_end", "delivery_key", "status", "flag_result", "attempts", "next_attempt_at", "error_code", "error_message",
    "advice", "note_id", "task_id", "redirected_from", "run_id", "created_at", "written_at",
]  # fmt: skip
STATUSES = "'pending', 'sending', 'waiting', 'unknown', 'written', 'failed', 'refused', 'no_recipient'"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def queued(store: Store) -> None:
    store.enqueue(
        [
            Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, CONTACT, NOON, "=1+1\n@b", email="Zoe@x.example", key="a"),
            Change(Kind.RESUBSCRIBE, ObjectType.CONTACT, CONTACT, NOON + timedelta(seconds=1.5), key="b"),
            Change(Kind.UNSUBSCRIBE, ObjectType.LEAD, LEAD, NOON - timedelta(days=1), subscriber_id="7", key="c"),
        ],
        NOON,
    )


def keys(writebacks: Writebacks, *options: str) -> list[str]:
    result = writebacks("list", "--format", "json", *options)
    assert result.exit_code == 0, result.stderr
    return [row["delivery_key"] for row in json.loads(result.stdout)]


def test_json_is_a_list_of_objects_with_the_documented_names_in_order(writebacks: Writebacks) -> None:
    result = writebacks("list", "--format", "json")
    rows = json.loads(result.stdout)
    assert [list(row) for row in rows] == [COLUMNS] * 3
    assert result.stderr == ""
    newest = rows[0]
    assert (newest["kind"], newest["status"], newest["attempts"]) == ("resubscribe", "pending", 0)
    assert (newest["occurred_at"], newest["created_at"]) == ("2026-11-23T12:00:01.500000Z", "2026-11-23T12:00:00Z")
    assert newest["reason"] is newest["written_at"] is newest["note_id"] is None


def test_json_is_utf_8_whatever_the_terminal_speaks(home: Path, store: Store) -> None:
    store.enqueue([Change(Kind.UNSUBSCRIBE, ObjectType.LEAD, LEAD, NOON, reason="Çok fazla 🙅", key="d")], NOON)
    environment = {**os.environ, **ledgers.variables(home), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "list", "--format", "json"], env=environment, capture_output=True, check=True)
    reasons = {row["delivery_key"]: row["reason"] for row in json.loads(done.stdout.decode("utf-8"))}
    assert reasons["d"] == "Çok fazla 🙅"


def test_json_has_one_row_on_a_line(writebacks: Writebacks) -> None:
    lines = writebacks("list", "--format", "json").stdout.splitlines()
    assert [json.loads(line.strip("[], "))["delivery_key"] for line in lines] == ["b", "a", "c"]


def test_csv_has_all_columns_and_no_formula(writebacks: Writebacks) -> None:
    result = writebacks("list", "--format", "csv", "--person", "zoe@X.example")
    header, row = csv.reader(io.StringIO(result.stdout))
    assert header == COLUMNS
    assert row[header.index("reason")] == "'=1+1\n@b"
    assert (row[header.index("occurred_at")], row[header.index("written_at")]) == ("2026-11-23T12:00:00Z", "")


def test_the_newest_event_comes_first(writebacks: Writebacks) -> None:
    assert keys(writebacks) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--kind", "unsubscribe"], ["a", "c"]),
        (["--kind", "resubscribe", "--kind", "unsubscribe"], ["b", "a", "c"]),
        (["--status", "written", "--status", "failed", "--status", "refused", "--status", "no_recipient"], []),
        (["--status", "pending", "--kind", "resubscribe"], ["b"]),
        (["--person", CONTACT[:15]], ["b", "a"]),
        (["--person", LEAD], ["c"]),
        (["--person", "zoe@x.example"], ["a"]),
        (["--object", "Lead"], ["c"]),
        (["--error-code", "NOT_FOUND"], []),
        (["--text", "ZOE@"], ["a"]),
        (["--text", ""], ["b", "a", "c"]),
        (["--text", LEAD[:15]], ["c"]),
        (["--run", "nobody's"], []),
        (["--since", "2026-11-23"], ["b", "a"]),
        (["--until", "2026-11-23"], ["c"]),
        (["--since", "2026-11-23T13:00:01+01:00"], ["b"]),
        (["--since", "2026-11-22T12:00:00Z", "--until", "2026-11-23T12:00:00Z"], ["c"]),
        (["--limit", "2"], ["b", "a"]),
    ],
)
def test_filters_narrow_the_list(writebacks: Writebacks, options: list[str], expected: list[str]) -> None:
    assert keys(writebacks, *options) == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--since", "2026-11-23T12:00:00"], "has no time zone: add the offset"),
        (["--until", "yesterday"], "or give a date, such as 2026-11-23"),
        (["--status", "NO_RECIPIENT"], f"'NO_RECIPIENT' is not one of {STATUSES}."),
        (["--kind", "bad_email"], "'bad_email' is not one of 'unsubscribe', 'resubscribe', 'sent', 'opened'."),
        (["--limit", "0"], "0 is not in the range"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(writebacks: Writebacks, options: list[str], says: str) -> None:
    result = writebacks("list", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_the_table_shows_the_documented_names_and_leaves_out_what_is_empty(writebacks: Writebacks) -> None:
    result = writebacks("list")
    header, *lines = result.stdout.splitlines()
    assert header.split() == [name for name in COLUMNS if name in header.split()]
    assert "reason" in header.split()
    assert "written_at" not in header.split()
    assert len(lines) == 3
    assert "=1+1 @b" in lines[1]
    assert max(map(len, result.stdout.splitlines())) <= WIDTH_OF_A_PIPE
    assert "--format json or csv has everything" in result.stderr


def test_failed_rows_say_what_to_do_in_full_and_once(writebacks: Writebacks, settle_all: Callable[..., None]) -> None:
    advice = "Correct the person's Salesforce id on the platform and queue the change again, with the id that is right."
    settle_all(Status.FAILED, error_code="NOT_FOUND", advice=advice)
    shown = writebacks("list", "--status", "failed")
    assert shown.stdout.count("NOT_FOUND") == 3
    assert shown.stderr.splitlines()[-1] == f"NOT_FOUND: {advice}"
    assert shown.stderr.count(advice) == 1


def test_a_long_table_is_cut_and_says_how_much_more_there_is(writebacks: Writebacks, store: Store) -> None:
    more = [Change(Kind.UNSUBSCRIBE, ObjectType.LEAD, LEAD, NOON, key=f"k{number}") for number in range(100)]
    store.enqueue(more, NOON)
    result = writebacks("list")
    assert len(result.stdout.splitlines()) == 51
    assert "53 more: --limit N" in result.stderr
    assert len(keys(writebacks)) == 103
    assert "more: --limit" not in writebacks("list", "--limit", "103").stderr
    assert "1 more: --limit N" in writebacks("list", "--limit", "102").stderr


def test_an_empty_list_is_said_to_be_empty_and_stays_a_document(writebacks: Writebacks) -> None:
    nothing = ("list", "--status", "written")
    assert (writebacks(*nothing).stdout, writebacks(*nothing).stderr) == ("", "No writebacks match.\n")
    assert json.loads(writebacks(*nothing, "--format", "json").stdout) == []
    assert writebacks(*nothing, "--format", "csv").stdout == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("year", [1, 9999])
def test_a_time_that_cannot_be_true_is_marked(
    writebacks: Writebacks, store: Store, settle_all: Callable[..., None], year: int
) -> None:
    absurd = datetime(year, 1, 1, tzinfo=UTC)
    store.enqueue([Change(Kind.UNSUBSCRIBE, ObjectType.LEAD, LEAD, absurd, key="absurd")], NOON)
    for advice in (None, "Mend the record."):
        advices = [row["advice"] for row in json.loads(writebacks("list", "--format", "json").stdout)]
        misdated = " ".join(filter(None, (advice, MISDATED)))
        assert advices == ([*[advice] * 3, misdated] if year == 1 else [misdated, *[advice] * 3])
        settle_all(Status.FAILED, advice="Mend the record.")
    assert MISDATED in writebacks("list").stderr
    assert MISDATED in writebacks("list", "--format", "csv").stdout
    assert writebacks("why", LEAD).stdout.count(MISDATED) == 2  # in the event, and in how it stands
