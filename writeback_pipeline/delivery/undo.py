"""Undo a run: delete the Notes and Tasks that it created, put flags back, and record who did it.

The same steps as a delivery: lease, look, plan, journal, send, settle. Nothing that was undone is sent again by itself.
An undo that ended half-way is continued by undoing the run again. Rules are in `domain.undoing`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.delivery.protocols import Journal, Organisation
from writeback_pipeline.delivery.sending import Outgoing, Sent, insist, prepared, send
from writeback_pipeline.domain.ledger import AttemptOutcome
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult
from writeback_pipeline.domain.undoing import (
    ToUndo,
    Undo,
    UndoneRow,
    UndoPlan,
    UndoWrite,
    left_for_now,
    plan_undo,
    settle_undo,
)
from writeback_pipeline.domain.writebacks import record_key

SUBJECTS_PER_WAVE = 500
"""People or windows leased together; for most of them it is one deletion and one flag."""

_NOT_SENT = "not all of it was sent; undo again"
_UNJOINED = "other records became this person since: undo again after the next sync has joined their history"
_HELD = "another worker is writing for it now; undo again when it is done"
_FENCED = "another worker took it over meanwhile; undo again when it is done"


class UndoLedger(Journal, Protocol):
    """The store, as far as undoing needs it."""

    def run_wrote(self, run_id: str) -> list[str]:
        """Lease keys of the people and windows that the run wrote something for; NotUndoable when there are none."""

    def unjoined(self, moves: Mapping[str, PersonRef]) -> Mapping[str, PersonRef]:
        """Those of the moves that lead away from people who are known and are not recorded as gone there yet."""

    def begin_undo(self, undo: Undo) -> list[str]:
        """Enter the undo; the same keys."""

    def preview_undo(self, run_id: str, keys: Collection[str], now: datetime) -> list[ToUndo]:
        """What the run wrote for these, without a lease."""

    def lease_undo(self, run_id: str, keys: Collection[str], owner: str, now: datetime) -> list[ToUndo]:
        """What the run wrote for these, leased; those whom another worker holds are missing."""

    def finish_undo(
        self,
        undo: Undo,
        subjects: Sequence[ToUndo],
        outcomes: Sequence[AttemptOutcome],
        rows: Sequence[UndoneRow],
        now: datetime,
    ) -> int:
        """Record what was undone and give the leases back; how many subjects were fenced off."""


class UndoOrganisation(Organisation, Protocol):
    """Salesforce, as far as undoing needs it."""

    def key_record_ids(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The ids of the key records that there are for these keys, by key."""


