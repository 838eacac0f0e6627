"""Faults on demand: which are armed, for whom and how often, and whether one strikes now; in the organisation's file.

Every process that serves the organisation sees them. What a fault does when it strikes is decided where it acts.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from writeback_pipeline.local_org import ids, records
from writeback_pipeline.local_org.fault_kinds import KINDS, MATCHERS, OPERATIONS, Level
from writeback_pipeline.local_org.schema import OBJECTS


class FaultError(ValueError):
    """A fault that cannot be armed as it is described; the message says why and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An armed fault. Empty matchers match everything that the kind acts on; `options` are the kind's own, complete.

    `path` is a regular expression searched in path and query. Of the matching calls or rows every `every`-th is taken,
    and of these a share of `probability`, drawn from `seed`; `times` ends it after so many strikes. With
    `times_per_record` the share is one of records, each of which is struck so often.
    """

    kind: str
    path: str = "^/services/data/v"
    method: str = ""
    object: str = ""
    operation: str = ""
    record_id: str = ""
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    times: int | None = None
    times_per_record: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0

    @property
    def level(self) -> Level:
        """Where it acts."""
        return KINDS[self.kind].level


_COMMON = frozenset({"every", "probability", "seed", "times"})
_TYPES: dict[str, type | tuple[type, ...]] = {
    "path": str, "method": str, "object": str, "operation": str, "record_id": str, "every": int, "seed": int,
    "probability": (int, float), "times": int, "times_per_record": int,
}  # fmt: skip


def create_table(connection: sqlite3.Connection) -> None:
    """Make the table of armed faults."""
    connection.execute("CREATE TABLE IF NOT EXISTS _faults (id INTEGER PRIMARY KEY, described TEXT NOT NULL)")


def arm(connection: sqlite3.Connection, kind: str, /, **options: Any) -> Fault:
    """Arm a fault described by matchers, counts and the kind's own options, all optional; FaultError if they are wrong.

    Faults armed earlier strike first.
    """
    _check(kind, options)
    described = json.dumps({"kind": kind, **options})
    with records.atomic(connection):
        number = records.count(connection, "fault")
        connection.execute("INSERT INTO _faults VALUES (?, ?)", (number, described))
    return _read(number, described)


def takes_text(kind: str, name: str) -> bool:
    """Whether that option of that kind is a text; False for what nobody knows."""
    return _TYPES.get(name) is str or (kind in KINDS and isinstance(KINDS[kind].options.get(name), str))


def as_told(connection: sqlite3.Connection, fault: Fault) -> dict[str, Any]:
    """The fault as JSON shows it: what was said of it and its options, with `remaining` strikes (None: no end)."""
    described = asdict(fault)
    options: dict[str, Any] = described.pop("options")
    said = {name: value for name, value in described.items() if value not in ("", None)}
    return {**said, **options, "remaining": remaining(connection, fault)}


def armed(connection: sqlite3.Connection) -> tuple[Fault, ...]:
    """The faults that are armed, oldest first; those that have struck often enough among them."""
    return tuple(_read(*row) for row in connection.execute("SELECT id, described FROM _faults ORDER BY id"))


def remaining(connection: sqlite3.Connection, fault: Fault) -> int | None:
    """How often it will strike yet; None when there is no end to it."""
    return None if fault.times is None else fault.times - struck(connection, fault)


def struck(connection: sqlite3.Connection, fault: Fault) -> int:
    """How often it has struck so far."""
    return records.counted(connection, f"fault {fault.id} struck")


def injected(connection: sqlite3.Connection) -> dict[str, int]:
    """How often faults of each kind have struck since the last time that all were cleared."""
    rows = connection.execute("SELECT substr(prefix, 10), next FROM _numbers WHERE prefix LIKE 'injected %' ORDER BY 1")
    return dict(rows.fetchall())


def clear(connection: sqlite3.Connection, fault_id: int | None = None) -> int:
    """Disarm one fault, or all of them and forget how often they struck; how many there were."""
    with records.atomic(connection):
        if fault_id is None:
            connection.execute("DELETE FROM _numbers WHERE prefix LIKE 'fault %' OR prefix LIKE 'injected %'")
            return connection.execute("DELETE FROM _faults").rowcount
        connection.execute("DELETE FROM _numbers WHERE prefix LIKE ?", (f"fault {fault_id} %",))
        return connection.execute("DELETE FROM _faults WHERE id = ?", (fault_id,)).rowcount


def strikes(connection: sqlite3.Connection, fault: Fault, record_id: str = "") -> bool:
    """Whether a fault strikes the call or row that it matches now; counted even if the transaction is undone later."""
    struck = f"fault {fault.id} struck"
    with records.atomic(connection):
        met = records.count(connection, f"fault {fault.id} met")
        if fault.times is not None and records.counted(connection, struck) >= fault.times:
            return False
        by_record = fault.times_per_record is not None
        if met % fault.every or _drawn(fault.seed, record_id if by_record else str(met)) >= fault.probability:
            return False
        if fault.times_per_record is not None:
            if records.counted(connection, f"{struck} {record_id}") >= fault.times_per_record:
                return False
            records.count(connection, f"{struck} {record_id}")
        records.count(connection, struck)
        records.count(connection, f"injected {fault.kind}")
    return True


def _drawn(seed: int, what: str) -> float:
    """A number from 0 up to 1 that depends on nothing but the seed and what is drawn for."""
    return int.from_bytes(hashlib.blake2b(f"{seed} {what}".encode(), digest_size=7).digest()) / 2**56


@lru_cache(maxsize=256)
def _read(number: int, described: str) -> Fault:
    given: dict[str, Any] = json.loads(described)
    kind = given.pop("kind")
    defaults = KINDS[kind].options
    options = {name: given.pop(name, default) for name, default in defaults.items()}
    return Fault(kind=kind, id=number, options=options, **given)


def _check(kind: str, options: Mapping[str, Any]) -> None:
    described = KINDS.get(kind)
    if described is None:
        raise FaultError(f"there is no fault {kind!r}; there are {', '.join(sorted(KINDS))}")
    known = described.options.keys() | _COMMON | MATCHERS[described.level]
    for name, value in options.items():
        if name not in known:
            raise FaultError(f"{kind} has no option {name!r}; it has {', '.join(sorted(known))}")
        wanted = _TYPES.get(name) or _type_of(described.options[name])
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise FaultError(f"{name} is not {value!r} but {_named(wanted)}")
    if options.get("every", 1) < 1 or not 0 <= options.get("probability", 1) <= 1:
        raise FaultError("every is at least 1, and probability from 0 to 1")
    _check_matchers(described.level, options)


def _check_matchers(level: Level, options: Mapping[str, Any]) -> None:
    if options.get("object", "") not in ("", *OBJECTS):
        raise FaultError(f"there is no object {options['object']!r}; there are {', '.join(OBJECTS)}")
    operations = OPERATIONS.get(level, ())
    if options.get("operation", "") not in ("", *operations):
        raise FaultError(f"there is no operation {options['operation']!r} here; there are {', '.join(operations)}")
    if "record_id" in options and ids.normalise(options["record_id"]) != options["record_id"]:
        raise FaultError(f"record_id is not {options['record_id']!r} but an id of 18 characters")
    try:
        re.compile(options.get("path", ""))
    except re.error as error:
        raise FaultError(f"path is not a regular expression: {error}") from None


def _type_of(default: Any) -> type | tuple[type, ...]:
    return (int, float) if isinstance(default, float) else type(default)


def _named(wanted: type | tuple[type, ...]) -> str:
    return "a number" if isinstance(wanted, tuple) else f"of type {wanted.__name__}"
