"""Taking a run back from the command line."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.world import World, world_in


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    """The world that the command line works in."""
    with world_in(home) as made:
        yield made


@pytest.fixture
def person(world: World) -> str:
    """Somebody whom the run called `run` has wrongly opted out."""
    somebody = world.contact()
    world.unsubscribe(somebody)
    world.deliver()
    return somebody


def test_a_dry_run_shows_what_would_be_undone(writebacks: Writebacks, world: World, person: str) -> None:
    (row,) = world.rows()
    result = writebacks("undo", "run", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"{row.id}  Note {row.note_id} deleted; Email Opt Out unchecked again",
        "1 writebacks would be undone. Nothing was changed.",
    ]
    assert (world.opted_out(person), len(world.notes(person)), world.rows()) == (True, 1, [row])


def test_a_run_is_undone_and_the_list_says_so(writebacks: Writebacks, world: World, person: str) -> None:
    result = writebacks("undo", "run", "--format", "json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [row["error_code"] for row in told["rows"]] == ["UNDONE"]
    assert (world.opted_out(person), world.notes(person)) == (False, [])
    (listed,) = json.loads(writebacks("list", "--format", "json").stdout)
    assert (listed["status"], listed["error_code"], listed["run_id"]) == ("failed", "UNDONE", told["undo_id"])
    assert "Undone by " in listed["advice"]
    assert writebacks("undo", "run").stdout == "Nothing of it is left to undo.\n"
    refused = writebacks("undo", told["undo_id"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "is an undo itself" in refused.stderr


def test_the_story_of_a_person_tells_the_undo_too(writebacks: Writebacks, world: World) -> None:
    world.ledger.change_settings({"key_records": "true"}, "tester", world.clock())
    somebody = world.contact()
    world.unsubscribe(somebody)
    world.deliver()
    (row,) = world.rows()
    assert writebacks("undo", "run").exit_code == 0
    story = writebacks("why", somebody)
    assert story.exit_code == 0
    for told in (f"the Note {row.note_id}", "the key record", f"Email Opt Out on {somebody}"):
        assert f"Deleting {told}" in story.stdout or f"Clearing {told}" in story.stdout


def test_what_cannot_be_undone_exits_1_with_the_reason(writebacks: Writebacks, world: World, person: str) -> None:
    writebacks("org", "faults", "arm", "row_error", "operation=delete", "code=ENTITY_IS_LOCKED")
    result = writebacks("undo", "run")
    assert result.exit_code == 1
    assert "ENTITY_IS_LOCKED" in result.stdout
    assert len(world.notes(person)) == 1


def test_an_organisation_that_is_out_of_order_exits_1_and_the_next_try_goes_on(
    writebacks: Writebacks, world: World, person: str
) -> None:
    writebacks("org", "faults", "arm", "daily_quota", "--times", 1, "path=composite$")
    result = writebacks("undo", "run")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "undo the run again to go on" in result.stderr
    assert writebacks("undo", "run").exit_code == 0
    assert (world.opted_out(person), world.notes(person)) == (False, [])


def test_a_run_that_nobody_knows_is_refused(writebacks: Writebacks, home: Path) -> None:
    result = writebacks("undo", "4711")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no run 4711 has written anything" in result.stderr
    assert not (home / "local_org.sqlite").exists()


def at_a_terminal(home: Path, answer: str, *arguments: str) -> tuple[int, str]:
    """The exit code of the command line at a terminal, where that is typed, and what the terminal showed."""
    terminal, its_end = pty.openpty()
    command = [str(Path(sys.executable).with_name("writebacks")), *arguments]
    environment = {"PATH": os.environ["PATH"], **ledgers.variables(home)}
    os.write(terminal, answer.encode())
    running = subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment)
    os.close(its_end)
    shown = b""
    with suppress(OSError):  # what is read of a terminal that nobody writes to any more
        while chunk := os.read(terminal, 4096):
            shown += chunk
    os.close(terminal)
    return running.wait(), shown.decode()


def test_at_a_terminal_it_is_shown_and_asked_first(world: World, home: Path, person: str) -> None:
    (row,) = world.rows()
    code, shown = at_a_terminal(home, "n\n", "undo", "run")
    assert code == 1
    assert f"{row.id}  Note {row.note_id} deleted; Email Opt Out unchecked again" in shown
    assert "Undo these 1 writebacks? [y/N]" in shown
    assert (world.opted_out(person), world.rows()) == (True, [row])
    code, shown = at_a_terminal(home, "y\n", "undo", "run")
    assert (code, world.opted_out(person)) == (0, False)
    assert "1 writebacks undone" in shown


def test_at_a_terminal_nothing_is_asked_of_whoever_says_yes(world: World, home: Path, person: str) -> None:
    code, shown = at_a_terminal(home, "", "undo", "run", "--yes")
    assert (code, "[y/N]" in shown, world.opted_out(person)) == (0, False, False)


@pytest.mark.parametrize(
    "command", [("undo", "run"), ("audit",), ("run", "opt-outs", "--dry-run"), ("run", "opt-outs"), ("run", "sync")]
)
def test_a_login_that_is_refused_exits_2_from_every_command(
    writebacks: Writebacks, world: World, person: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    world.unsubscribe(person)
    monkeypatch.setenv("SALESFORCE_URL", world.url)
    monkeypatch.setenv("SALESFORCE_CLIENT_ID", "local")
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", "not the secret")
    before = world.rows()
    result = writebacks(*command, SALESFORCE_URL=world.url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "The login was refused" in result.stderr
    assert world.rows() == before


def test_what_was_undone_is_sent_again_only_by_its_id(writebacks: Writebacks, world: World, person: str) -> None:
    (row,) = world.rows()
    writebacks("undo", "run")
    result = writebacks("retry", "--status", "failed")
    assert (result.exit_code, result.stdout) == (0, "0 back to pending\n")
    assert result.stderr.startswith("1 that an undo took back stay as they are")
    assert writebacks("retry", row.id).stdout == "1 back to pending\n"
