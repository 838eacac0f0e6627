"""What can go wrong on the way to people, in words that hold no secret, and how long it may take at most."""

import threading
from collections.abc import Callable

SECONDS = 20.0
"""Longest that one sending takes, however slowly the other side answers: a sensor's tick has 60 seconds."""


class NotSent(Exception):
    """The message did not get through, or nobody knows; the words say why."""


def in_time(send: Callable[[], None], seconds: float = SECONDS) -> None:
    """Send in a thread of its own, and wait for it only so long; raises NotSent.

    Time-outs of sockets are for each read: one that answers a byte at a time would keep us for ever.
    """
    ended: list[BaseException | None] = []

    def run() -> None:
        try:
            send()
            ended.append(None)
        except BaseException as error:  # told by whoever waits
            ended.append(error)

    thread = threading.Thread(target=run, name="alert", daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise NotSent(f"it was not done within {seconds:.0f} seconds")
    if isinstance(ended[0], NotSent):
        raise ended[0]
    if ended[0] is not None:
        raise NotSent(f"{type(ended[0]).__name__}, which nobody foresaw") from ended[0]
