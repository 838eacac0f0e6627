"""What the Writeback List shows: a page of it, how much there is by status and error, and one row with all its traces.

Values and what follows from them alone; which rows a filter shows is the store's work.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from writeback_pipeline.domain.ledger import Attempt, OperatorAction, WritebackFilter
from writeback_pipeline.domain.story import Move
from writeback_pipeline.domain.undoing import UNDONE, is_taken_back
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback

_VERSION_DIGITS = 12


class Position(NamedTuple):
    """A place in the list: right beside the row with this time and id, whether or not it is still there."""

    occurred_at: datetime
    id: int


@dataclass(frozen=True, slots=True)
class Page:
    """Neighbouring rows, newest first. From the places `newer` and `older` the list goes on; None at its ends."""

    rows: tuple[Writeback, ...]
    newer: Position | None
    older: Position | None


class Cell(NamedTuple):
    """How many rows have this status and error code."""

    status: Status
    error_code: str | None
    rows: int


class Trouble(NamedTuple):
    """Rows of this status, error code and kind that are not written yet; the one queued last has the id `newest`."""

    status: Status
    error_code: str | None
    kind: Kind
    rows: int
    newest: int
    last_event_at: datetime
    next_attempt_at: datetime | None


class Became(NamedTuple):
    """How many rows have this status and flag result; from `due_at` on the first of them may be tried, if owed."""

    status: Status
    flag_result: FlagResult | None
    rows: int
    due_at: datetime


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Rows of one status that one error keeps from being written; the advice is that of the one queued last, whose id
    is `newest`."""

    status: Status
    error_code: str | None
    count: int
    kinds: tuple[Kind, ...]
    last_event_at: datetime
    next_attempt_at: datetime | None
    newest: int
    advice: str | None


@dataclass(frozen=True, slots=True)
class OpenedWriteback:
    """One row with all its traces: attempts in the order of the journal, when which of them was read back, what people
    did about it, and how its person moved from the record that the platform named to the one it is now."""

    writeback: Writeback
    attempts: tuple[Attempt, ...]
    read_back: dict[int, datetime]
    actions: tuple[OperatorAction, ...]
    moves: tuple[Move, ...]


NEEDS_A_PERSON = (Status.FAILED,)
WAITS = (Status.WAITING, Status.UNKNOWN)
UNDER_WAY = (Status.PENDING, Status.SENDING)


@dataclass(frozen=True, slots=True)
class Tally:
    """All rows of a filter but for the statuses and error codes that it asks for, counted; `advice` by a row's id.

    `troubles` are told of statuses in which somebody looks for the cause.
    """

    cells: tuple[Cell, ...]
    troubles: tuple[Trouble, ...]
    advice: Mapping[int, str | None]

    def total(self, only: WritebackFilter) -> int:
        """How many rows the filter shows, its statuses and error codes included."""
        return sum(
            cell.rows
            for cell in self.cells
            if (not only.statuses or cell.status in only.statuses)
            and (not only.error_codes or cell.error_code in only.error_codes)
        )

    def by_status(self) -> dict[Status, int]:
        """How many rows have each status; a status that none has is missing."""
        return sum((Counter({cell.status: cell.rows}) for cell in self.cells), Counter())

    def error_groups(self, statuses: Sequence[Status]) -> list[ErrorGroup]:
        """What has one of these statuses, grouped by error: in the order of the statuses, the greatest group first.

        What was taken back on purpose is no error; `taken_back` tells of it.
        """
        groups: dict[tuple[Status, str | None], list[Trouble]] = {}
        for each in self.troubles:
            if each.status in statuses and not is_taken_back(each.status, each.error_code):
                groups.setdefault((each.status, each.error_code), []).append(each)
        found = [self._group(status, code, theirs) for (status, code), theirs in groups.items()]
        return sorted(found, key=lambda group: (statuses.index(group.status), -group.count, group.error_code or ""))

    def taken_back(self) -> list[ErrorGroup]:
        """What was taken back on purpose, as one group; none where there is nothing of it."""
        theirs = [each for each in self.troubles if is_taken_back(each.status, each.error_code)]
        return [self._group(Status.FAILED, UNDONE, theirs)] if theirs else []

    def _group(self, status: Status, code: str | None, troubles: Sequence[Trouble]) -> ErrorGroup:
        newest = max(each.newest for each in troubles)
        return ErrorGroup(
            status=status,
            error_code=code,
            count=sum(each.rows for each in troubles),
            kinds=tuple(kind for kind in Kind if any(each.kind is kind for each in troubles)),
            last_event_at=max(each.last_event_at for each in troubles),
            next_attempt_at=min((each.next_attempt_at for each in troubles if each.next_attempt_at), default=None),
            newest=newest,
            advice=self.advice.get(newest),
        )


def version_of(row: Writeback) -> str:
    """What tells whether a row is still as somebody saw it: it changes when anybody deals with the row."""
    state = (row.status, row.attempts, row.next_attempt_at, row.error_code, row.error_message, row.run_id, row.note_id)
    return hashlib.sha256(repr(state).encode()).hexdigest()[:_VERSION_DIGITS]
