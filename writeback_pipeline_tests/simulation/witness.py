"""What must hold at every step: nothing unjournalled is sent, nothing in doubt sent again, no clear too early.

It sees the calls of the workers and the rows that are under way in Salesforce; what it notes is a violation.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from writeback_pipeline.domain.bulk import JobState, Stage
from writeback_pipeline.domain.ledger import QUIET, Intent
from writeback_pipeline.domain.planning import payload_hash
from writeback_pipeline.domain.records import Answer, Operation, RowResult, RowWrite
from writeback_pipeline_tests.fakes.organisation import MemoryOrganisation
from writeback_pipeline_tests.simulation.books import Books
from writeback_pipeline_tests.simulation.engine import Strand, Timeline, Worker, strand


@dataclass
class Witness:
    """Keeps `violations`, which flags may still be set by what is under way, and of which records and keys a write was
    stopped for longer than the quiet time just before it left."""

    books: Books
    organisation: MemoryOrganisation
    timeline: Timeline
    long_pauses: bool = False
    sender: Strand | None = None
    violations: list[str] = field(default_factory=list)
    sent_too_late: set[str] = field(default_factory=set)
    _journalled: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _setting: Counter[str] = field(default_factory=Counter)
    _in_hand: dict[Strand, Sequence[RowWrite]] = field(default_factory=dict)

    def after_journal(self, worker: Worker, ids: list[int | None], intents: Sequence[Intent]) -> None:
        entered = [(id_, intent) for id_, intent in zip(ids, intents, strict=True) if id_ is not None]
        if entered:
            strand().send_by = min(intent.send_deadline for _, intent in entered)
        for id_, intent in entered:
            self._journalled[worker.name][intent.payload_hash] += 1
            if intent.operation is Operation.SET_FLAG:
                # If it gets no answer and a user sets the flag meanwhile, nobody can tell whose the flag is.
                self.organisation.records[intent.target_id].set_by_us = True
            if intent.operation is Operation.CREATE_NOTE and not self.long_pauses:
                self._check_no_note_is_under_way(id_, intent)

    def _check_no_note_is_under_way(self, id_: int, intent: Intent) -> None:
        for earlier in self.books.attempts_of([intent.writeback_id]):
            if earlier.id == id_ or earlier.intent.operation is not Operation.CREATE_NOTE:
                continue
            answer = earlier.outcome.answer if earlier.outcome else None
            made = self.organisation.by_id.get((earlier.outcome and earlier.outcome.record_id) or "")
            if made is not None and made.undone:
                continue
            if answer in (Answer.OK, None):
                self._note(f"the Note of writeback {intent.writeback_id} goes again though an attempt is {answer}")
            elif answer is Answer.UNKNOWN and earlier.intent.send_deadline + QUIET > self.timeline.now():
                self._note(f"the Note of writeback {intent.writeback_id} goes again while one may still arrive")

    def before_write(self, worker: Worker, rows: Sequence[RowWrite]) -> None:
        self._check_rows(worker, rows)
        send_by = strand().send_by
        if send_by is not None and self.timeline.now() >= send_by:
            self._note("a call left after its deadline")
        self._in_hand[strand()] = rows

    def leaving_write(self, worker: Worker) -> None:
        self.sender = strand()
        send_by = self.sender.send_by
        if send_by is not None and self.timeline.now() > send_by + QUIET:
            rows = self._in_hand[self.sender]
            self.sent_too_late |= {row.external_id[1] if row.external_id else row.record_id or "" for row in rows}

    def after_write(self, worker: Worker, results: list[RowResult], rows: Sequence[RowWrite]) -> None:
        strand().unanswered = any(result.answer is Answer.UNKNOWN for result in results)

    def ended_write(self, worker: Worker) -> None:
        del self._in_hand[strand()]

    def before_upload_job(self, worker: Worker, job_id: str, rows: Iterable[RowWrite]) -> None:
        if self.books.stage_of(job_id) is None:
            self._note("a job was given rows that the ledger does not know")
        self._check_rows(worker, rows)

    def before_close_job(self, worker: Worker, job_id: str) -> None:
        if self.books.stage_of(job_id) in (None, Stage.CREATED):
            self._note("a job begins of which the ledger does not know that it has its rows")
        job = self.organisation.job_server.jobs[job_id]
        for row in job.rows if job.state is JobState.OPEN else ():  # one that somebody else began is refused
            if row.operation is Operation.CLEAR_FLAG:
                self._check_clear(row)

    def _check_rows(self, worker: Worker, rows: Iterable[RowWrite]) -> None:
        for row in rows:
            hash_ = payload_hash(row)
            if self._journalled[worker.name][hash_] == 0:
                self._note(f"{row.operation} was sent without an attempt in the journal")
            self._journalled[worker.name][hash_] -= 1
            if row.operation is Operation.CLEAR_FLAG:
                self._check_clear(row)
            where = row.record_id or row.linked_to or row.fields.get("ParentId") or row.fields["WhoId"]
            if where not in self.organisation.records and where not in self.organisation.tasks:
                self._note(f"{row.operation} goes to {where!r}, which is nobody")

    def under_way(self, row: RowWrite, number: int) -> None:
        """A row begins (1) or ceases (-1) to be on its way inside Salesforce."""
        if row.operation is Operation.SET_FLAG:
            self._setting[row.record_id or ""] += number

    def _may_still_be_set(self, record_id: str) -> bool:
        """By what is under way, or in the hand of a worker who is stopped right before sending it."""
        in_hand = (row for rows in self._in_hand.values() for row in rows)
        return self._setting[record_id] > 0 or any(
            row.operation is Operation.SET_FLAG and row.record_id == record_id
            for row in (*in_hand, *self.organisation.job_server.under_way())
        )

    def _check_clear(self, row: RowWrite) -> None:
        assert row.record_id is not None
        if self._may_still_be_set(row.record_id) and not self.long_pauses:
            self._note("a flag is cleared while an older write may still set it")
        if not self.organisation.records[row.record_id].set_by_us:
            self._note("a flag is cleared that we never set")

    def _note(self, violation: str) -> None:
        self.violations.append(f"{self.timeline.now():%H:%M:%S} {violation}")
