"""A delivery of activity in front of somebody: bars of its windows and Tasks on standard error, if it is a terminal.

The run happens in this process and tells how far it is through Python's logging, as it tells its own log in Dagster.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from writeback_pipeline.delivery.activity import PROGRESS

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def delivery_bar(windows: int) -> Iterator[Callable[[], None]]:
    """Bars for so many windows; what is yielded is called when one is finished."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        of_windows = progress.add_task("Windows", total=windows)
        listener = _Listener(progress, progress.add_task("Tasks", total=None))
        logger = logging.getLogger(PROGRESS)
        level = logger.level
        logger.addHandler(listener)
        logger.setLevel(logging.INFO)
        try:
            yield lambda: progress.advance(of_windows)
        finally:
            logger.setLevel(level)
            logger.removeHandler(listener)


class _Listener(logging.Handler):
    """Moves the bar of Tasks as a run tells how far it is."""

    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        super().__init__()
        self._progress = progress
        self._task = task

    def emit(self, record: logging.LogRecord) -> None:
        """Take the window, and how many of its Tasks are done, from the record's own arguments."""
        assert isinstance(record.args, tuple)
        window, done, total, _ = record.args
        self._progress.update(self._task, description=f"Tasks of {window}", completed=done, total=total)  # type: ignore[arg-type]
