"""The threads of one process that write to one file: one at a time, and what one leaves open the next goes on with.

They wait for one another in memory, before the lock that keeps other processes out: the next goes on at once, where it
would sleep between its tries, and only one of them at a time is in other processes' way. Opening a file and giving it
back costs more than most transactions do, so where many follow one another it is kept open in between, until somebody
else waits for it, nobody came for a while, or it has been open for long. What "open" means is not decided here.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from writeback_pipeline.store.file_lock import Patience, is_awaited

LINGER = 0.050
"""Seconds for which a file stays open that no thread comes for."""

LONGEST_OPEN = 0.5
"""Seconds after which a file is given back however busy it is, for programs that open it directly and wait unseen."""

LOOK_EVERY = 0.005
"""Seconds between two looks at whether a file that lingers is to be given back."""


class Open(Protocol):
    """A file that is open, with its lock."""

    def close(self) -> None:
        """Give it back."""


@dataclass(slots=True, eq=False)
class Turn:
    """`found` is what the one before left open; what is put into `left` is for the next, or closed."""

    found: Open | None = None
    left: Open | None = None


class Writers:
    """Whose turn it is with one file: first come, first served. It lingers only within `kept_open`.

    An interrupt may come at any time to the thread that a turn or a block is of. So the lock is entered as itself, not
    by its conditions, which would be left locked by one; and what is undone at the end is what was done until then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._free, self._lingers = threading.Condition(self._lock), threading.Condition(self._lock)
        self._line: list[Turn] = []
        self._whose: Turn | None = None
        self._blocks: list[threading.Event] = []
        self._open: Open | None = None
        self._opened_at = self._left_at = 0.0

    @contextmanager
    def turn(self, patience: Patience) -> Iterator[Turn]:
        """Be the only one; raises StoreBusy when that was waited for in vain."""
        turn = Turn()
        try:
            self._begin(turn, patience)
            yield turn
        finally:
            if self._whose is turn:
                self._end(turn)

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """Let the file linger between the turns of all threads while the block goes on; nothing lingers after it."""
        over = threading.Event()
        keeper = threading.Thread(target=self._watch, args=(over,), name="kept open", daemon=True)
        keeper.start()
        try:
            with self._lock:
                self._blocks.append(over)
            yield
        finally:
            with self._lock:
                self._blocks = [block for block in self._blocks if block is not over]
                over.set()
                self._lingers.notify_all()
            if not self._blocks:
                self.close()
            keeper.join()

    def close(self) -> None:
        """Close what lingers; whoever comes next opens it again. What somebody has is left alone."""
        turn = Turn()
        try:
            with self._lock:
                if self._open is None:
                    return
                self._take(turn)
        finally:
            if self._whose is turn:
                self._close(turn.found)

    def _begin(self, turn: Turn, patience: Patience) -> None:
        with self._lock:
            try:
                self._line.append(turn)
                while self._whose is not None or self._line[0] is not turn:
                    if not patience.left:
                        patience.pause("another thread of this process")
                    self._free.wait(patience.left)
                if self._open is None:
                    self._opened_at = time.monotonic()
                self._take(turn)
            finally:
                if turn in self._line:
                    self._line.remove(turn)
                if self._whose is None:  # it has given up, and the next may be waiting for it alone
                    self._free.notify_all()

    def _end(self, turn: Turn) -> None:
        left = turn.left
        try:
            if left is None or not self._blocks or self._is_due_back():
                return
            with self._lock:
                if self._blocks:  # the last may have ended meanwhile
                    self._open, self._left_at, self._whose = left, time.monotonic(), None  # nothing comes in between
                    self._lingers.notify_all()
                    self._free.notify_all()
        finally:
            if self._whose is turn:
                self._close(left)

    def _take(self, turn: Turn) -> None:
        self._whose = turn
        turn.found, self._open = self._open, None

    def _close(self, left: Open | None) -> None:
        try:
            if left is not None:
                left.close()
        finally:
            with self._lock:
                self._whose = None
                self._free.notify_all()

    def _is_due_back(self) -> bool:
        return time.monotonic() - self._opened_at >= LONGEST_OPEN or is_awaited(self._path)

    def _watch(self, over: threading.Event) -> None:
        """Give back what lingers once it is time, until `over`."""
        while self._lingers_before(over):
            over.wait(LOOK_EVERY)
            if time.monotonic() - self._left_at >= LINGER or self._is_due_back():
                self.close()

    def _lingers_before(self, over: threading.Event) -> bool:
        """Wait until something lingers; False when it is over instead."""
        with self._lock:
            self._lingers.wait_for(lambda: over.is_set() or self._open is not None)
            return not over.is_set()


_writers: dict[str, Writers] = {}


def writers_of(path: Path) -> Writers:
    """This process's writers to that file."""
    return _writers.setdefault(str(path), Writers(path))


def close_all() -> None:
    """Close whatever lingers."""
    for writers in list(_writers.values()):
        writers.close()


os.register_at_fork(after_in_child=_writers.clear)  # a thread that had its turn is not there any more
