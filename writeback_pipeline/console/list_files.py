"""The Writeback List as a file, written while it is read: a list of any length takes the memory of a few thousand rows.

Columns and forms are those of `writebacks list`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO

from writeback_pipeline.console.ports import Ledger
from writeback_pipeline.csv_cells import write_rows
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Writeback

AT_ONCE = 10_000
"""Rows read in one transaction: each reading has to find its rows among all, and keeps writers out meanwhile."""


@dataclass(frozen=True, slots=True)
class FileKind:
    """A form that a list can be written in."""

    media_type: str
    write: Callable[[Ledger, Sequence[int]], Iterator[str]]


def _filters(ids: Sequence[int]) -> Iterator[WritebackFilter]:
    for start in range(0, len(ids), AT_ONCE):
        yield WritebackFilter(ids=tuple(ids[start : start + AT_ONCE]))


def _csv(ledger: Ledger, ids: Sequence[int]) -> Iterator[str]:
    yield ",".join(Writeback._fields) + "\n"
    for only in _filters(ids):
        text = StringIO()
        write_rows(text, ledger.listing_values(only))
        yield text.getvalue()


def _json(ledger: Ledger, ids: Sequence[int]) -> Iterator[str]:
    yield "["
    between = ""
    for only in _filters(ids):
        objects = ledger.listing_json(only)
        if objects:
            yield between + ",\n ".join(objects)
            between = ",\n "
    yield "]\n"


FILES = {
    "csv": FileKind("text/csv; charset=utf-8", _csv),
    "json": FileKind("application/json", _json),
}
"""By a file name's ending."""
