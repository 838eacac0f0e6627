"""`writebacks prune`: tells first, archives, then removes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from writeback_pipeline.cli import main
from writeback_pipeline.commands import prune as prune_command
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline_tests.mailings import Mailings, at, deliver
from writeback_pipeline_tests.world import START, World

BEFORE = ("--before", "2025-12-01")


@pytest.fixture
def old(world: World, tmp_path: Path) -> World:
    """A world in which five people were sent a mailing a year ago, and one unsubscribed since."""
    mailings = Mailings(tmp_path / "mailing_activity")
    world.clock.at = at("11-21 08:00")
    mailings.sent(*(world.contact() for _ in range(5)))
    deliver(world, mailings)
    world.clock.at = START
    world.unsubscribe(world.contact())
    world.deliver()
    return world


def prune(world: World, *arguments: object) -> Result:
    environment = world.variables
    return CliRunner().invoke(main, ["prune", *map(str, arguments)], env=environment)


def activity(world: World) -> int:
    return sum(row.kind is Kind.SENT for row in world.rows())


def test_without_yes_it_only_tells(old: World) -> None:
    result = prune(old, *BEFORE)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "5 sent rows with 5 attempts, of windows from 2025-11-20T00:00:00Z to 2025-11-21T00:00:00Z would be archived "
        "and removed.",
        "Nothing was changed: add --yes to do it. Opt-outs and their attempts always stay.",
    ]
    assert activity(old) == 5
    assert not (old.home / "archive").exists()


def test_with_yes_it_archives_and_removes_batch_by_batch(old: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune_command, "BATCH", 2)
    result = prune(old, *BEFORE, "--yes", "--format", "json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["removed"], told["rows"], told["attempts"]) == (True, {"sent": 5}, 5)
    folder = Path(told["archive"])
    assert folder.parent == old.home / "archive"
    parts = sorted(path.name for path in folder.iterdir())
    assert parts == [f"{name}-{number:04}.parquet" for name in ("attempts", "writebacks") for number in (1, 2, 3)]
    kept = [pq.read_table(path).num_rows for path in sorted(folder.glob("writebacks-*"))]
    assert kept == [2, 2, 1]
    assert activity(old) == 0
    assert len(old.rows()) == 1
    assert prune(old, *BEFORE, "--yes").stdout == "Nothing is old enough to be removed.\n"


def test_an_archive_that_cannot_be_written_removes_nothing(old: World, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    result = prune(old, *BEFORE, "--yes", "--archive", tmp_path / "taken" / "below")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert activity(old) == 5


LAST_WEEK = (datetime.now(UTC) - timedelta(days=7)).date().isoformat()


@pytest.mark.parametrize("day", [LAST_WEEK, "2999-01-01", "yesterday", "2026-02-30"], ids=["week", "far", "word", "no"])
def test_a_day_that_is_too_recent_or_none_is_wrong_input(old: World, day: str) -> None:
    result = prune(old, "--before", day, "--yes")
    assert result.exit_code == 2
    assert activity(old) == 5
