"""The Writeback List's address: what of it is the filter, which place in the list it names, and how it is changed.

The address holds everything, so that it can be kept, sent and gone back to. Parts that mean nothing are told, and
never left out silently: another list than the one asked for would be shown.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from starlette.exceptions import HTTPException

from writeback_pipeline.console.visits import Visit
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.listing import ErrorGroup, Position
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Kind, Status, utc_text

LIST = "/writebacks"

Pairs = tuple[tuple[str, str], ...]

_PLACES = ("older", "newer")
_LABELS = {
    "status": "Status",
    "kind": "Kind",
    "object": "Object",
    "text": "Search",
    "person": "Person",
    "error_code": "Error",
    "from": "From",
    "to": "To",
    "run": "Run",
}
"""The names of the filter's parts in the address, and what a reader calls them."""

_LONGEST = 200
"""Characters of a part that are looked at."""

_Member = TypeVar("_Member", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Chip:
    """One part of the filter, and the address without it."""

    label: str
    value: str
    without: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list as the address at `path` asks for it. `pairs` are the parts of the filter; `problems` say what means
    nothing."""

    pairs: Pairs
    only: WritebackFilter
    older: Position | None
    newer: Position | None
    problems: tuple[str, ...]
    path: str = LIST

    def address(self, path: str = "", **more: str) -> str:
        """The address of the same filter, from its first page."""
        return _address(path or self.path, (*self.pairs, *more.items()))

    def beside(self, place: Position, name: str) -> str:
        """The address of the page that begins `older` or `newer` than a place."""
        return self.address(**{name: f"{utc_text(place.occurred_at)}_{place.id}"})

    def having(self, name: str, *values: str) -> str:
        """The address of the same filter with these values of one part in place of what it asks for."""
        rest = (pair for pair in self.pairs if pair[0] != name)
        return _address(self.path, (*rest, *((name, value) for value in values)))

    def group_address(self, group: ErrorGroup, path: str = "") -> str:
        """The address of the rows of an error group, within the rest of the filter."""
        rest = (pair for pair in self.pairs if pair[0] not in ("status", "error_code"))
        code = (("error_code", group.error_code),) if group.error_code else ()
        return _address(path or self.path, (*rest, ("status", group.status.value), *code))

    def values(self, name: str) -> tuple[str, ...]:
        """What the filter asks for of one part."""
        return tuple(value for part, value in self.pairs if part == name)

    def value(self, name: str) -> str:
        """The first of them; empty when there is none."""
        return next(iter(self.values(name)), "")

    def chips(self) -> list[Chip]:
        """The parts of the filter, each with the way to leave it out."""
        return [
            Chip(_LABELS[name], value.replace("_", " ") if name == "status" else value, self._without((name, value)))
            for name, value in self.pairs
        ]

    def _without(self, pair: tuple[str, str]) -> str:
        return _address(self.path, (each for each in self.pairs if each != pair))


def understood(visit: Visit) -> ListQuery:
    """The list that a request asks for; one that means nothing is refused."""
    query = query_of(visit, visit.ports.ledger.settings().zone)
    if query.problems:
        raise HTTPException(400, " ".join(query.problems))
    return query


def query_of(visit: Visit, zone: ZoneInfo) -> ListQuery:
    """The list that a request asks for, whatever it means."""
    return read_query(visit.request.query_params.multi_items(), zone, visit.at(LIST))


def read_query(parts: Iterable[tuple[str, str]], zone: ZoneInfo, path: str = LIST) -> ListQuery:
    """The list that the parts of an address ask for; days begin and end in that zone."""
    found = {name: value.strip() for name, value in parts if name in _PLACES and value.strip()}
    pairs = tuple(dict.fromkeys((name, value.strip()) for name, value in parts if name in _LABELS and value.strip()))
    problems = [f"“{value[:50]}…” is too long to look for." for _, value in pairs if len(value) > _LONGEST]

    def values(name: str) -> tuple[str, ...]:
        return tuple(value for part, value in pairs if part == name)

    def members(name: str, vocabulary: type[_Member]) -> tuple[_Member, ...]:
        known = {member.value: member for member in vocabulary}
        strange = [value for value in values(name) if value not in known]
        problems.extend(f"There is no {_LABELS[name].lower()} “{value}”." for value in strange)
        return tuple(known[value] for value in values(name) if value in known)

    def day(name: str) -> datetime | None:
        for value in values(name)[-1:]:
            try:
                return datetime.combine(date.fromisoformat(value), time(), zone).astimezone(UTC)
            except (ValueError, OverflowError):
                problems.append(f"“{value}” is no day: write it as 2026-11-23.")
        return None

    def place(name: str) -> Position | None:
        matched = re.fullmatch(r"([0-9T:.-]{10,26}Z)_([0-9]{1,18})", found.get(name, ""))
        if matched is None:
            return None
        try:
            return Position(datetime.fromisoformat(matched[1]), int(matched[2]))
        except ValueError:
            return None

    last = day("to")
    only = WritebackFilter(
        statuses=members("status", Status),
        kinds=members("kind", Kind),
        object_types=members("object", ObjectType),
        error_codes=values("error_code"),
        person=next(iter(values("person")), None),
        since=day("from"),
        until=None if last is None else _next_midnight(last, zone),
        run_id=next(iter(values("run")), None),
        text=next(iter(values("text")), None),
    )
    return ListQuery(pairs, only, place("older"), place("newer"), tuple(problems), path)


def _next_midnight(midnight: datetime, zone: ZoneInfo) -> datetime:
    """Days are 23 or 25 hours long where a clock changes."""
    local = midnight.astimezone(zone)
    return datetime.combine(local.date() + timedelta(days=1), time(), zone).astimezone(UTC)


def _address(path: str, pairs: Iterable[tuple[str, str]]) -> str:
    query = urlencode(list(pairs))
    return f"{path}?{query}" if query else path
