"""Reading a long file in front of somebody: a bar on standard error, once it takes long and if it is a terminal."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from writeback_pipeline.domain.writebacks import Change
from writeback_pipeline.intake.changes import NONE_TAKEN, BadLine, open_rows, rows_of, sort_out
from writeback_pipeline.intake.rows import RawRow

LONG = 10_000
"""Rows after which a file is long."""


def read_with_progress(
    path: Path, received_at: datetime, taken: Mapping[str, str] = NONE_TAKEN
) -> tuple[list[Change], list[BadLine]]:
    """What `sort_out` makes of the file, with a progress bar where there is somebody to see it."""
    with open_rows(path) as file, _rows(path, file) as rows:
        return sort_out(rows, received_at, taken)


@contextmanager
def _rows(path: Path, file: BinaryIO) -> Iterator[Iterator[RawRow]]:
    if not sys.stderr.isatty():
        yield rows_of(path, file)
        return
    from rich.console import Console
    from rich.progress import Progress

    progress = Progress(console=Console(stderr=True), transient=True)
    watched = progress.wrap_file(file, total=path.stat().st_size, description=f"Reading {path.name}")

    def shown_when_long() -> Iterator[RawRow]:
        for number, row in enumerate(rows_of(path, watched), start=1):
            if number == LONG:
                progress.start()
            yield row

    try:
        yield shown_when_long()
    finally:
        progress.stop()
