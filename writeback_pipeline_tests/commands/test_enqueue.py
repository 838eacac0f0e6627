"""Queueing from the command line: one change or a file, and everything that is not queued."""

import csv
import json
import os
import pty
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import Origin, WritebackFilter
from writeback_pipeline.domain.people import ObjectType, person_ref
from writeback_pipeline.domain.sync import SeenPerson
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.intake.files import CONTACT, GOOD, LEAD, csv_file, jsonl_file

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "opt_outs.csv"
BAD = GOOD | {"kind": "bad_email"}


def test_one_change_is_queued_with_everything_said_about_it(writebacks: Writebacks, store: Store) -> None:
    result = writebacks(
        *("enqueue", "unsubscribe", "--contact", CONTACT[:15], "--reason", "Bad Email"),
        *("--at", "2026-11-23T10:05:07+01:00", "--subscriber", "42", "--email", "a@b.example", "--key", "k-1"),
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, "1 added, 0 already known\n", "")
    (row,) = store.writebacks(WritebackFilter())
    assert (row.kind, row.object_type, row.salesforce_id) == (Kind.UNSUBSCRIBE, ObjectType.CONTACT, CONTACT)
    assert row.occurred_at == datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)
    assert (row.reason, row.subscriber_id, row.email, row.delivery_key) == ("Bad Email", "42", "a@b.example", "k-1")


def test_a_lead_is_resubscribed_now_unless_told_otherwise(writebacks: Writebacks, store: Store) -> None:
    assert writebacks("enqueue", "resubscribe", "--lead", LEAD).exit_code == 0
    (row,) = store.writebacks(WritebackFilter())
    assert (row.kind, row.object_type) == (Kind.RESUBSCRIBE, ObjectType.LEAD)
    assert timedelta(0) <= datetime.now(UTC) - row.occurred_at < timedelta(minutes=1)


def test_a_resubscribe_that_will_be_refused_is_queued_with_a_warning(writebacks: Writebacks, store: Store) -> None:
    queued = writebacks("enqueue", "resubscribe", "--lead", LEAD)
    assert (queued.exit_code, queued.stdout) == (0, "1 added, 0 already known\n")
    assert queued.stderr.startswith(
        f"Warning: this resubscribe will be refused. Lead {LEAD}: No unsubscribe of Informz"
    )
    at = datetime(2026, 11, 23, tzinfo=UTC)
    ticked = SeenPerson(person_ref(ObjectType.CONTACT, CONTACT), opted_out=True, changed_at=at)
    store.learn([ticked], Origin.SALESFORCE, at, at)
    queued = writebacks("enqueue", "resubscribe", "--contact", CONTACT)
    assert "clear Email Opt Out on the Contact in Salesforce" in queued.stderr


def test_a_resubscribe_that_an_unsubscribe_precedes_gets_no_warning(writebacks: Writebacks) -> None:
    writebacks("enqueue", "unsubscribe", "--contact", CONTACT)
    assert writebacks("enqueue", "resubscribe", "--contact", CONTACT).stderr == ""


def test_a_resubscribe_from_the_future_is_refused_and_an_unsubscribe_is_not(writebacks: Writebacks) -> None:
    change = ("--contact", CONTACT, "--at", "2062-11-23T09:05:07Z")
    refused = writebacks("enqueue", "resubscribe", *change)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith("Error: --at: '2062-11-23T09:05:07Z' is more than 2 days in the future")
    assert writebacks("enqueue", "unsubscribe", *change).exit_code == 0


def test_the_same_change_is_queued_once(writebacks: Writebacks) -> None:
    change = ("enqueue", "unsubscribe", "--contact", CONTACT, "--at", "2026-11-23T09:05:07Z", "--format", "json")
    assert json.loads(writebacks(*change).stdout) == {"added": 1, "known": 0, "rejected": 0}
    assert json.loads(writebacks(*change).stdout) == {"added": 0, "known": 1, "rejected": 0}


@pytest.mark.parametrize("spelling", ["bad-email", "bad_email", "Bad Email", "BADEMAIL"])
def test_a_bad_email_writeback_is_refused_with_what_to_do_instead(writebacks: Writebacks, spelling: str) -> None:
    result = writebacks("enqueue", spelling, "--contact", CONTACT)
    assert result.exit_code == 2
    assert 'Bad Email is not a writeback of its own; queue an unsubscribe whose reason is "Bad Email"' in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("kind", ["sent", "opened"])
