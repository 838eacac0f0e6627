"""How a row of `writebacks` becomes a Writeback. Which rows, and in what order, is the callers' business."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from enum import StrEnum
from typing import Any

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback
from writeback_pipeline.store.session import in_utc

_NAMES = tuple(field.name for field in fields(Writeback))

_INSTANTS = ("occurred_at", "window_start", "window_end", "next_attempt_at", "created_at", "written_at")


def _by_text(members: type[StrEnum]) -> Callable[[Any], Any]:
    """A look-up, several times faster than calling the enum; what is empty stays empty."""
    by_text: dict[str | None, StrEnum | None] = {None: None, **{member.value: member for member in members}}
    return by_text.__getitem__


_READ: dict[str, Callable[[Any], Any]] = {
    "kind": _by_text(Kind),
    "object_type": _by_text(ObjectType),
    "status": _by_text(Status),
    "flag_result": _by_text(FlagResult),
    **dict.fromkeys(_INSTANTS, in_utc),
}

WRITEBACK = ", ".join(f"w.{name}" for name in _NAMES)
"""The columns of a Writeback, of a table called `w`, in the order of its fields."""


def writebacks_from(rows: Iterable[Iterable[Any]]) -> list[Writeback]:
    """Rows selected as `WRITEBACK`, as values with aware instants."""
    columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
    if not columns:
        return []
    for name, read in _READ.items():
        position = _NAMES.index(name)
        columns[position] = map(read, columns[position])
    return list(map(Writeback, *columns))
