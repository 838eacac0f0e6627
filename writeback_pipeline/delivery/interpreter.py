"""How Python itself is set while very many rows are in hand.

Its defaults suit small programs. The collector of reference cycles looks through everything that lives whenever 700
objects were made, and a delivery makes dozens a person, all of which live until their answers are settled: that took a
sixth of its processor time and found nothing. And a thread that comes back from the database, which it keeps from all
others meanwhile, waits up to 5 ms for one that computes to let it go on, statement after statement.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS_BETWEEN_COLLECTIONS = 500_000
SECONDS_UNTIL_SWITCH = 0.0001


@contextmanager
def for_many_rows() -> Iterator[None]:
    """Set the whole process so while the block, or the function that is decorated, goes on."""
    threshold, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.set_threshold(max(OBJECTS_BETWEEN_COLLECTIONS, threshold[0]), *threshold[1:])
    sys.setswitchinterval(min(SECONDS_UNTIL_SWITCH, interval))
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        sys.setswitchinterval(interval)
