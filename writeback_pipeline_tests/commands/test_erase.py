"""Erasing a person from the command line: shown first, asked at a terminal, archives too, and told by `why`."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.commands.test_undo import at_a_terminal
from writeback_pipeline_tests.mailings import Mailings, at, deliver
from writeback_pipeline_tests.world import START, World, world_in

ADDRESS = "anna@example.org"


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    """The world that the command line works in."""
    with world_in(home) as made:
        yield made


@pytest.fixture
def anna(world: World, home: Path) -> str:
    """Somebody who was sent a mailing a year ago and has unsubscribed since."""
    person = world.contact()
    mailings = Mailings(home / "mailing_activity")
    world.clock.at = at("11-21 08:00")
    mailings.sent(person, world.contact())
    mailings.sent(None, subscriber_id="sub-4711")  # before there was a record of hers
    mailings.sent(None, subscriber_id="sub-4712")
    deliver(world, mailings)
    world.clock.at = START
    world.unsubscribe(person, email=ADDRESS, subscriber_id="sub-4711", reason="Too much mail")
    world.deliver()
    return person


def test_a_dry_run_shows_what_would_be_erased(writebacks: Writebacks, world: World, anna: str) -> None:
    before = world.rows()
    result = writebacks("erase", ADDRESS, "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[:2] == [
        f"{anna}: an opt-out stands, and goes on being honoured",
        "3 writebacks with 3 attempts, 2 names; 2 Notes and Tasks in Salesforce",
    ]
    assert "Nothing was changed" in result.stdout
    assert "Not reached from here" in result.stdout
    assert world.rows() == before


def test_what_is_erased_is_gone_from_list_story_and_archive_and_the_flag_is_set_again_when_lost(
    writebacks: Writebacks, world: World, home: Path, anna: str
) -> None:
    assert writebacks("prune", "--before", "2025-12-01", "--yes").exit_code == 0
    told = json.loads(writebacks("erase", anna, "--format", "json").stdout)
    assert (told["erased"], told["people"], len(told["writeback_ids"]), told["archive_files"]) == (True, [anna], 1, 1)
    archived = [row for path in (home / "archive").rglob("writebacks*") for row in pq.read_table(path).to_pylist()]
    assert [row["salesforce_id"] for row in archived].count(anna) == 1
    assert {row["subscriber_id"] for row in archived} == {"sub-4712", None}
    assert ADDRESS not in writebacks("list", "--format", "json").stdout
    story = writebacks("why", anna).stdout
    assert "Too much mail" not in story
    assert "Opted out on the platform" in story
    by_name = writebacks("why", ADDRESS)
    assert by_name.exit_code == 2
    assert f"{anna} was until" in by_name.stderr
    again = writebacks("erase", anna)
    assert (again.exit_code, "0 names" in again.stdout, "0 archive files" in again.stdout) == (0, True, True)
    world.clock.advance(timedelta(hours=1))
    with world.inside.connection() as connection:
        connection.execute("UPDATE Contact SET HasOptedOutOfEmail = 0 WHERE Id = ?", [anna])
    world.ledger.question(START, world.clock())
    world.deliver()
    assert world.opted_out(anna)


def test_at_a_terminal_it_is_shown_and_asked_first(world: World, home: Path, anna: str) -> None:
    before = world.rows()
    code, shown = at_a_terminal(home, "n\n", "erase", ADDRESS)
    assert (code, world.rows()) == (1, before)
    assert f"{anna}: an opt-out stands" in shown
    assert "Erase this for good? [y/N]" in shown
    code, shown = at_a_terminal(home, "y\n", "erase", ADDRESS)
    assert (code, [row.email for row in world.rows(anna)]) == (0, [None, None])


def test_a_name_that_nobody_has_is_refused(writebacks: Writebacks, anna: str) -> None:
    result = writebacks("erase", "carl@example.org")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nobody is known as carl@example.org" in result.stderr
