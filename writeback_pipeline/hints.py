"""Commands that texts tell people to type, as they have to be typed here: which bridge, which path."""

import os
import re
import shutil
import sys
from pathlib import Path

from writeback_pipeline.bridges import CHOSEN

OF_ONE_BRIDGE = (
    "demo", "enqueue", "run", "list", "why", "retry", "check", "alerts", "audit", "undo", "move", "erase", "prune",
    "settings", "console", "org",
)  # fmt: skip

_COMMAND = re.compile(rf"\bwritebacks (?=(?:{'|'.join(OF_ONE_BRIDGE)})\b)")


def typed(text: str, bridge: str | None = None) -> str:
    """The text with `--bridge NAME` in each command that it names; `bridge` is otherwise the one of this process, and
    where there is none the text stays as it is."""
    name = bridge or os.environ.get(CHOSEN)
    return _COMMAND.sub(f"writebacks --bridge {name} ", text) if name else text


def as_called() -> str:
    """`writebacks` where the shell finds it by that name, else the path by which this process was called."""
    path = sys.argv[0]
    is_ours = Path(path).name == "writebacks"
    return path if is_ours and shutil.which("writebacks") != path else "writebacks"
