"""Who may have the database file open: a BSD lock on a file beside it, taken before every open.

DuckDB's own lock is not enough: when a process that holds it opens and closes the database file by path, for a backup
or a checksum, the operating system drops that lock, and another process may write over what the first one commits. The
lock files are never removed; a lock ends with its process.

A second file says whose turn is next. Readers share the lock, so a writer that only tried for it would never have it
while one reader or another is there: pages that many people look at would stop a delivery. Whoever has the turn waits
for the lock alone, and everybody else waits for the turn.
"""

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store.errors import StoreUnusable, unusable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.010, 0.050
"""Seconds between two tries; the jitter keeps waiting processes from trying in step."""

NEXT_IN_LINE = 0.1
"""The part of such a pause that is enough for whoever has the turn: nobody else tries for the lock."""

COURTESY = 5.0
"""Seconds after which the turn is no longer waited for: it may be a stopped process that has it."""


class Patience:
    """How long one open may wait in all, for our lock and for DuckDB's."""

    def __init__(self, path: Path, wait: timedelta) -> None:
        self._path = path
        self._wait = wait
        self._started = time.monotonic()

    @property
    def waited(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds until the whole wait is over."""
        return max(0.0, self._wait.total_seconds() - self.waited)

    def pause(self, holder: str = "another process", part: float = 1.0) -> None:
        """Sleep a little; raises StoreBusy once the whole wait is over."""
        left = self.left
        if not left:
            raise StoreBusy(
                f"{self._path} was kept open by {holder} for {self._wait.total_seconds():g} s. Nothing was changed; "
                "try again. If it lasts, find the process that holds it (fuser shows it) and end that."
            )
        pause = part * random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)  # noqa: S311 - jitter, not a secret
        time.sleep(min(left, pause))


@contextmanager
def locked(path: Path, patience: Patience, *, shared: bool) -> Iterator[None]:
    """Hold the lock file beside `path`, among readers or alone; it is given back on every way out.

    Two threads of one process exclude each other as two processes do, because each opens the lock file for itself.
    """
    with _opened(path, ".lock") as lock:
        with _opened(path, ".turn") as turn:
            _acquire(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, turn, patience)
        yield


def is_awaited(path: Path) -> bool:
    """Whether another process, or a reader of this one, waits for the lock of that file; True if nobody can tell."""
    try:
        with _opened(path, ".turn") as turn:
            return not _got(turn, fcntl.LOCK_SH)  # who looks is not in the way of others who look
    except (StoreUnusable, OSError):
        return True


@contextmanager
def _opened(path: Path, ending: str) -> Iterator[int]:
    """A file beside `path`; what is locked of it is given back at the end."""
    try:
        descriptor = os.open(path.with_name(path.name + ending), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it to a child forked in between
        os.close(descriptor)


def _acquire(lock: int, mode: int, turn: int, patience: Patience) -> None:
    next_in_line = False
    while True:
        next_in_line = next_in_line or _got(turn, fcntl.LOCK_EX)
        if (next_in_line or patience.waited > COURTESY) and _got(lock, mode):
            return
        patience.pause(part=NEXT_IN_LINE if next_in_line else 1.0)


def _got(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
