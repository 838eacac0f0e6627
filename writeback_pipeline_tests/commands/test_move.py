"""`writebacks move`: everything arrives, once, whenever it is killed; nothing is delivered from two databases."""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from writeback_pipeline.cli import main
from writeback_pipeline.domain.ledger import Asked, OperatorAction, WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.contracts.story import (
    claim_one,
    contact,
    everything,
    intent,
    journalled,
    resubscribe,
    unsubscribe,
    written,
)
from writeback_pipeline_tests.postgres import server

pytestmark = pytest.mark.duckdb_file

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def url() -> str:
    return server().new_url()


@pytest.fixture
def new(url: str, home: Path) -> Store:
    return Store(url, home)


@pytest.fixture
def move(home: Path, url: str) -> Callable[..., Result]:
    def call(*arguments: str) -> Result:
        environment = {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": url}
        return CliRunner().invoke(main, ["move", *arguments], env=environment)

    return call


@pytest.fixture
def filled(store: Store) -> Store:
    """A ledger with something in most tables: written, owed, in doubt, settings changed, an action of a person."""
    store.enqueue([unsubscribe(contact(n), reason="Ünïcode 🎉 \\ \t") for n in range(5)], BEGAN)
    written(store, claim_one(store, BEGAN))
    journalled(store, [intent(claim_one(store, BEGAN))])
    store.enqueue([resubscribe(contact(0), BEGAN + timedelta(hours=1))], BEGAN + timedelta(hours=1))
    store.change_settings({"platform_name": "Mailer"}, "olga", BEGAN)
    for ids in ((), (1, 2)):
        store.enter_action(OperatorAction(Asked("olga", BEGAN), "retry", "back to pending", ids))
    store.pin_organisation("00D000000000001AAA")
    return store


def test_everything_arrives_and_goes_on_in_the_new_place(
    filled: Store, new: Store, move: Callable[..., Result], home: Path
) -> None:
    before = everything(filled)
    result = move("--format", "json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["rows"]["writebacks"] == len(before) == 6
    assert told["rows"]["delivery_attempts"] == 3
    assert everything(new) == before
    assert new.attempts_of([row.id for row in before]) == filled.attempts_of([row.id for row in before])
    assert new.settings() == filled.settings()
    assert new.settings_history() == filled.settings_history()
    assert new.latest_actions("retry", 5) == filled.latest_actions("retry", 5)
    assert new.pinned_organisation() == "00D000000000001AAA"
    assert new.story(contact(0).salesforce_id) == filled.story(contact(0).salesforce_id)
    now = datetime.now(UTC)
    new.enqueue([unsubscribe(contact(9))], now)
    assert max(row.id for row in everything(new)) > max(row.id for row in before)
    assert {claim.person for claim in new.claim("worker", now, limit=10)} == {contact(n) for n in (0, 1, 2, 3, 4, 9)}
    assert {row.status for row in everything(new)} == {Status.WRITTEN, Status.PENDING, Status.UNKNOWN}


def test_nothing_is_written_any_more_where_the_ledger_was(filled: Store, move: Callable[..., Result], url: str) -> None:
    move()
    before = everything(filled)
    with pytest.raises(StoreUnusable, match=r"was moved to postgresql://.*Set WRITEBACK_DATABASE to that"):
        filled.claim("worker", datetime.now(UTC), limit=1)
    with pytest.raises(StoreUnusable, match="can only be read"):
        filled.enqueue([unsubscribe(contact(7))], BEGAN)
    assert everything(filled) == before


def test_a_backup_from_before_the_move_sends_nothing_blindly(
    filled: Store, move: Callable[..., Result], home: Path
) -> None:
    backup = (home / "writebacks.duckdb").read_bytes()
    move()
    (home / "writebacks.duckdb").write_bytes(backup)
    (home / "writebacks.duckdb.wal").unlink(missing_ok=True)
    put_back = Store(home / "writebacks.duckdb")
    assert [claim.taken for claim in put_back.claim("worker", datetime.now(UTC), limit=9) if claim.taken] == []


def test_moving_again_finds_that_all_is_there(filled: Store, new: Store, move: Callable[..., Result]) -> None:
    move()
    new.enqueue([unsubscribe(contact(9))], BEGAN)
    again = move()
    assert again.exit_code == 0, again.output
    assert len(everything(new)) == 7


def test_a_dry_run_counts_and_moves_nothing(filled: Store, new: Store, move: Callable[..., Result]) -> None:
    result = move("--dry-run")
    assert result.exit_code == 0
    assert "Nothing was changed" in result.stdout
    assert everything(new) == []
    assert filled.enqueue([unsubscribe(contact(9))], BEGAN).added == 1


def test_a_delivery_under_way_is_not_moved(filled: Store, move: Callable[..., Result]) -> None:
    filled.claim("worker", datetime.now(UTC), limit=1)
    result = move()
    assert result.exit_code == 2
    assert "A delivery is under way" in result.stderr
    assert filled.enqueue([unsubscribe(contact(9))], BEGAN).added == 1


def test_a_place_that_holds_something_else_is_refused(
    filled: Store, new: Store, move: Callable[..., Result], url: str
) -> None:
    new.enqueue([unsubscribe(contact(50))], BEGAN)
    result = move()
    assert result.exit_code == 2
    assert "is not empty (1 rows in people, 1 rows in writebacks)" in result.stderr
    assert filled.enqueue([unsubscribe(contact(9))], BEGAN).added == 1


def test_a_move_that_broke_off_goes_on_to_the_same_place_or_is_taken_back(
    filled: Store, new: Store, move: Callable[..., Result], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("writeback_pipeline.store.moving._copy", lambda *_: 1 / 0)
    assert isinstance(move().exception, ZeroDivisionError)
    monkeypatch.undo()
    with pytest.raises(StoreUnusable, match=r"is being moved .* Run writebacks move again"):
        filled.enqueue([unsubscribe(contact(9))], BEGAN)
    elsewhere = move("--to", str(home / "other.duckdb"))
    assert (elsewhere.exit_code, "finish that" in elsewhere.stderr) == (2, True)
    assert move("--cancel").exit_code == 0
    assert filled.enqueue([unsubscribe(contact(9))], BEGAN).added == 1
    assert move().exit_code == 0
    assert move("--cancel").exit_code == 2
    assert len(everything(new)) == 7


def test_a_ledger_goes_back_to_a_file_as_well(
    filled: Store, new: Store, move: Callable[..., Result], home: Path
) -> None:
    before = everything(filled)
    move()
    assert move("--from", "postgresql", "--to", str(home / "back.duckdb")).exit_code == 0
    assert everything(Store(home / "back.duckdb")) == before
    with pytest.raises(StoreUnusable, match="was moved to"):
        new.enqueue([unsubscribe(contact(9))], BEGAN)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--from", "nowhere.duckdb"), "nowhere.duckdb is not there"),
        (("--to", "duckdb"), "is where the ledger is already"),
    ],
)
def test_places_that_make_no_sense_are_refused(
    filled: Store, move: Callable[..., Result], arguments: tuple[str, ...], told: str
) -> None:
    result = move(*arguments)
    assert (result.exit_code, told in result.stderr) == (2, True)


def test_killed_at_any_moment_it_goes_on_and_nothing_is_lost_or_doubled(
    store: Store, new: Store, home: Path, url: str
) -> None:
    chance = random.Random(20261123)
    store.enqueue([unsubscribe(contact(n)) for n in range(3_000)], BEGAN)
    environment = {**os.environ, "WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": url}
    for _ in range(4):
        process = subprocess.Popen(
            [*COMMAND, "move"], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.4, 1.6))
        process.kill()
        process.wait()
    assert subprocess.run([*COMMAND, "move"], env=environment, capture_output=True).returncode == 0
    assert everything(new) == everything(store)
    assert new.count(WritebackFilter()) == 3_000
    with open_database(url).reading() as session:
        assert session.execute("SELECT count(*) FROM moves").fetchall() == [(1,)]
