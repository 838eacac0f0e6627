"""Connections to a server that wait, idle, for the next transaction of this process.

One that is taken out is one thread's until it comes back, and comes back only if it is whole. A forked child leaves its
parent's connections alone and opens its own. Not psycopg_pool: its threads do not survive a fork, and why a connection
could not be made (a wrong password, say) is only logged by them, while the caller waits in vain.
"""

import atexit
import os
import time
from collections import defaultdict, deque
from contextlib import suppress

import psycopg
from psycopg import Connection, RawCursor
from psycopg.pq import TransactionStatus

MOST_IDLE = 8
IDLE_SECONDS = 60.0
"""After that an idle connection is closed, not used: something on the way may have forgotten it."""

_idle: dict[str, deque[tuple[float, Connection]]] = defaultdict(deque)
_parents: list[object] = []
"""What a forked child must neither use nor let go: closing it would end its parent's session."""


def opened(conninfo: str) -> Connection:
    """A new connection. Raises psycopg.Error."""
    # Nothing is prepared: that would fail behind a pooler, and plans are made for the values at hand.
    return Connection.connect(conninfo, autocommit=True, prepare_threshold=None, cursor_factory=RawCursor)


def kept(conninfo: str) -> Connection | None:
    """An idle connection, the one used last; None when there is none that is fresh."""
    waiting = _idle[conninfo]
    while True:
        try:
            since, connection = waiting.pop()
        except IndexError:
            return None
        if time.monotonic() - since < IDLE_SECONDS and not connection.closed:
            return connection
        _close(connection)


def give_back(conninfo: str, connection: Connection) -> None:
    """Keep it for the next transaction if it is whole and there is room, or close it."""
    waiting = _idle[conninfo]
    whole = connection.info.transaction_status is TransactionStatus.IDLE
    if whole and len(waiting) < MOST_IDLE:
        waiting.append((time.monotonic(), connection))
    else:
        _close(connection)


@atexit.register
def close_all() -> None:
    """Close every idle connection."""
    for waiting in _idle.values():
        while waiting:
            _close(waiting.pop()[1])


def _close(connection: Connection) -> None:
    with suppress(psycopg.Error):
        connection.close()


def _forget() -> None:
    _parents.append(dict(_idle))
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