@dataclass(slots=True)
class UndoReport:
    """The plans in the order of the subjects, what became of the rows, and why the others were left, by what they are.

    `undo_id` is None for a dry run; then `rows` say what would become of them.
    """

    undo_id: str | None = None
    plans: list[UndoPlan] = field(default_factory=list)
    rows: list[UndoneRow] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether everything was undone, but for flags that had to stay."""
        return not self.left and all(row.complete for row in self.rows)


def plan_run(ledger: UndoLedger, organisation: UndoOrganisation, run_id: str, now: datetime, *, by: str) -> UndoReport:
    """What undoing the run would do now; nothing is written anywhere. Raises NotUndoable, OrganisationUnavailable."""
    report = UndoReport()
    subjects = ledger.preview_undo(run_id, ledger.run_wrote(run_id), now)
    if subjects:
        check_pinned(ledger.pinned_organisation(), organisation.organisation_id)
    report.plans = _plans(subjects, ledger, organisation, now)
    for plan in report.plans:
        report.rows += settle_undo(plan, [_as_if_done(write) for write in plan.writes], by, now)
        _note_left(plan, report)
    return report


@dataclass(frozen=True, slots=True)
class RunUndo:
    """One worker that undoes one run, in the name of `by`."""

    ledger: UndoLedger
    organisation: UndoOrganisation
    now: Callable[[], datetime]
    by: str
    owner: str = field(default_factory=lambda: uuid4().hex)

    def run(self, run_id: str) -> UndoReport:
        """Undo what can be undone. Raises NotUndoable, and OrganisationUnavailable for trouble that is not a row's."""
        found = self.organisation.organisation_id
        check_pinned(self.ledger.pinned_organisation(), found)
        undo = Undo(f"undo-{uuid4()}", run_id, self.by, self.now())
        report = UndoReport(undo.id)
        keys = self.ledger.begin_undo(undo)
        for start in range(0, len(keys), SUBJECTS_PER_WAVE):
            self._wave(undo, keys[start : start + SUBJECTS_PER_WAVE], report)
        return report

    def _wave(self, undo: Undo, keys: Sequence[str], report: UndoReport) -> None:
        concerned = {each.lease_key for each in self.ledger.preview_undo(undo.run_id, keys, self.now())}
        subjects = self.ledger.lease_undo(undo.run_id, sorted(concerned), self.owner, self.now())
        report.left |= dict.fromkeys(concerned - {each.lease_key for each in subjects}, _HELD)
        unrecorded: list[AttemptOutcome] = []
        rows: list[UndoneRow] = []
        trouble: OrganisationUnavailable | None = None
        try:
            plans = _plans(subjects, self.ledger, self.organisation, self.now())
            sent = self._send(undo, plans)
            unrecorded, trouble = sent.unrecorded, sent.trouble
            rows = self._settled(plans, sent, report)
        finally:
            fenced = insist(lambda: self.ledger.finish_undo(undo, subjects, unrecorded, rows, self.now()))
        report.rows += rows
        if fenced:
            report.left[f"{fenced} of them"] = _FENCED
        if trouble is not None:
            raise trouble

    def _send(self, undo: Undo, plans: Sequence[UndoPlan]) -> Sent:
        """Journal and send what the plans ask for, as a delivery does."""
        rows = [_outgoing(plan.subject, write) for plan in plans for write in plan.writes]
        batch = prepared(rows, self.organisation, self.now(), undo.id)
        return send(batch, self.ledger, self.organisation, self.now)

    def _settled(self, plans: Sequence[UndoPlan], sent: Sent, report: UndoReport) -> list[UndoneRow]:
        results = iter(sent.results)
        rows: list[UndoneRow] = []
        for plan in plans:
            theirs = [next(results) for _ in plan.writes]
            report.plans.append(plan)
            _note_left(plan, report)
            answered = [result for result in theirs if result is not None]
            if len(answered) < len(theirs):
                report.left[plan.subject.lease_key] = _FENCED
                continue
            settled = settle_undo(plan, answered, self.by, self.now())
            if len(settled) < len(plan.rows):
                report.left[plan.subject.lease_key] = _NOT_SENT
            rows += settled
        return rows


def _plans(
    subjects: Sequence[ToUndo], ledger: UndoLedger, organisation: UndoOrganisation, now: datetime
) -> list[UndoPlan]:
    people = [subject.person for subject in subjects if subject.person is not None]
    held = organisation.look(people) if people else {}
    settings = ledger.settings()
    keys = [record_key(row.writeback) for subject in subjects if subject.person for row in subject.rows if row.created]
    key_records = organisation.key_record_ids(keys) if keys and settings.key_records else {}
    suppressed = settings.suppress_opt_out_flag
    plans = [
        plan_undo(subject, held.get(subject.lease_key), key_records, suppressed=suppressed, now=now)
        for subject in subjects
    ]
    return _without_unjoined(plans, ledger, organisation)


def _without_unjoined(plans: Sequence[UndoPlan], ledger: UndoLedger, organisation: UndoOrganisation) -> list[UndoPlan]:
    """Nobody's flag is cleared while an opt-out may stand under a record that became theirs."""
    clearing = [plan.subject.person for plan in plans if plan.flag_goal is False and plan.subject.person is not None]
    moves = ledger.unjoined(organisation.predecessors(clearing)) if clearing else {}
    joined_to = {to.salesforce_id for to in moves.values()}
    return [left_for_now(plan, _UNJOINED) if plan.subject.lease_key in joined_to else plan for plan in plans]


def _outgoing(subject: ToUndo, planned: UndoWrite) -> Outgoing:
    write = planned.write
    return Outgoing(
        subject.lease_key,
        subject.epoch,
        subject.lease_until,
        planned.writeback_id,
        write.record_id or subject.lease_key,
        write,
        planned.flag_before,
    )


def _note_left(plan: UndoPlan, report: UndoReport) -> None:
    report.left |= {f"writeback {id_}": reason for id_, reason in plan.left.items()}


def _as_if_done(planned: UndoWrite) -> RowResult:
    return RowResult(Answer.OK, record_id=planned.write.record_id)
