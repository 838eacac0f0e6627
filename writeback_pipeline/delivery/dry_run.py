"""What a delivery of opt-outs would do: the same claims, looks and plans as the real one, and no write anywhere."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import compress

from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.delivery.protocols import OptOutLedger, Organisation
from writeback_pipeline.delivery.reading_back import after_lost_jobs, read_back_all, search, still_there
from writeback_pipeline.delivery.report import DeliveryReport, planned_changes
from writeback_pipeline.delivery.sending import LANE
from writeback_pipeline.domain.bulk import BULK_LANE, CALLS_PER_JOB, carried_by_bulk
from writeback_pipeline.domain.ledger import MAX_HOPS, Claim
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.planning import (
    PersonPlan,
    has_resubscribes,
    in_sending_order,
    lost_flag,
    plan_person,
    reopened,
)
from writeback_pipeline.domain.records import Held, Moved, RowWrite
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import Status

EVERYBODY = 1_000_000
"""More people than one dry run can usefully show."""


def dry_run(
    ledger: OptOutLedger, organisation: Organisation, now: datetime, *, limit: int | None = None
) -> DeliveryReport:
    """The plan for everything that is due now, or for `limit` people, with its cost in calls."""
    report = DeliveryReport(dry_run=True)
    claims = ledger.preview(now, limit=limit or EVERYBODY)
    if not claims:
        return report
    check_pinned(ledger.pinned_organisation(), organisation.organisation_id)
    settings = ledger.settings()
    claims, held = _where_they_are(claims, ledger, organisation, now)
    claims = _with_predecessors(claims, ledger, organisation, now)
    there = [claim for claim in claims if not isinstance(held[claim.person.salesforce_id], Moved)]
    there = after_lost_jobs(there, ledger, organisation, now)
    found = search(there, organisation, settings, now)
    read = read_back_all(there, held, found, ledger, settings)
    claims = _with_lost_flags([each.claim for each in read], held, ledger, settings)
    plans = [plan_person(claim, still_there(held, claim), settings, now) for claim in claims]
    carried = carried_by_bulk([[write.write for write in plan.writes] for plan in plans], settings.bulk_threshold)
    report.planned = [
        change
        for plan, by_bulk in zip(plans, carried, strict=True)
        for change in planned_changes(plan, BULK_LANE if by_bulk else LANE)
    ]
    report.usage = organisation.usage
    by_calls = organisation.batches(_rows(plan for plan, by_bulk in zip(plans, carried, strict=True) if not by_bulk))
    jobs = set(organisation.job_files().share_out(_rows(compress(plans, carried))))
    report.planned_calls = report.usage.calls + len(by_calls) + CALLS_PER_JOB * len(jobs)
    return report


def _with_lost_flags(
    claims: list[Claim], held: Mapping[str, Held], ledger: OptOutLedger, settings: WritebackSettings
) -> list[Claim]:
    """The claims with the unsubscribes taken again that were dealt with and whose flag Salesforce does not show."""
    lost = [lost_flag(claim, still_there(held, claim), settings) for claim in claims]
    ids = [id_ for id_ in lost if id_ is not None]
    # What will be read back first has its flag set all the same, as the fold decides.
    rows = {row.id: row for row in ledger.reopenable(ids) if row.status is Status.PENDING} if ids else {}
    return [reopened(claim, rows[id_]) if id_ in rows else claim for claim, id_ in zip(claims, lost, strict=True)]


def _rows(plans: Iterable[PersonPlan]) -> list[RowWrite]:
    return [write.write for _, write in in_sending_order(list(plans))]


def _where_they_are(
    claims: list[Claim], ledger: OptOutLedger, organisation: Organisation, now: datetime
) -> tuple[list[Claim], dict[str, Held]]:
    """Follow moved records in memory, as the real delivery does in the ledger; joins people who became one."""
    held = organisation.look([claim.person for claim in claims])
    for _ in range(MAX_HOPS):
        moves = {id_: where.to for id_, where in held.items() if isinstance(where, Moved)}
        moved = [claim for claim in claims if claim.person.salesforce_id in moves]
        if not moved:
            break
        stay = [claim for claim in claims if claim.person.salesforce_id not in moves]
        targets = list({moves[claim.person.salesforce_id] for claim in moved})
        known = {claim.person.salesforce_id for claim in stay}
        new = [target.salesforce_id for target in targets if target.salesforce_id not in known]
        history = ledger.preview(now, limit=len(new), people=new) if new else []
        joined = [claim._replace(person=moves[claim.person.salesforce_id]) for claim in moved]
        claims = _joined([*stay, *history, *joined])
        held = {id_: where for id_, where in held.items() if id_ not in moves} | organisation.look(targets)
    return claims, held


def _with_predecessors(
    claims: list[Claim], ledger: OptOutLedger, organisation: Organisation, now: datetime
) -> list[Claim]:
    """Whoever is to be resubscribed, with what the ledger has of the records that became theirs."""
    asked = [claim.person for claim in claims if has_resubscribes(claim)]
    moves = ledger.unjoined(organisation.predecessors(asked)) if asked else {}
    history = ledger.preview(now, limit=len(moves), people=list(moves)) if moves else []
    return _joined([*claims, *(claim._replace(person=_end(claim.person, moves)) for claim in history)])


def _end(person: PersonRef, moves: Mapping[str, PersonRef]) -> PersonRef:
    for _ in range(MAX_HOPS):
        person = moves.get(person.salesforce_id, person)
    return person


def _joined(claims: Iterable[Claim]) -> list[Claim]:
    by_person: dict[str, Claim] = {}
    for claim in claims:
        first = by_person.get(claim.person.salesforce_id)
        by_person[claim.person.salesforce_id] = (
            claim
            if first is None
            else first._replace(
                taken=first.taken + claim.taken,
                events=first.events + claim.events,
                flag_is_ours=first.flag_is_ours or claim.flag_is_ours,
                verify_after=max(filter(None, (first.verify_after, claim.verify_after)), default=None),
                doubts=first.doubts + claim.doubts,
                known_notes=first.known_notes | claim.known_notes,
            )
        )
    return list(by_person.values())
