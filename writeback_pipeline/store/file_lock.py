"""Who may have the database file open: a BSD lock on a file beside it, taken before every open.

DuckDB's own lock is not enough: when a process that holds it opens and closes the database file by path, for a backup
or a checksum, the operating system drops that lock, and another process may write over what the first one commits. The
lock file is never removed; a lock ends with its process.
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
from writeback_pipeline.store.errors import unusable

SHORTEST_PAUSE, LONGEST_PAUSE = 0.010, 0.050
"""Seconds between two tries; the jitter keeps waiting processes from trying in step."""


class Patience:
    """How long one open may wait in all, for our lock and for DuckDB's."""

    def __init__(self, path: Path, wait: timedelta) -> None:
        self._path = path
        self._wait = wait
        self._deadline = time.monotonic() + wait.total_seconds()

    def pause(self, holder: str = "another process") -> None:
        """Sleep a little; raises StoreBusy once the whole wait is over."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise StoreBusy(
                f"{self._path} was kept open by {holder} for {self._wait.total_seconds():g} s. Nothing was changed; "
                "try again. If it lasts, find the process that holds it (fuser shows it) and end that."
            )
        time.sleep(min(left, random.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)))  # noqa: S311 - jitter, not a secret


@contextmanager
def locked(path: Path, patience: Patience, *, shared: bool) -> Iterator[None]:
    """Hold the lock file beside `path`, among readers or alone; it is given back on every way out.

    Two threads of one process exclude each other as two processes do, because each opens the lock file for itself.
    """
    lock_file = path.with_name(path.name + ".lock")
    try:
        descriptor = os.open(lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        _acquire(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, patience)
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing alone would leave it to a child forked in between
        os.close(descriptor)


def _acquire(descriptor: int, mode: int, patience: Patience) -> None:
    while True:
        try:
            fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            patience.pause()
        else:
            return
