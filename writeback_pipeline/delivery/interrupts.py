"""Being stopped at a good moment: between calls, not while an answer is on its way."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType


@contextmanager
def uninterrupted() -> Iterator[None]:
    """What asks this process to stop, Ctrl-C or a cancelled run, takes effect at the end of the block.

    Signals reach the main thread only; elsewhere there is nothing to hold back.
    """
    if current_thread() is not main_thread():
        yield
        return
    caught: list[tuple[int, FrameType | None]] = []
    before = {
        number: signal.signal(number, lambda number, frame: caught.append((number, frame)))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for caught_number, frame in caught:
            handler = before[signal.Signals(caught_number)]
            if callable(handler):
                handler(caught_number, frame)
            elif handler == signal.SIG_DFL:
                signal.raise_signal(caught_number)
