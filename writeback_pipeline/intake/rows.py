"""What every reader yields: one row of texts with the line it stands on; and a file that gives no rows at all.

What the texts mean is decided by `writeback_pipeline.domain.intake`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from writeback_pipeline.domain.trouble import Trouble


class UnreadableFile(Trouble, ValueError):
    """The file as a whole cannot be taken: not there, of another form, wrong columns. Says what to do."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as the file has it; an absent value is an empty text.

    `line` is the first line of the row, counted from 1; in a Parquet file the row itself. `problems` are those of
    form, found while reading.
    """

    line: int
    values: Mapping[str, str]
    problems: tuple[str, ...] = ()