def test_activity_is_refused_because_it_comes_from_the_mailing_events(writebacks: Writebacks, kind: str) -> None:
    result = writebacks("enqueue", kind, "--contact", CONTACT)
    assert result.exit_code == 2
    assert "comes from the mailing events" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "either --contact ID or --lead ID"),
        (["--contact", CONTACT, "--lead", LEAD], "either --contact ID or --lead ID"),
        (["--contact", LEAD], "--contact or --lead: '00Qwb000000Cb4jEAC' is not the id of a Contact"),
        (["--contact", CONTACT, "--at", "2026-11-23T09:05:07"], "--at: '2026-11-23T09:05:07' has no time zone"),
        (["--contact", CONTACT, "--reason", "x" * 40_000], "--reason: has 40,000 characters"),
        (["--contact", CONTACT, "--key", "a\nb"], "--key: "),
    ],
)
def test_what_is_wrong_with_one_change_is_told_in_the_words_of_the_options(
    writebacks: Writebacks, home: Path, options: list[str], says: str
) -> None:
    result = writebacks("enqueue", "unsubscribe", *options)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert says in result.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["enqueue"],
        ["enqueue", "--skip-bad", "rejects.csv"],
        ["enqueue", "--file", "x.csv", "unsubscribe", "--contact", CONTACT],
        ["enqueue", "--format", "json", "unsubscribe", "--contact", CONTACT],
        ["enqueue", "delete", "--contact", CONTACT],
    ],
)
def test_a_call_that_says_too_little_or_two_things_is_refused(writebacks: Writebacks, arguments: list[str]) -> None:
    result = writebacks(*arguments)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_file_is_queued_once_however_often_it_comes(writebacks: Writebacks, store: Store) -> None:
    assert writebacks("enqueue", "--file", SAMPLE).stdout == "1,210 added, 0 already known\n"
    assert writebacks("enqueue", "--file", SAMPLE).stdout == "0 added, 1,210 already known\n"
    assert store.count(WritebackFilter()) == 1_210


def test_a_file_with_bad_lines_queues_nothing_and_lists_each(
    writebacks: Writebacks, store: Store, tmp_path: Path
) -> None:
    rows = [
        GOOD,
        BAD,
        GOOD | {"salesforce_id": CONTACT[:15] + "AAA", "occurred_at": "2026-11-23T09:05:07"},
        GOOD | {"reason": "x" * 40_000},
        GOOD | {"reason": "a\0b"},
        GOOD | {"occurred_at": ""},
        GOOD | {"kind": "resubscribe", "occurred_at": "2062-11-23T09:05:07Z"},
    ]
    result = writebacks("enqueue", "--file", jsonl_file(tmp_path / "changes.jsonl", rows))
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert "changes.jsonl has 6 bad lines; nothing was queued." in lines[0]
    assert [line.partition(":")[0] for line in lines[1:7]] == [f"line {number}" for number in range(2, 8)]
    assert "salesforce_id: " in lines[2]
    assert "occurred_at: " in lines[2]
    assert "occurred_at: '2062-11-23T09:05:07Z' is more than 2 days in the future" in lines[6]
    assert "--skip-bad REJECTS.csv" in lines[7]
    assert store.count(WritebackFilter()) == 0


def test_skip_bad_queues_the_good_lines_and_puts_the_others_aside(
    writebacks: Writebacks, store: Store, tmp_path: Path
) -> None:
    path = csv_file(tmp_path / "changes.csv", [GOOD | {"reason": "=1+1"}, BAD | {"reason": "=1+1"}])
    rejects = tmp_path / "rejects.csv"
    result = writebacks("enqueue", "--file", path, "--skip-bad", rejects)
    assert result.exit_code == 1
    assert result.stdout == f"1 added, 0 already known, 1 rejected: see {rejects}\n"
    assert [row.reason for row in store.writebacks(WritebackFilter())] == ["=1+1"]
    with rejects.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["line"], row["kind"], row["reason"]) == ("3", "bad_email", "'=1+1")
    assert "not a writeback of its own" in row["problems"]


def test_a_key_that_was_given_to_another_change_is_refused(writebacks: Writebacks, store: Store) -> None:
    assert writebacks("enqueue", "unsubscribe", "--contact", CONTACT, "--key", "k-1").exit_code == 0
    assert writebacks("enqueue", "unsubscribe", "--contact", CONTACT, "--key", "k-1").exit_code == 0
    for kind, person in (("resubscribe", ("--contact", CONTACT)), ("unsubscribe", ("--lead", LEAD))):
        result = writebacks("enqueue", kind, *person, "--key", "k-1")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(
            "Error: --key: 'k-1' is the key of writeback 1 already, which is another change"
        )
    assert store.count(WritebackFilter()) == 1


