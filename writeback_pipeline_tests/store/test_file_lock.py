"""Readers and writers of one file take turns: none is starved by a stream of the others."""

import fcntl
import math
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store import file_lock
from writeback_pipeline.store.file_lock import Patience, is_awaited, locked
from writeback_pipeline_tests.patience import PATIENCE_SECONDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writebacks.duckdb"


def patience(path: Path, seconds: float) -> Patience:
    return Patience(path, timedelta(seconds=seconds))


def waiting(path: Path, *, shared: bool) -> threading.Thread:
    """Somebody else who waits for the lock, and is the next to have it; the thread ends once they had it."""

    def wait() -> None:
        with locked(path, patience(path, PATIENCE_SECONDS), shared=shared):
            pass

    thread = threading.Thread(target=wait)
    thread.start()
    while not is_awaited(path):
        time.sleep(0.005)
    return thread


@pytest.mark.parametrize(
    ("first_shared", "waits_shared", "late_shared"),
    [(True, False, True), (True, False, False), (False, False, True), (False, True, False)],
)
def test_who_comes_later_waits_behind_who_waits(
    path: Path, first_shared: bool, waits_shared: bool, late_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "COURTESY", math.inf)
    with locked(path, patience(path, 0), shared=first_shared):
        first_in_line = waiting(path, shared=waits_shared)
        with pytest.raises(StoreBusy), locked(path, patience(path, 0.1), shared=late_shared):
            pass
        assert first_in_line.is_alive()
    first_in_line.join()
    with locked(path, patience(path, 0), shared=late_shared):
        pass


def test_readers_share_without_waiting_for_a_turn(path: Path) -> None:
    with locked(path, patience(path, 0), shared=True), locked(path, patience(path, 0), shared=True):
        pass


def test_a_turn_that_is_never_used_holds_nobody_up_for_good(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "COURTESY", 0.05)
    with file_lock._opened(path, ".turn") as stopped:
        assert file_lock._got(stopped, fcntl.LOCK_EX)
        for shared in (True, False):
            with locked(path, patience(path, PATIENCE_SECONDS), shared=shared):
                pass
