"""A Salesforce organisation as delivery sees it: look people up, write rows, find Notes, count calls.

Puts the other rooms together. Nothing here retries: what an answer calls for is delivery's decision.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from functools import partial, wraps
from itertools import chain
from operator import itemgetter
from typing import Any, Concatenate, ParamSpec, TypeVar

from writeback_pipeline.domain.budget import CallAhead, CallGate
from writeback_pipeline.domain.bulk import JobKind, JobStatus
from writeback_pipeline.domain.findings import Finding
from writeback_pipeline.domain.ledger import MAX_HOPS
from writeback_pipeline.domain.people import (
    InvalidSalesforceId,
    ObjectType,
    PersonRef,
    normalise_id,
    object_type_of,
    person_ref,
)
from writeback_pipeline.domain.records import Answer, ApiUsage, FoundNote, Gone, Held, Operation, RowResult, RowWrite
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.domain.sync import SeenPerson
from writeback_pipeline.salesforce import changes, lookup
from writeback_pipeline.salesforce.bulk import BulkJobs
from writeback_pipeline.salesforce.bulk_csv import JobFiles
from writeback_pipeline.salesforce.bulk_query import BulkQueries
from writeback_pipeline.salesforce.calls import Calls, Request, soql_request
from writeback_pipeline.salesforce.connection import SalesforceConnection
from writeback_pipeline.salesforce.errors import UNREADABLE, CallFailed, unavailable
from writeback_pipeline.salesforce.key_records import found_keys, key_queries, live_records
from writeback_pipeline.salesforce.packing import batches
from writeback_pipeline.salesforce.preflight import examine
from writeback_pipeline.salesforce.reads import Reads
from writeback_pipeline.salesforce.session import CONNECT_SECONDS, READ_SECONDS, OrganisationSession, Ungated
from writeback_pipeline.salesforce.writes import Writes

_Asked = ParamSpec("_Asked")
_Answer = TypeVar("_Answer")
_Read = TypeVar("_Read")


def _piece_of_work(
    method: Callable[Concatenate["SalesforceOrganisation", _Asked], _Answer],
) -> Callable[Concatenate["SalesforceOrganisation", _Asked], _Answer]:
    """A method whose end the gate hears of."""

    @wraps(method)
    def work(self: "SalesforceOrganisation", /, *args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answer:
        with self._gate.work():
            answer = method(self, *args, **kwargs)
        self._hear_limits()
        return answer

    return work


class SalesforceOrganisation:
    """One organisation over its REST API. Logs in at the first call; time-outs in seconds; safe between threads.

    `gate` is asked before each call and hears how each piece of work ended.
    Everything raises OrganisationUnavailable for trouble that is not one row's: login, permission, quota, outage.
    """

    def __init__(
        self,
        connection: SalesforceConnection,
        gate: CallGate | None = None,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._connection = connection
        self._gate = gate or Ungated()
        self._limits_asked = False
        self._session = OrganisationSession(
            connection, self._gate, connect_seconds=connect_seconds, read_seconds=read_seconds
        )
        self._calls = Calls(connection, self._session)
        self._reads = Reads(self._calls)
        self._queries = BulkQueries(self._calls)
        self._writes = Writes(self._calls)
        self._bulk = BulkJobs(self._calls)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    @property
    def organisation_id(self) -> str:
        """The organisation's 18-character id, as its login answer names it."""
        self._gate.admit_login()
        with self._gate.work():
            return self._session.login().organisation_id

    @property
    def usage(self) -> ApiUsage:
        """API calls made so far and the organisation's own count."""
        return self._session.usage

    def call_ahead(self) -> CallAhead | None:
        """The call that this thread makes next, for the ledger to reserve with what it enters before; None where
        nobody counts."""
        return self._session.ahead()

    def forgo_call(self) -> None:
        """The call that was reserved ahead in this thread, if it was and was not made, is not made."""
        self._gate.forgo()

    def preflight(self, settings: WritebackSettings, pinned: str | None, now: datetime) -> list[Finding]:
        """What delivery under these settings would meet here: everything it needs, looked at without writing.

        `pinned` is the id of the organisation that the ledger belongs to, None while there is none. Never raises.
        """
        return examine(self._connection, self._session, self._calls, self._gate, settings, pinned, now)

    @_piece_of_work
    def look(self, people: Sequence[PersonRef]) -> dict[str, Held]:
        """What the organisation holds under each person's id, keyed by the 18-character id; redirects one hop.

        2,000 people of one object are a read and five reads a call; only missing records take more. Raises
        InvalidSalesforceId for a person whose id is not one.
        """
        asked = {
            ref.salesforce_id: ref for ref in (person_ref(each.object_type, each.salesforce_id) for each in people)
        }
        bodies = self._reads.bodies(lookup.people_reads(asked.values()))
        found = _held(chain.from_iterable(body or () for body in bodies), asked)
        missing = [ref for salesforce_id, ref in asked.items() if salesforce_id not in found]
        found |= _held(self._reads.records(lookup.missing_people_queries(missing)), asked)
        nothing = Gone("NOT_FOUND")
        return {salesforce_id: found.get(salesforce_id, nothing) for salesforce_id in asked}

    @_piece_of_work
    def find_notes(
        self, keys: Sequence[tuple[str, str]], objects: Collection[NoteObject] = (NoteObject.NOTE,)
    ) -> dict[tuple[str, str], list[FoundNote]]:
        """The notes with each (parent's id, title), those in the recycle bin too; an empty list for none.

        `objects` are what to look for: Notes, ContentNotes or both; how ContentNotes begin takes a call of its own.
        Raises InvalidSalesforceId for a parent whose id is not one.
        """
        found: dict[tuple[str, str], list[FoundNote]] = {(normalise_id(parent), title): [] for parent, title in keys}
        for record in self._reads.records(lookup.note_queries(list(found), objects)):
            parent, note = _read(lookup.found_note, record)
            # SOQL compares titles without regard to case, and each query mixes several keys.
            if (parent, note.title) in found:
                found[parent, note.title].append(note)
        unread = [note.note_id for notes in found.values() for note in notes if note.body is None]
        queries = lookup.preview_queries(unread) if unread else []
        previews = dict(_read(lookup.preview, record) for record in self._reads.records(queries))
        return {
            (parent, title): [
                replace(note, body=previews.get(note.note_id, note.body))
                for note in sorted(found[normalise_id(parent), title], key=lambda note: note.note_id)
            ]
            for parent, title in keys
        }

    @property
    def server_time(self) -> datetime:
        """What the organisation's clock shows, to the second below; after the first answer."""
        return self._session.server_time

    def opted_out_people(self) -> Iterator[SeenPerson]:
        """Everybody who is opted out, by query jobs: a handful of calls for any number of people."""
        for kind in ObjectType:
            for row in self._queries.rows(changes.opted_out_soql(kind)):
                yield _read(partial(changes.opted_out_person, kind), row)

    def changed_people(self, since: datetime) -> Iterator[SeenPerson]:
        """Everybody who changed at that time or later, those included who are deleted, converted or merged."""
        queries = [soql_request(changes.changed_soql(kind, since)) for kind in ObjectType]
        for record in self._reads.records(queries):
            kind = object_type_of(record["Id"])
            if kind is not None:
                yield _read(partial(changes.seen_person, kind), record)

    @_piece_of_work
    def missing_notes(self, ids: Collection[str]) -> set[str]:
        """Those of the ids of Notes and ContentNotes that the organisation no longer has; 10,000 are a call."""
        bodies = self._reads.bodies(lookup.note_reads(ids))
        there = chain.from_iterable(body or () for body in bodies)
        return set(ids) - {_read(itemgetter("Id"), record) for record in there if record is not None}

    @_piece_of_work
    def predecessors(self, people: Sequence[PersonRef]) -> dict[str, PersonRef]:
        """The Leads that were converted to these people and the records that were merged into them, by their ids: one
        hop each, and the hops that lead there too."""
        moves: dict[str, PersonRef] = {}
        asked = {person.salesforce_id: person for person in people}
        for _ in range(MAX_HOPS):
            found = [
                _read(lookup.predecessor, record)
                for record in self._reads.records(lookup.predecessor_queries(asked.values()))
            ]
            new = {id_: asked[became] for id_, became in found if id_ not in moves and became in asked}
            moves |= new
            asked = {id_: PersonRef(kind, id_) for id_ in new if (kind := object_type_of(id_)) is not None}
            if not asked:
                break
        return moves

    @_piece_of_work
    def find_tasks(self, keys: Sequence[tuple[str, str]], first: date, last: date) -> dict[str, str]:
        """The id of the Task of each (person's id, key) whose text ends in the key as a line of its own, by key.

        For organisations without a field for the key; looks through the people's Tasks of those days, both included.
        """
        asked = {key for _, key in keys}
        found: dict[str, str] = {}
        for task in self._reads.records(lookup.task_queries((normalise_id(who) for who, _ in keys), first, last)):
            line = _read(lookup.last_line, task)
            if line in asked:
                found.setdefault(line, task["Id"])
        return found

    @_piece_of_work
    def find_key_records(self, keys: Sequence[str]) -> dict[str, str | None]:
        """The keys among these that have a key record, each with the id of the note that was made with it.

        None where the record does not name its note. Key records in the recycle bin count: their notes were made.
        """
        try:
            found = found_keys(self._reads.records(key_queries(keys)))
        except KeyError:
            raise unavailable(UNREADABLE) from None
        return {key: found[key] for key in keys if key in found}

    def key_record_ids(self, keys: Sequence[str]) -> dict[str, str]:
        """The ids of the key records that there are now for these keys, by key."""
        try:
            return live_records(self._reads.records(key_queries(keys)))
        except KeyError:
            raise unavailable(UNREADABLE) from None

    def batches(self, rows: Sequence[RowWrite]) -> list[tuple[int, ...]]:
        """The rows' positions, grouped so that writing one group costs one call; groups in the order to write them."""
        return batches(rows)

    @_piece_of_work
    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        """Write the rows and tell what became of each, in the order given: up to 1,000 a call, or 75 with their links.

        A request that is refused because of what it carries is halved until the row that spoils it is alone, and
        REJECTED; that takes further calls. Raises only while nothing was executed. After that, trouble is told row by
        row, and what concerns the whole organisation keeps the remaining calls from being made: their rows are
        NOT_SENT. Notes that the organisation takes none of are REJECTED.
        """
        told = self._writes.write(rows)
        self._gate.wrote(
            [
                result
                for row, result in zip(rows, told, strict=True)
                if row.operation is not Operation.CREATE_NOTE or result.answer is not Answer.REJECTED
            ]
        )
        return told

    def job_files(self) -> JobFiles:
        """Shares rows out among Bulk jobs, each as many as one carries."""
        return JobFiles()

    @_piece_of_work
    def create_job(self, kind: JobKind) -> str:
        """The id of a new Bulk job; raises JobRefused where Salesforce takes no such job."""
        return self._bulk.create(kind)

    @_piece_of_work
    def upload_job(self, job_id: str, rows: Iterable[RowWrite]) -> None:
        """Give a new job all its rows, which it works on once it is closed; raises JobRefused."""
        self._bulk.upload(job_id, rows)

    @_piece_of_work
    def close_job(self, job_id: str) -> None:
        """Let Salesforce begin with the job; raises JobRefused when it is not open."""
        self._bulk.close(job_id)

    @_piece_of_work
    def abort_job(self, job_id: str) -> None:
        """Give a job up; raises JobRefused when it has ended."""
        self._bulk.abort(job_id)

    @_piece_of_work
    def job_status(self, job_id: str) -> JobStatus:
        """How far Salesforce has got with the job."""
        return self._bulk.status(job_id)

    @_piece_of_work
    def unfinished_jobs(self) -> frozenset[str]:
        """The ids of our user's Bulk jobs that were closed and have not ended, whoever began them."""
        return self._bulk.unfinished(self._session.login().user_id)

    @_piece_of_work
    def job_results(self, status: JobStatus, rows: Iterable[RowWrite]) -> list[RowResult]:
        """What became of each row of a job that has ended."""
        return self._bulk.results(status, rows)

    def _hear_limits(self) -> None:
        """Ask for the limits, once, where neither an answer nor an earlier run has told them."""
        if self._limits_asked or self.usage.limit is not None or not self.usage.calls or self._gate.limit_known:
            return
        self._limits_asked = True
        with suppress(CallFailed, KeyError, TypeError, ValueError):  # the work itself went well, a limit is assumed
            daily = self._calls.single(Request("GET", "limits"))["DailyApiRequests"]
            self._session.heard(int(daily["Max"]) - int(daily["Remaining"]), int(daily["Max"]))


def _read(reader: Callable[[Mapping[str, Any]], _Read], record: Mapping[str, Any]) -> _Read:
    try:
        return reader(record)
    except (KeyError, AttributeError, TypeError, ValueError):
        raise unavailable(UNREADABLE) from None


def _held(records: Iterable[Any], asked: Mapping[str, PersonRef]) -> dict[str, Held]:
    try:
        return {
            record["Id"]: lookup.held(asked[record["Id"]].object_type, record)
            for record in records
            if record is not None
        }
    except (TypeError, KeyError, AttributeError, InvalidSalesforceId):
        raise unavailable(UNREADABLE) from None
