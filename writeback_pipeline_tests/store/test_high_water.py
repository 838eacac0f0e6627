"""A database that was put back, or has lost the end of its log: that is noticed, and nothing is sent blindly."""

import logging
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import QUIET
from writeback_pipeline.domain.undoing import INCOMPLETE, NOTE_UNDONE, UNDONE
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.high_water import Mark, MarkFile
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    NOW,
    claim_one,
    contact,
    everything,
    intent,
    journalled,
    settled,
    statuses,
    unsubscribe,
    written,
)

LATER = NOW + 60 * MINUTE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writebacks.duckdb"


@pytest.fixture
def store(path: Path) -> Store:
    return Store(path)


def back_up(path: Path) -> Path:
    return Path(shutil.copy(path, path.with_suffix(".backup")))


def restore(path: Path, backup: Path) -> None:
    path.with_name(path.name + ".wal").unlink(missing_ok=True)
    shutil.copy(backup, path)


def test_what_a_backup_calls_owed_is_doubted_not_sent(
    store: Store, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(3)], NOW)
    backup = back_up(path)
    for _ in range(3):
        written(store, claim_one(store))
    restore(path, backup)
    with caplog.at_level(logging.WARNING):
        assert store.claim("worker", NOW, limit=10) == []
    assert "older than its high-water mark (attempt 0 of 6, writeback 3 of 3)" in caplog.text
    rows = everything(store)
    assert {(row.status, row.error_code) for row in rows} == {(Status.UNKNOWN, "RESTORED")}
    last_send = NOW + timedelta(seconds=180)
    assert {row.next_attempt_at for row in rows} == {last_send + QUIET}, (
        "not before a late request can no longer arrive"
    )


def test_failed_and_waiting_writebacks_of_a_backup_are_doubted_too_and_people_without_a_record_are_not(
    store: Store, path: Path
) -> None:
    for number, status in enumerate((Status.FAILED, Status.WAITING)):
        store.enqueue([unsubscribe(contact(number))], NOW)
        claim = claim_one(store)
        store.record([], [settled(claim, status)], [], NOW, release=True)
    nobody = replace(unsubscribe(contact(9), email="a@example.org"), salesforce_id=None)
    store.enqueue([nobody], NOW)
    backup = back_up(path)
    store.enqueue([unsubscribe(contact(5))], NOW)
    restore(path, backup)
    store.claim("worker", LATER, limit=10)
    assert statuses(store) == [Status.UNKNOWN, Status.UNKNOWN, Status.PENDING]


def test_a_restore_is_noticed_once_and_neither_ids_nor_epochs_are_given_twice(store: Store, path: Path) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    backup = back_up(path)
    store.enqueue([unsubscribe(contact(2), NOW - MINUTE)], NOW)
    claim = claim_one(store)
    assert claim.person == contact(2)
    lost = journalled(store, [intent(claim)])
    restore(path, backup)
    store.claim("worker", LATER, limit=10)
    store.enqueue([unsubscribe(contact(2), LATER + MINUTE)], LATER + MINUTE)
    fresh = max(everything(store), key=lambda row: row.id)
    assert (fresh.id, fresh.status) == (3, Status.PENDING)
    (claimed,) = [c for c in store.claim("worker", LATER + MINUTE, limit=10) if c.person == contact(2)]
    assert claimed.epoch > claim.epoch
    at = LATER + 2 * MINUTE
    assert min(journalled(store, [intent(claimed, row=fresh, at=at)])) > max(lost)


def test_changes_queued_again_after_a_restore_are_read_back_first_and_new_ones_are_not(
    store: Store, path: Path
) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    backup = back_up(path)
    again = unsubscribe(contact(2), NOW + MINUTE)
    store.enqueue([again], NOW + MINUTE)
    restore(path, backup)
    store.enqueue([again, unsubscribe(contact(3), LATER + MINUTE)], LATER)
    by_person = {row.salesforce_id: row for row in everything(store)}
    assert by_person[contact(2).salesforce_id].status is Status.UNKNOWN
    assert by_person[contact(2).salesforce_id].next_attempt_at == LATER
    assert by_person[contact(3).salesforce_id].status is Status.PENDING


def test_a_worker_of_before_the_restore_is_fenced_off(store: Store, path: Path) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    backup = back_up(path)
    zombie = claim_one(store)
    journalled(store, [intent(zombie)])
    restore(path, backup)
    store.claim("worker", NOW, limit=1)
    assert store.record([], [settled(zombie)], [], NOW, release=True) == 1
    assert statuses(store) == [Status.UNKNOWN]


@pytest.mark.parametrize("code", [UNDONE, INCOMPLETE, NOTE_UNDONE])
def test_what_was_undone_stays_so_after_a_restore_and_is_read_back_when_it_is_retried(
    store: Store, path: Path, code: str
) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    undone = settled(claim_one(store), Status.FAILED)._replace(error_code=code)
    store.record([], [undone], [], NOW, release=True)
    backup = back_up(path)
    store.enqueue([unsubscribe(contact(2))], NOW)
    restore(path, backup)
    assert [claim.taken for claim in store.claim("worker", LATER, limit=1)] == [()], "the flag is looked at, no more"
    assert statuses(store) == [Status.FAILED]
    assert store.retry(ids=[undone.writeback_id]).retried == (undone.writeback_id,)
    assert statuses(store) == [Status.UNKNOWN]


def test_a_database_that_is_as_far_as_its_mark_is_left_alone(store: Store, path: Path) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(2)], NOW)
    written(store, claim_one(store))
    assert len(Store(path).claim("worker", NOW, limit=10)) == 1
    assert statuses(store) == [Status.WRITTEN, Status.PENDING]


def test_a_damaged_mark_is_refused_with_what_to_do(store: Store, path: Path) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    mark = path.with_name("writebacks.duckdb.mark")
    mark.write_text("{")
    with pytest.raises(StoreUnusable, match=r"writebacks\.duckdb\.mark is damaged.*remove this file; otherwise"):
        store.claim("worker", NOW, limit=1)
    assert statuses(store) == [Status.PENDING]
    mark.unlink()
    assert len(store.claim("worker", NOW, limit=1)) == 1


def test_the_mark_is_on_disk_before_the_journal_lets_anything_be_sent(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(descriptor))
    (attempt,) = journalled(store, [intent(claim)])
    assert synced
    assert MarkFile(path.with_name("writebacks.duckdb.mark")).read().attempt_id == attempt


def test_marks_of_several_workers_only_rise(path: Path) -> None:
    marks = MarkFile(path.with_name("writebacks.duckdb.mark"))
    marks.raise_to(Mark(attempt_id=200, writeback_id=5))
    marks.raise_to(Mark(attempt_id=100, writeback_id=7))
    assert (marks.read().attempt_id, marks.read().writeback_id) == (200, 7)
