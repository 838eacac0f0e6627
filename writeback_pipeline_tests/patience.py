"""How tests wait for what other threads and processes do: for as long as it takes on a slow machine, and no longer.

A test proves no less for it: what is waited for has to come, only when is left open.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 60.0
"""How long a machine may take for what usually takes a moment."""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this did not come about"
        time.sleep(0.01)


@contextmanager
def reserved_port() -> Iterator[int]:
    """A loopback port that the system gives to nobody else meanwhile; who asks for it by number, as a server that takes
    up an address again (SO_REUSEADDR), may listen there."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
