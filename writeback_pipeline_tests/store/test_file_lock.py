"""Readers and writers of one file take turns: none is starved by a stream of the others."""

import fcntl
import math
import os
import threading
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store import file_lock
from writeback_pipeline.store.file_lock import Patience, alone_among_threads, locked
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
    while not _somebody_has_the_turn(path):
        time.sleep(0.005)
    return thread


def _somebody_has_the_turn(path: Path) -> bool:
    with file_lock._opened(path, ".turn") as turn:
        return not file_lock._got(turn, fcntl.LOCK_EX)


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


def test_of_the_threads_of_a_process_one_at_a_time_is_in_the_way_of_others(path: Path) -> None:
    with alone_among_threads(path, patience(path, 0)):
        second = threading.Thread(target=_write, args=(path,))
        second.start()
        second.join(0.1)
        assert second.is_alive()
        with locked(path, patience(path, 0), shared=False):
            assert not _somebody_has_the_turn(path)
    second.join()


def test_a_thread_that_has_waited_long_enough_for_another_gives_up(path: Path) -> None:
    with alone_among_threads(path, patience(path, 0)):
        busy: list[StoreBusy] = []

        def write() -> None:
            try:
                _write(path, 0.05)
            except StoreBusy as error:
                busy.append(error)

        second = threading.Thread(target=write)
        second.start()
        second.join()
    assert "another thread of this process" in str(busy[0])
    _write(path)


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(path: Path) -> None:
    with alone_among_threads(path, patience(path, 0)):
        if not (child := os.fork()):
            with suppress(StoreBusy):
                _write(path, 0)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def _write(path: Path, seconds: float = PATIENCE_SECONDS) -> None:
    alone = patience(path, seconds)
    with alone_among_threads(path, alone), locked(path, alone, shared=False):
        pass
