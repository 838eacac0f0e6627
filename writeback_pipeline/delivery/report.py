"""What a delivery did, or a dry run would do, in plain values that a shell can show."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from writeback_pipeline.domain.ledger import Settlement
from writeback_pipeline.domain.notes import note_body
from writeback_pipeline.domain.planning import PersonPlan, PlannedWrite
from writeback_pipeline.domain.records import ApiUsage, Operation, OrganisationUnavailable
from writeback_pipeline.domain.writebacks import FlagResult, Status

PROBLEMS = (Status.FAILED, Status.REFUSED, Status.WAITING, Status.UNKNOWN)


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One line of a dry run: a writeback, the flag before and after, the note's text and how it would be sent."""

    writeback_id: int
    kind: str
    object_type: str
    salesforce_id: str
    status: str
    flag_before: bool | None
    flag_after: bool | None
    flag_result: str | None
    note_title: str | None
    note_body: str | None
    lane: str | None
    advice: str | None


@dataclass(slots=True)
class DeliveryReport:
    """Counts by status and by flag result, and what it cost in API calls.

    `reopened` counts unsubscribes whose flag Salesforce no longer showed. `without_notes` is why the organisation took
    none of the Notes.
    """

    run_id: str | None = None
    dry_run: bool = False
    statuses: Counter[Status] = field(default_factory=Counter)
    flags: Counter[FlagResult] = field(default_factory=Counter)
    redirected: int = 0
    reopened: int = 0
    fenced: int = 0
    planned: list[PlannedChange] = field(default_factory=list)
    planned_calls: int = 0
    usage: ApiUsage = field(default_factory=lambda: ApiUsage(calls=0))
    without_notes: OrganisationUnavailable | None = None

    @property
    def settled(self) -> int:
        """Writebacks that this run moved."""
        return self.statuses.total()

    def add_without_recipient(self, count: int) -> None:
        """Count changes of people who have no Salesforce record."""
        if count:
            self.statuses[Status.NO_RECIPIENT] += count

    def add(self, settlements: Iterable[Settlement]) -> None:
        """Count settlements that were recorded."""
        for settlement in settlements:
            self.statuses[settlement.status] += 1
            if settlement.flag_result is not None:
                self.flags[settlement.flag_result] += 1


def planned_changes(plan: PersonPlan, lane: str) -> list[PlannedChange]:
    """The dry-run lines of one person, in the order of the person's events."""
    titles = {w.writeback_id: w.title for w in plan.writes if w.title is not None}
    settled = {s.writeback_id: s for s in plan.settled}
    flag_results = plan.decision.flag_results if plan.decision else {}
    taken = {row.id for row in plan.claim.taken}
    lines = [_flag_only(plan, write, lane) for write in plan.writes if write.writeback_id not in taken]
    for row in sorted(plan.claim.taken, key=lambda row: (row.occurred_at, row.id)):
        settlement, title = settled.get(row.id), titles.get(row.id)
        flag_result = flag_results.get(row.id)
        lines.append(
            PlannedChange(
                writeback_id=row.id,
                kind=row.kind.value,
                object_type=plan.claim.person.object_type.value,
                salesforce_id=plan.claim.person.salesforce_id,
                status=settlement.status.value if settlement else Status.WRITTEN.value,
                flag_before=plan.flag_before,
                flag_after=_flag_after(plan.flag_before, flag_result),
                flag_result=flag_result.value if flag_result else None,
                note_title=title,
                note_body=note_body(title, row.reason) if title else None,
                lane=lane if any(w.writeback_id == row.id for w in plan.writes) else None,
                advice=settlement.advice if settlement else None,
            )
        )
    return lines


def _flag_only(plan: PersonPlan, write: PlannedWrite, lane: str) -> PlannedChange:
    """The line of a flag that is set without waiting for what became of its writeback's Note."""
    [kind] = [event.kind for event in plan.claim.events if event.id == write.writeback_id]
    flag_result = FlagResult.SET if write.write.operation is Operation.SET_FLAG else FlagResult.CLEARED
    return PlannedChange(
        writeback_id=write.writeback_id,
        kind=kind.value,
        object_type=plan.claim.person.object_type.value,
        salesforce_id=plan.claim.person.salesforce_id,
        status=Status.UNKNOWN.value,
        flag_before=plan.flag_before,
        flag_after=_flag_after(plan.flag_before, flag_result),
        flag_result=flag_result.value,
        note_title=None,
        note_body=None,
        lane=lane,
        advice="What became of its Note is read back before anything of that is sent again.",
    )


def _flag_after(before: bool | None, result: FlagResult | None) -> bool | None:
    return {FlagResult.SET: True, FlagResult.CLEARED: False}.get(result, before) if result else before
