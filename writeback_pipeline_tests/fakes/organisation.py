"""An organisation in memory: what it holds is the truth that a simulation is judged by.

It answers as the gateway does, and refuses rows as Salesforce does. What goes wrong on the way is `misfortunes`' work.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from writeback_pipeline.domain.ledger import MAX_HOPS
from writeback_pipeline.domain.people import ObjectType, PersonRef, person_ref
from writeback_pipeline.domain.planning import OPT_OUT_FIELD
from writeback_pipeline.domain.records import (
    Answer,
    ApiUsage,
    FoundNote,
    Gone,
    Held,
    Live,
    Moved,
    Operation,
    RowResult,
    RowWrite,
)
from writeback_pipeline.domain.settings import NoteObject
from writeback_pipeline_tests.fakes.misfortunes import Fortune, Luck

ORGANISATION_ID = "00D000000000001AAA"


@dataclass(slots=True)
class Record:
    """A Contact or Lead; `moved_to` is what it was converted to or merged into."""

    ref: PersonRef
    opted_out: bool = False
    deleted: bool = False
    moved_to: PersonRef | None = None
    touched_by_users: bool = False
    was_deleted: bool = False
    set_by_us: bool = False


@dataclass(slots=True)
class NoteRecord:
    """A Note; one in the recycle bin is still there to be found."""

    id: str
    parent: str
    title: str
    body: str
    deleted: bool = False


@dataclass
class MemoryOrganisation:
    """Records, Notes and key records, how many calls were made, and what is still under way inside the servers."""

    luck: Luck = field(default_factory=Fortune)
    rows_per_call: int = 1000
    records: dict[str, Record] = field(default_factory=dict)
    by_id: dict[str, NoteRecord] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    rows_written: int = 0
    _by_place: defaultdict[tuple[str, str], list[NoteRecord]] = field(default_factory=lambda: defaultdict(list))

    def person(self, object_type: ObjectType, *, opted_out: bool = False) -> PersonRef:
        """A new Contact or Lead."""
        prefix = {ObjectType.CONTACT: "003", ObjectType.LEAD: "00Q"}[object_type]
        ref = person_ref(object_type, f"{prefix}{len(self.records):012d}")
        self.records[ref.salesforce_id] = Record(ref, opted_out, touched_by_users=opted_out)
        return ref

    # What users do.

    def edit(self, id_: str, *, opted_out: bool) -> None:
        record = self.records[id_]
        if self._is_live(id_):
            record.opted_out, record.touched_by_users = opted_out, True

    def move(self, id_: str, to: str, *, take_flag: bool) -> None:
        """Merge a record into another of its object, or convert a Lead to a Contact; its Notes go along."""
        record, target = self.records[id_], self.records[to]
        if not (self._is_live(id_) and self._is_live(to)) or id_ == to:
            return
        record.moved_to = target.ref
        record.deleted = record.ref.object_type is target.ref.object_type
        target.touched_by_users = True
        if take_flag:
            target.opted_out = target.opted_out or record.opted_out
        target.set_by_us = target.set_by_us or record.set_by_us
        for note in self.by_id.values():
            if note.parent == id_ and not note.deleted:
                self._by_place[id_, note.title].remove(note)
                self._by_place[to, note.title].append(note)
                note.parent = to

    def delete(self, id_: str) -> None:
        if self._is_live(id_):
            self.records[id_].deleted = self.records[id_].was_deleted = True

    def undelete(self, id_: str) -> None:
        record = self.records[id_]
        record.deleted = record.moved_to is not None and record.deleted

    def end_of(self, id_: str) -> str:
        """Where a person's record is now."""
        while (to := self.records[id_].moved_to) is not None:
            id_ = to.salesforce_id
        return id_

    def _is_live(self, id_: str) -> bool:
        return not self.records[id_].deleted and self.records[id_].moved_to is None

    # What delivery asks.

    @property
    def organisation_id(self) -> str:
        return ORGANISATION_ID

    @property
    def usage(self) -> ApiUsage:
        return ApiUsage(self.calls)

    def look(self, people: Sequence[PersonRef]) -> dict[str, Held]:
        self._called()
        return {person.salesforce_id: self._held(person.salesforce_id) for person in people}

    def _held(self, id_: str) -> Held:
        record = self.records.get(id_)
        if record is None:
            return Gone("NOT_FOUND")
        if record.moved_to is not None:
            return Moved(record.moved_to)
        return Gone("ENTITY_IS_DELETED") if record.deleted else Live(record.opted_out)

    def find_notes(
        self, keys: Sequence[tuple[str, str]], objects: Collection[NoteObject]
    ) -> dict[tuple[str, str], list[FoundNote]]:
        self._called()
        return {key: [FoundNote(note.id, note.title, note.body) for note in self._by_place[key]] for key in keys}

    def find_key_records(self, keys: Sequence[str]) -> dict[str, str | None]:
        self._called()
        return {key: self.keys[key] for key in keys if key in self.keys}

    def predecessors(self, people: Sequence[PersonRef]) -> dict[str, PersonRef]:
        self._called()
        moves: dict[str, PersonRef] = {}
        asked = {person.salesforce_id for person in people}
        for _ in range(MAX_HOPS):
            found = {
                id_: to for id_, each in self.records.items() if (to := each.moved_to) and to.salesforce_id in asked
            }
            asked = found.keys() - moves.keys()
            moves |= found
        return moves

    def find_tasks(self, keys: Sequence[tuple[str, str]], first: date, last: date) -> Mapping[str, str]:
        raise NotImplementedError("opt-outs have no Tasks")

    def missing_notes(self, ids: Collection[str]) -> set[str]:
        self._called()
        return {id_ for id_ in ids if id_ not in self.by_id or self.by_id[id_].deleted}

    def batches(self, rows: Sequence[RowWrite]) -> list[tuple[int, ...]]:
        size = self.rows_per_call
        return [tuple(range(start, min(start + size, len(rows)))) for start in range(0, len(rows), size)]

    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        self.calls += 1
        self.rows_written += len(rows)
        return self.luck.write(rows, self.execute)

    def _called(self) -> None:
        self.calls += 1
        self.luck.read()

    # What its servers do.

    def execute(self, row: RowWrite) -> RowResult:
        """Commit one row, or refuse it."""
        id_ = row.record_id or row.linked_to or row.fields["ParentId"]
        refusal = self._refusal(id_, row)
        if refusal is not None:
            return RowResult(Answer.REJECTED, code=refusal, message="refused")
        if row.operation is Operation.CREATE_NOTE:
            return RowResult(Answer.OK, record_id=self._note(id_, row))
        record = self.records[id_]
        record.opted_out = row.fields[OPT_OUT_FIELD]
        record.set_by_us = record.set_by_us or record.opted_out
        return RowResult(Answer.OK, record_id=id_)

    def _refusal(self, id_: str, row: RowWrite) -> str | None:
        record = self.records.get(id_)
        if record is None:
            return "INVALID_CROSS_REFERENCE_KEY"
        if record.deleted:
            return "ENTITY_IS_DELETED"
        if record.moved_to is not None:
            return "CANNOT_UPDATE_CONVERTED_LEAD"
        return "DUPLICATE_VALUE" if row.record_key in self.keys else None

    def _note(self, parent: str, row: RowWrite) -> str:
        note_id = f"002{len(self.by_id):012d}AAA"
        text = row.fields.get("Body", row.fields.get("Content", ""))
        note = self.by_id[note_id] = NoteRecord(note_id, parent, row.fields["Title"], text)
        self._by_place[parent, note.title].append(note)
        if row.record_key is not None:
            self.keys[row.record_key] = note_id
        return note_id

    def ancestors(self, id_: str) -> Iterator[str]:
        """The record and all that became it."""
        return (each for each in self.records if self.end_of(each) == id_)
