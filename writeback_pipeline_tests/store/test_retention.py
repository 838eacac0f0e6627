"""Old activity leaves a real ledger; opt-outs, what is owed, and what tells a restore never do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from writeback_pipeline.domain.retention import KEPT, TooRecent, cut_off
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.store import archive
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.retention import Table
from writeback_pipeline_tests.mailings import Mailings, at, deliver, tasks
from writeback_pipeline_tests.world import START, World

BEFORE = at("12-01 00:00")


@pytest.fixture
def mailings(tmp_path: Path) -> Mailings:
    return Mailings(tmp_path / "mailing_activity")


@pytest.fixture
def old(world: World, mailings: Mailings) -> World:
    """A world in which two people were sent a mailing and unsubscribed, a year ago; something was queued since."""
    world.clock.at = at("11-21 08:00")
    people = [world.contact(), world.lead()]
    mailings.sent(*people, None)
    deliver(world, mailings)
    for person in people:
        world.unsubscribe(person)
    world.deliver()
    world.clock.at = START
    world.unsubscribe(world.contact())
    world.deliver()
    return world


def counts(world: World) -> dict[str, int]:
    with Database(world.home / "writebacks.duckdb").reading() as session:
        return {
            name: session.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in ("writebacks", "delivery_attempts", "opt_out_origins", "restores", "activity_windows")
        }


def prune(world: World, before: datetime = BEFORE) -> list[int]:
    """Remove everything that may go; the ids of what went."""
    rows, _ = world.ledger.oldest_prunable(before, world.clock(), 1_000)
    ids = [row[0] for row in rows.rows]
    assert world.ledger.prune(before, world.clock(), ids) == len(ids)
    return ids


def test_old_activity_goes_with_its_attempts_and_opt_outs_stay_with_theirs(old: World) -> None:
    before = counts(old)
    found = old.ledger.prunable(BEFORE, old.clock())
    assert (found.rows, found.attempts) == ({"sent": 3}, 2)
    assert (found.first, found.last) == (at("11-20 00:00"), at("11-21 00:00"))
    opt_outs = [row for row in old.rows() if row.kind is Kind.UNSUBSCRIBE]
    evidence = old.ledger.attempts_of([row.id for row in opt_outs])
    prune(old)
    assert old.rows() == opt_outs
    assert old.ledger.attempts_of([row.id for row in opt_outs]) == evidence
    assert counts(old) == before | {
        "writebacks": before["writebacks"] - 3,
        "delivery_attempts": before["delivery_attempts"] - 2,
    }
    assert old.ledger.prunable(BEFORE, old.clock()).rows == {}


def test_what_is_recent_owed_or_failed_stays(world: World, mailings: Mailings) -> None:
    world.clock.at = at("11-21 08:00")
    fine, gone = world.contact(), world.contact()
    world.as_user(admin.delete, gone)
    mailings.sent(fine, gone)
    mailings.sent(fine, when="12-01 00:00")
    deliver(world, mailings)
    deliver(world, mailings, name="2025-12-01")
    mailings.opened(fine)
    deliver(world, mailings, kind=Kind.OPENED)
    with Database(world.home / "writebacks.duckdb").writing() as session:
        session.execute("UPDATE writebacks SET status = 'pending', settled_at = NULL WHERE kind = 'opened'")
    world.unsubscribe(fine)
    world.deliver()
    prune(world)
    left = {(row.kind, row.status, row.window_start) for row in world.rows() if row.kind is not Kind.UNSUBSCRIBE}
    assert left == {
        (Kind.SENT, Status.FAILED, at("11-20 00:00")),
        (Kind.SENT, Status.WRITTEN, at("12-01 00:00")),
        (Kind.OPENED, Status.PENDING, at("11-20 00:00")),
    }


def test_what_was_revised_lately_stays(old: World, mailings: Mailings) -> None:
    person = next(row.salesforce_id for row in old.rows() if row.salesforce_id)
    mailings.sent(person, when="11-20 18:00", mailing_id="m-2")
    deliver(old, mailings)  # a year later, by the clock
    prune(old)
    (row,) = [row for row in old.rows(person) if row.kind is Kind.SENT]
    assert row.status is Status.WRITTEN


def test_the_newest_row_and_attempt_stay_so_that_no_restore_is_suspected(world: World, mailings: Mailings) -> None:
    world.clock.at = at("11-21 08:00")
    mailings.sent(*(world.contact() for _ in range(5)))
    deliver(world, mailings)
    world.clock.at = START
    assert len(prune(world)) < 5
    person = world.contact()
    world.unsubscribe(person)
    world.deliver()
    assert world.opted_out(person)
    assert counts(world)["restores"] == 0


def test_a_pruned_window_that_is_run_again_writes_the_same_tasks(old: World, mailings: Mailings) -> None:
    before = [task["Id"] for task in tasks(old)]
    prune(old)
    deliver(old, mailings)
    assert [task["Id"] for task in tasks(old)] == before


def test_a_row_that_changed_after_it_was_archived_is_not_removed(old: World) -> None:
    rows, _ = old.ledger.oldest_prunable(BEFORE, old.clock(), 1_000)
    ids = [row[0] for row in rows.rows]
    with Database(old.home / "writebacks.duckdb").writing() as session:
        session.execute("UPDATE writebacks SET status = 'pending', settled_at = NULL WHERE id = $1", [ids[0]])
    assert old.ledger.prune(BEFORE, old.clock(), [*ids, 10**6]) == len(ids) - 1
    assert ids[0] in {row.id for row in old.rows()}


def test_a_window_that_somebody_delivers_right_now_stays(old: World) -> None:
    held = old.ledger.lease_window("sent:daily:2025-11-20", "somebody", old.clock())
    assert held is not None
    assert prune(old) == []


def test_opt_outs_are_never_removed_whatever_ids_are_named(old: World) -> None:
    before = counts(old)
    everything = [row.id for row in old.rows() if row.kind is Kind.UNSUBSCRIBE]
    assert old.ledger.prune(START + timedelta(days=3_650), old.clock(), everything) == 0
    assert counts(old) == before


def test_the_archive_holds_every_column_as_it_was(old: World, tmp_path: Path) -> None:
    rows, attempts = old.ledger.oldest_prunable(BEFORE, old.clock(), 2)
    assert len(rows.rows) == 2
    for name, table in (("writebacks", rows), ("attempts", attempts)):
        path = tmp_path / "archive" / f"{name}.parquet"
        archive.write(path, table)
        kept = pq.read_table(path)
        assert kept.column_names == list(table.columns)
        assert list(zip(*(column.to_pylist() for column in kept.columns), strict=True)) == table.rows
    with Database(old.home / "writebacks.duckdb").reading() as session:
        described = session.execute("SELECT * FROM writebacks LIMIT 0").description  # type: ignore[attr-defined]
    assert [column[0] for column in described] == list(rows.columns)


def test_an_archive_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("a file where the folder should be")
    with pytest.raises(StoreUnusable, match=r"archive.*nothing more was removed"):
        archive.write(tmp_path / "archive" / "writebacks.parquet", Table({"id": "BIGINT"}, [(1,)]))


def test_the_last_weeks_are_out_of_reach() -> None:
    zone = replace(WritebackSettings(), time_zone="America/New_York").zone
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert cut_off(datetime(2026, 1, 1).date(), zone, now) == datetime(2026, 1, 1, 5, tzinfo=UTC)
    latest = (now - KEPT).date()
    cut_off(latest, zone, now)
    with pytest.raises(TooRecent, match=f"The latest day possible is {latest}"):
        cut_off(latest + timedelta(days=1), zone, now)