def test_lines_whose_key_another_change_was_given_before_are_bad_lines(
    writebacks: Writebacks, store: Store, tmp_path: Path
) -> None:
    writebacks("enqueue", "resubscribe", "--contact", CONTACT, "--key", "k-1")
    path, rejects = csv_file(tmp_path / "changes.csv", [GOOD | {"delivery_key": "k-1"}, GOOD]), tmp_path / "rejects.csv"
    refused = writebacks("enqueue", "--file", path)
    assert (refused.exit_code, store.count(WritebackFilter())) == (2, 1)
    assert "1 bad line; nothing was queued.\nline 2: delivery_key: 'k-1' is the key of writeback 1" in refused.stderr
    taken = writebacks("enqueue", "--file", path, "--skip-bad", rejects)
    assert (taken.exit_code, store.count(WritebackFilter())) == (1, 2)
    with rejects.open(newline="") as file:
        (reject,) = csv.DictReader(file)
    assert (reject["line"], reject["delivery_key"]) == ("2", "k-1")


def test_skip_bad_without_bad_lines_writes_no_file(writebacks: Writebacks, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "changes.csv", [GOOD])
    result = writebacks("enqueue", "--file", path, "--skip-bad", tmp_path / "rejects.csv")
    assert (result.exit_code, result.stdout) == (0, "1 added, 0 already known\n")
    assert not (tmp_path / "rejects.csv").exists()


def test_skip_bad_never_overwrites_a_file(writebacks: Writebacks, store: Store, tmp_path: Path) -> None:
    path = csv_file(tmp_path / "changes.csv", [GOOD, BAD])
    result = writebacks("enqueue", "--file", path, "--skip-bad", path)
    assert result.exit_code == 2
    assert "exists already: move it away or name another file" in result.stderr
    assert store.count(WritebackFilter()) == 0


def test_skip_bad_queues_nothing_when_the_rejects_cannot_be_written(
    writebacks: Writebacks, store: Store, tmp_path: Path
) -> None:
    path = csv_file(tmp_path / "changes.csv", [GOOD, BAD])
    result = writebacks("enqueue", "--file", path, "--skip-bad", tmp_path / "nowhere" / "rejects.csv")
    assert result.exit_code == 2
    assert "Nothing was queued" in result.stderr
    assert store.count(WritebackFilter()) == 0


@pytest.mark.duckdb_file
def test_rejects_are_not_left_behind_when_the_queue_cannot_be_used(
    writebacks: Writebacks, home: Path, tmp_path: Path
) -> None:
    path = csv_file(tmp_path / "changes.csv", [GOOD, BAD])
    home.mkdir()
    (home / "writebacks.duckdb").write_bytes(b"no database" * 1_000)
    result = writebacks("enqueue", "--file", path, "--skip-bad", tmp_path / "rejects.csv")
    assert result.exit_code == 2
    assert "writebacks.duckdb cannot be used" in result.stderr
    assert not (tmp_path / "rejects.csv").exists()


@pytest.mark.parametrize("content", ["", "kind,object_type,salesforce_id,occurred_at\n"])
def test_a_file_without_changes_is_fine_and_says_so(writebacks: Writebacks, tmp_path: Path, content: str) -> None:
    path = tmp_path / "changes.csv"
    path.write_text(content)
    result = writebacks("enqueue", "--file", path)
    assert (result.exit_code, result.stdout) == (0, "0 added, 0 already known: the file has no changes\n")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("changes.txt", "it must be one of .csv"),
        ("missing.csv", "missing.csv cannot be read: No such file"),
        ("folder.csv", "folder.csv cannot be read: Is a directory"),
        ("columns.csv", "columns.csv: line 1: column salesforce_id, occurred_at is missing"),
    ],
)
def test_a_file_that_cannot_be_taken_is_named(writebacks: Writebacks, tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "columns.csv").write_text("kind,object_type\n")
    result = writebacks("enqueue", "--file", tmp_path / name)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(("rows", "is_shown"), [(12_000, True), (100, False)])
def test_a_long_file_shows_its_progress_to_somebody_at_a_terminal(
    home: Path, tmp_path: Path, rows: int, is_shown: bool
) -> None:
    path = csv_file(tmp_path / "long.csv", [GOOD] * rows)
    ours, theirs = pty.openpty()
    environment = {**os.environ, **ledgers.variables(home), "TERM": "xterm"}
    command = [*COMMAND, "enqueue", "--file", str(path)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True)
    os.close(theirs)
    seen = b""
    while True:
        try:
            seen += os.read(ours, 65_536)
        except OSError:  # the other end is closed and everything was read
            break
    os.close(ours)
    assert (b"Reading long.csv" in seen) is is_shown
    assert done.stdout == f"1 added, {rows - 1:,} already known\n"
