"""Whether the protocol keeps its promises under fire: processes killed and stopped, a network that breaks, a long load.

Nothing lost, nothing twice, nothing stale, judged from the organisation's own tables. Here is how much of a test that
can go on for ever is done, what fits a run of the suite or all of it with TORTURE=1, and what is told at the end.
"""

import os
from collections.abc import Mapping

ALL = os.environ.get("TORTURE", "") not in ("", "0")
"""Whether this is `make torture`."""


SEED = int(os.environ.get("TORTURE_SEED", "1"))
"""Where every drawing of lots begins; a failure names the seed to begin with again."""


def size(few: int, every: int) -> int:
    """`few` in a run of the suite, `every` in `make torture`."""
    return every if ALL else few


COUNTS: list[str] = []
"""What such tests have counted; shown at the end of the run."""


def tell(counted: str) -> None:
    """Have a line of counts shown at the end of the run."""
    COUNTS.append(counted)


def listed(counts: Mapping[str, int]) -> str:
    """Counts in words, such as `3 ok, 1 unknown`."""
    return ", ".join(f"{count:,} {what}" for what, count in sorted(counts.items()))
