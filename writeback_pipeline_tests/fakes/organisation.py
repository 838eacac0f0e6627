"""An organisation in memory: what it holds is the truth that a simulation is judged by.

It answers as the gateway does, and refuses rows as Salesforce does. What goes wrong on the way is `misfortunes`' work.
"""

from base64 import b64decode
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from html import unescape

from writeback_pipeline.domain.activity import CREATE_ONLY_FIELDS, KEY_FIELD
from writeback_pipeline.domain.bulk import JobKind, JobStatus
from writeback_pipeline.domain.ledger import MAX_HOPS
from writeback_pipeline.domain.people import ObjectType, PersonRef, person_ref
from writeback_pipeline.domain.planning import OPT_OUT_FIELD
from writeback_pipeline.domain.records import (
    DELETIONS,
    PREVIEW,
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
from writeback_pipeline.salesforce.bulk_csv import JobFiles
from writeback_pipeline_tests.fakes.job_server import JobServer
from writeback_pipeline_tests.fakes.misfortunes import Fortune, Luck

ORGANISATION_ID = "00D000000000001AAA"
_PREFIXES = {NoteObject.NOTE.value: "002", NoteObject.CONTENT_NOTE.value: "069"}


@dataclass(slots=True)
class Record:
    """A Contact or Lead; `moved_to` is what it was converted to or merged into."""

    ref: PersonRef
    opted_out: bool = False
    account_id: str | None = None
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
    undone: bool = False


@dataclass(slots=True)
class TaskRecord:
    """A Task; `text` is what it says."""

    id: str
    key: str
    who: str
    text: str
    deleted: bool = False
    undone: bool = False
    touched_by_users: bool = False


@dataclass
class MemoryOrganisation:
    """Records, Notes, Tasks, key records and Bulk jobs, how many calls were made and rows written.

    `polls` are the calls that only asked how far a job was.
    """

    luck: Luck = field(default_factory=Fortune)
    rows_per_call: int = 1000
    records: dict[str, Record] = field(default_factory=dict)
    by_id: dict[str, NoteRecord] = field(default_factory=dict)
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    calls: int = 0
    polls: int = 0
    rows_written: int = 0
    _by_place: defaultdict[tuple[str, str], list[NoteRecord]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.job_server = JobServer(self.execute, self.luck)

    def person(self, object_type: ObjectType, *, opted_out: bool = False, account_id: str | None = None) -> PersonRef:
        """A new Contact or Lead."""
        prefix = {ObjectType.CONTACT: "003", ObjectType.LEAD: "00Q"}[object_type]
        ref = person_ref(object_type, f"{prefix}{len(self.records):012d}")
        self.records[ref.salesforce_id] = Record(ref, opted_out, account_id, touched_by_users=opted_out)
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
        for task in self.tasks.values():
            if task.who == id_ and not task.deleted:
                task.who = to

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
        return Gone("ENTITY_IS_DELETED") if record.deleted else Live(record.opted_out, record.account_id)

    def find_notes(
        self, keys: Sequence[tuple[str, str]], objects: Collection[NoteObject]
    ) -> dict[tuple[str, str], list[FoundNote]]:
        self._called()
        return {key: [_found(note) for note in self._by_place[key]] for key in keys}

    def find_key_records(self, keys: Sequence[str]) -> dict[str, str | None]:
        self._called()
        return {key: self.keys[key] for key in keys if key in self.keys}

    def key_record_ids(self, keys: Sequence[str]) -> dict[str, str]:
        self._called()
        return {key: key for key in keys if key in self.keys}  # a key record's id is its key here

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
        raise NotImplementedError("its Tasks have a field for their keys")

    def missing_notes(self, ids: Collection[str]) -> set[str]:
        self._called()
        return {id_ for id_ in ids if id_ not in self.by_id or self.by_id[id_].deleted}

    def batches(self, rows: Sequence[RowWrite]) -> list[tuple[int, ...]]:
        size = self.rows_per_call
        return [tuple(range(start, min(start + size, len(rows)))) for start in range(0, len(rows), size)]

    def call_ahead(self) -> None:
        """Nobody counts its calls."""

    def forgo_call(self) -> None:
        """None was reserved."""

    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        self.calls += 1
        self.rows_written += len(rows)
        return self.luck.write(rows, self.execute)

    def _called(self) -> None:
        self.calls += 1
        self.luck.read()

    def job_files(self) -> JobFiles:
        return JobFiles()

    def create_job(self, kind: JobKind) -> str:
        self.calls += 1
        return self.luck.step("create", lambda: self.job_server.create(kind))

    def upload_job(self, job_id: str, rows: Iterable[RowWrite]) -> None:
        self.calls += 1
        self.luck.step("upload", lambda: self.job_server.upload(job_id, rows))

    def close_job(self, job_id: str) -> None:
        self.calls += 1
        self.job_server.asked_to_close(job_id)
        self.rows_written += len(self.job_server.jobs[job_id].rows)
        self.luck.step("close", lambda: self.job_server.close(job_id))

    def abort_job(self, job_id: str) -> None:
        self.calls += 1
        self.luck.step("abort", lambda: self.job_server.abort(job_id))

    def job_status(self, job_id: str) -> JobStatus:
        self.polls += 1
        self._called()
        return self.job_server.status(job_id)

    def unfinished_jobs(self) -> frozenset[str]:
        self._called()
        return self.job_server.unfinished()

    def job_results(self, status: JobStatus, rows: Iterable[RowWrite]) -> list[RowResult]:
        self._called()
        return self.job_server.results(status.job_id, rows)

    # What its servers do.

    def execute(self, row: RowWrite) -> RowResult:
        """Commit one row, or refuse it."""
        if row.operation in DELETIONS:
            return self._delete(row.record_id or "")
        about = row.fields.get("WhoId") if row.operation is Operation.UPSERT_TASK else row.record_id
        id_ = about or row.linked_to or row.fields["ParentId"]
        refusal = self._refusal(id_, row)
        if refusal is not None:
            return RowResult(Answer.REJECTED, code=refusal, message="refused")
        if row.operation is Operation.CREATE_NOTE:
            return RowResult(Answer.OK, record_id=self._note(id_, row))
        if row.operation is Operation.UPSERT_TASK:
            return self._task(row)
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
        note_id = f"{_PREFIXES[row.sobject]}{len(self.by_id):012d}AAA"
        text = row.fields["Body"] if "Body" in row.fields else plain(row.fields["Content"])
        note = self.by_id[note_id] = NoteRecord(note_id, parent, row.fields["Title"], text)
        self._by_place[parent, note.title].append(note)
        if row.record_key is not None:
            self.keys[row.record_key] = note_id
        return note_id

    def _task(self, row: RowWrite) -> RowResult:
        """Create the Task of that key, or revise the one that there is."""
        key = row.external_id[1] if row.external_id else row.fields[KEY_FIELD]
        there = self.tasks.get(row.record_id or "")
        if there is None:
            there = next((each for each in self.tasks.values() if each.key == key and not each.deleted), None)
        if there is None or there.deleted:
            if row.record_id is not None:
                return RowResult(Answer.REJECTED, code="ENTITY_IS_DELETED", message="entity is deleted")
            there = TaskRecord(f"00T{len(self.tasks):012d}AAA", key, "", "")
            self.tasks[there.id] = there
        elif not row.fields.keys().isdisjoint(CREATE_ONLY_FIELDS):
            message = f"cannot update {CREATE_ONLY_FIELDS[0]}"
            return RowResult(Answer.REJECTED, code="INVALID_FIELD_FOR_INSERT_UPDATE", message=message)
        there.who, there.text = row.fields["WhoId"], row.fields["Description"]
        return RowResult(Answer.OK, record_id=there.id)

    def _delete(self, id_: str) -> RowResult:
        """Delete a Note, a Task or a key record, as only an undo does."""
        there = self.by_id.get(id_) or self.tasks.get(id_)
        if there is not None and not there.deleted:
            there.deleted = there.undone = True
        elif self.keys.pop(id_, None) is None:
            return RowResult(Answer.REJECTED, code="ENTITY_IS_DELETED", message="entity is deleted")
        return RowResult(Answer.OK, record_id=id_)

    def ancestors(self, id_: str) -> Iterator[str]:
        """The record and all that became it."""
        return (each for each in self.records if self.end_of(each) == id_)


def _found(note: NoteRecord) -> FoundNote:
    """Of a ContentNote only how it begins is read."""
    is_whole = note.id.startswith(_PREFIXES[NoteObject.NOTE.value])
    return FoundNote(note.id, note.title, note.body if is_whole else " ".join(note.body.split())[:PREVIEW])


def plain(content: str) -> str:
    """What a ContentNote says."""
    text = b64decode(content).decode().removeprefix("<p>").removesuffix("</p>")
    return unescape(text.replace("<br>", "\n"))
