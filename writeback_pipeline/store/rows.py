"""How a row of `writebacks` becomes a Writeback. Which rows, and in what order, is the callers' business."""

from collections.abc import Iterable
from typing import Any

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback
from writeback_pipeline.store.session import in_utc

_FIELDS = tuple(Writeback.__dataclass_fields__)

WRITEBACK = ", ".join(f"w.{name}" for name in _FIELDS)
"""The columns of a Writeback, from a table called `w`, in the order of its fields."""


def writebacks_from(rows: Iterable[tuple[Any, ...]]) -> list[Writeback]:
    """Rows selected as `WRITEBACK`, as values with aware instants."""
    return [_writeback(*row) for row in rows]
