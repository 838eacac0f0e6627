"""The threads of one process that write to one file: one at a time, and what one leaves open the next goes on with.

They wait for one another in memory, before the lock that keeps other processes out: the next goes on at once, where it
would sleep between its tries, and only one of them at a time is in other processes' way. Opening the file and giving it
back costs more than most transactions do. What "open" means is not decided here.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from writeback_pipeline.store.file_lock import Patience


class Open(Protocol):
    """A file that is open, with its lock."""

    def close(self) -> None:
        """Give it back."""


@dataclass(slots=True)
class Turn:
    """`found` is what the one before left open; what is put into `left` is for the next, if anybody waits."""

    found: Open | None
    left: Open | None = None


class Writers:
    """Whose turn it is. While nobody has one and nobody waits, nothing is open."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting = 0
        self._busy = False
        self._open: Open | None = None

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for a turn."""
        return self._waiting > 0

    @contextmanager
    def turn(self, patience: Patience) -> Iterator[Turn]:
        """Be the only one; raises StoreBusy when that was waited for in vain."""
        turn = Turn(self._begun(patience))
        try:
            yield turn
        finally:
            self._ended(turn.left)

    def close(self) -> None:
        """Close what is open and nobody's; whoever waits for it will open it again."""
        with self._changed:
            if not self._busy:
                self._close()

    def _begun(self, patience: Patience) -> Open | None:
        with self._changed:
            self._waiting += 1
            try:
                while self._busy:
                    if not patience.left:
                        patience.pause("another thread of this process")
                    self._changed.wait(patience.left)
            except BaseException:
                self._waiting -= 1
                if not self._busy:  # it was this thread's turn; now it is somebody else's, or nobody's
                    self._changed.notify()
                    if not self._waiting:
                        self._close()
                raise
            self._waiting -= 1
            self._busy = True
            found, self._open = self._open, None
            return found

    def _ended(self, left: Open | None) -> None:
        with self._changed:
            if left is not None and self._waiting:
                self._open, left = left, None
                self._free()
                return
        try:
            if left is not None:
                left.close()
        finally:
            with self._changed:
                self._free()

    def _free(self) -> None:
        self._busy = False
        self._changed.notify()

    def _close(self) -> None:
        left, self._open = self._open, None
        if left is not None:
            left.close()


_writers: dict[str, Writers] = {}


def writers_of(path: Path) -> Writers:
    """This process's writers to that file."""
    return _writers.setdefault(str(path), Writers())


def close_all() -> None:
    """Close whatever is open and nobody's."""
    for writers in list(_writers.values()):
        writers.close()


os.register_at_fork(after_in_child=_writers.clear)  # a thread that had its turn is not there any more
