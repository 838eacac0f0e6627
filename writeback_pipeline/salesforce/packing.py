"""How row writes are put into collections and graphs, and those into calls, so that a thousand rows cost few of them.

Pure. Which rows are written, and in which order, is the caller's plan.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from writeback_pipeline.domain.people import normalise_id
from writeback_pipeline.domain.records import DELETIONS, RowWrite
from writeback_pipeline.salesforce.calls import MAX_COLLECTIONS, Request
from writeback_pipeline.salesforce.graphs import MAX_GRAPHS, Graphs
from writeback_pipeline.salesforce.key_records import Pair

MAX_ROWS = 200
MAX_TYPE_RUNS = 10

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Collection:
    """Rows that travel together; `positions` are theirs in the sequence that was packed, one run per object.

    `alone` is set where a composite would misread their text.
    """

    method: str
    path: str
    alone: bool
    positions: tuple[int, ...]

    def request(self, rows: Sequence[RowWrite]) -> Request:
        """The collection's request; a row that fails leaves its neighbours alone."""
        if self.method == "DELETE":
            ids = ",".join(normalise_id(rows[position].record_id or "") for position in self.positions)
            return Request(self.method, f"{self.path}?ids={ids}&allOrNone=false")
        records = [_record(rows[position]) for position in self.positions]
        return Request(self.method, self.path, {"allOrNone": False, "records": records})


Part = Collection | Graphs | Pair
"""What a call carries: collections together or alone, graphs, or a note and its key record."""


@dataclass(slots=True)
class _Open:
    method: str
    path: str
    alone: bool
    positions: list[int] = field(default_factory=list)
    objects: set[str] = field(default_factory=set)

    def has_room_for(self, row: RowWrite) -> bool:
        takes_object = row.sobject in self.objects or len(self.objects) < MAX_TYPE_RUNS
        return len(self.positions) < MAX_ROWS and takes_object


def pack(rows: Sequence[RowWrite]) -> list[Collection]:
    """Every row in one collection, but those of several records: one kind of write in order, by their first row.

    Inside a collection rows are sorted by object, as Salesforce works in runs of one object and takes only a few.
    """
    latest: dict[tuple[str, str, bool], _Open] = {}
    opened: list[_Open] = []
    for position, row in enumerate(rows):
        if _has_companions(row):
            continue
        kind = (*_endpoint(row), _looks_like_a_reference(row))
        current = latest.get(kind)
        if current is None or not current.has_room_for(row):
            current = latest[kind] = _Open(*kind)
            opened.append(current)
        current.positions.append(position)
        current.objects.add(row.sobject)
    return [_closed(each, rows) for each in opened]


def pack_calls(rows: Sequence[RowWrite]) -> list[list[Part]]:
    """The parts of each call, calls in the order in which they are to be made: what travels alone last."""
    collections = pack(rows)
    together = [collection for collection in collections if not collection.alone]
    several = [position for position, row in enumerate(rows) if _has_companions(row)]
    pairs = [
        position for position in several if rows[position].linked_to is None and _looks_like_a_reference(rows[position])
    ]
    linked = [position for position in several if position not in set(pairs)]
    shared: list[list[Part]] = [
        [*together[start : start + MAX_COLLECTIONS]] for start in range(0, len(together), MAX_COLLECTIONS)
    ]
    alone: list[list[Part]] = [[collection] for collection in collections if collection.alone]
    graphs: list[list[Part]] = [
        [Graphs(tuple(linked[start : start + MAX_GRAPHS]))] for start in range(0, len(linked), MAX_GRAPHS)
    ]
    return shared + alone + graphs + [[Pair((position,))] for position in pairs]


def batches(rows: Sequence[RowWrite]) -> list[tuple[int, ...]]:
    """The rows' positions, grouped so that writing one group costs one call; groups in the order to write them."""
    return [tuple(sorted(position for part in parts for position in part.positions)) for parts in pack_calls(rows)]


def _endpoint(row: RowWrite) -> tuple[str, str]:
    if row.external_id is not None:
        key_field = row.external_id[0]
        if not (_NAME.fullmatch(row.sobject) and _NAME.fullmatch(key_field)):
            raise ValueError(f"{row.sobject!r} and {key_field!r} must be the API names of an object and its field")
        return "PATCH", f"composite/sobjects/{row.sobject}/{key_field}"
    if row.operation in DELETIONS:
        return "DELETE", "composite/sobjects"
    return ("POST" if row.record_id is None else "PATCH"), "composite/sobjects"


def _has_companions(row: RowWrite) -> bool:
    return row.linked_to is not None or row.record_key is not None


def _looks_like_a_reference(row: RowWrite) -> bool:
    # A composite takes "@{name.field}" anywhere in it for a value of an earlier answer, and there is no way to escape
    # it: one such reason would fail all rows that travel with it.
    for text in (*row.fields.values(), *(row.external_id or ()), row.record_key):
        if isinstance(text, str) and "@{" in text:
            return True
    return False


def _closed(each: _Open, rows: Sequence[RowWrite]) -> Collection:
    by_object = sorted(each.positions, key=lambda position: rows[position].sobject)
    return Collection(each.method, each.path, each.alone, tuple(by_object))


def _record(row: RowWrite) -> dict[str, object]:
    record: dict[str, object] = {"attributes": {"type": row.sobject}}
    if row.record_id is not None:
        record["id"] = row.record_id
    if row.external_id is not None:
        key_field, value = row.external_id
        record[key_field] = value
    return record | dict(row.fields)
