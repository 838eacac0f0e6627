"""How much of a test that can go on for ever is done: what fits a run of the suite, or all of it with TORTURE=1."""

import os

ALL = os.environ.get("TORTURE", "") not in ("", "0")
"""Whether this is `make torture`."""


def size(few: int, every: int) -> int:
    """`few` in a run of the suite, `every` in `make torture`."""
    return every if ALL else few


COUNTS: list[str] = []
"""What such tests have counted; shown at the end of the run."""


def tell(counted: str) -> None:
    """Have a line of counts shown at the end of the run."""
    COUNTS.append(counted)
