"""How a row of `writebacks` becomes a Writeback. Which rows, and in what order, is the callers' business."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import Any

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback
from writeback_pipeline.store.session import in_utc

_NAMES = tuple(field.name for field in fields(Writeback))

_INSTANTS = ("occurred_at", "window_start", "window_end", "next_attempt_at", "created_at", "written_at")

_READ: dict[str, Callable[[Any], Any]] = {
    "kind": Kind,
    "object_type": ObjectType,
    "status": Status,
    "flag_result": lambda text: None if text is None else FlagResult(text),
    **dict.fromkeys(_INSTANTS, in_utc),
}

_READ_AT = [(_NAMES.index(name), read) for name, read in _READ.items()]

WRITEBACK = ", ".join(f"w.{name}" for name in _NAMES)
"""The columns of a Writeback, of a table called `w`, in the order of its fields."""


def writebacks_from(rows: Iterable[Iterable[Any]]) -> list[Writeback]:
    """Rows selected as `WRITEBACK`, as values with aware instants."""
    writebacks = []
    for row in rows:
        values = list(row)
        for position, read in _READ_AT:
            values[position] = read(values[position])
        writebacks.append(Writeback(*values))
    return writebacks
