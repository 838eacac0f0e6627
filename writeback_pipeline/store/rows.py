"""How a row of `writebacks` becomes a Writeback. Which rows, and in what order, is the callers' business."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import partial
from typing import Any

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.undoing import UNDONE
from writeback_pipeline.domain.writebacks import MISDATED, OPEN_STATUSES, FlagResult, Kind, Status, Writeback
from writeback_pipeline.store.session import all_in_utc

NAMES = Writeback._fields
"""The columns of a Writeback, in the order of its fields."""

INSTANTS = ("occurred_at", "window_start", "window_end", "next_attempt_at", "created_at", "written_at")
"""Those of them that are instants."""


def _by_text(members: type[StrEnum]) -> Callable[[Any], Any]:
    """A look-up, several times faster than calling the enum; what is empty stays empty."""
    by_text: dict[str | None, StrEnum | None] = {None: None, **{member.value: member for member in members}}
    return by_text.__getitem__


READ_KIND, READ_STATUS, READ_FLAG_RESULT = _by_text(Kind), _by_text(Status), _by_text(FlagResult)
READ_OBJECT_TYPE = _by_text(ObjectType)

_READ: dict[str, Callable[[Any], Iterable[Any]]] = {
    "kind": partial(map, READ_KIND),
    "object_type": partial(map, READ_OBJECT_TYPE),
    "status": partial(map, READ_STATUS),
    "flag_result": partial(map, READ_FLAG_RESULT),
    **dict.fromkeys(INSTANTS, all_in_utc),
}
"""How whole columns are read that are not taken as they come."""

NEEDS_A_PERSON = f"w.status = '{Status.FAILED}' AND coalesce(w.error_code, '') <> '{UNDONE}'"
"""What failed, in SQL, but for what somebody had taken back: that is as it should be."""

OPEN = ", ".join(f"'{status}'" for status in OPEN_STATUSES)
"""The statuses in which something is still owed, in SQL.

Just these rows have no `settled_at`; whatever changes a status keeps it so. DuckDB passes over the parts of the table
in which every row has one, however long the history is; it would read every status.
"""

IS_MISDATED = (
    "(w.occurred_at > w.created_at + INTERVAL '1 hour' OR w.occurred_at < TIMESTAMP '1990-01-01') "
    "AND w.kind IN ('unsubscribe', 'resubscribe')"
)
"""`Writeback.is_misdated`, of a table called `w`."""

SELECTED = {name: f"w.{name}" for name in NAMES} | {
    "advice": f"CASE WHEN {IS_MISDATED} THEN concat_ws(' ', w.advice, '{MISDATED}') ELSE w.advice END"
}
"""What each column of a table called `w` is selected as."""

WRITEBACK = ", ".join(SELECTED.values())
"""The same columns, as a statement selects them."""


def writebacks_from(rows: Iterable[Iterable[Any]]) -> list[Writeback]:
    """Rows selected as `WRITEBACK`, as values with aware instants."""
    columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
    if not columns:
        return []
    for name, read in _READ.items():
        position = NAMES.index(name)
        columns[position] = read(columns[position])
    return list(map(Writeback._make, zip(*columns, strict=True)))
