"""Deliver opt-outs: claim what is owed, look at what Salesforce holds, plan, journal, send, settle.

The order of the steps is the safety. A person is leased before anything is decided; every row write is journalled and
committed before a byte of it is sent; no transaction is open during a call; each row is settled by its own answer.
Rules are in `domain`, calls in `salesforce`, transactions in `store`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import uuid4

from writeback_pipeline.delivery.protocols import OptOutLedger, Organisation
from writeback_pipeline.delivery.report import DeliveryReport
from writeback_pipeline.domain.ledger import AttemptOutcome, Claim, Intent, OriginChange, Settlement
from writeback_pipeline.domain.planning import (
    PersonPlan,
    PlannedWrite,
    WriteKey,
    cannot_follow,
    in_sending_order,
    origin_changes,
    payload_hash,
    plan_person,
    settle_person,
)
from writeback_pipeline.domain.records import Answer, Held, Live, Moved, OrganisationUnavailable, RowResult
from writeback_pipeline.domain.settings import WritebackSettings

PEOPLE_PER_CLAIM = 10_000
"""People leased and looked at together: five reads of 2,000 share one call."""

PEOPLE_PER_WAVE = 1_000
"""People whose rows are journalled together: one call carries their flags, one their notes."""

CALL_ALLOWANCE = timedelta(seconds=65)
"""Longest that a write call takes; it is not sent under a lease with less left."""

LANE = "composite"


class WrongOrganisation(Exception):
    """The credentials lead to another organisation than the one this ledger belongs to."""


@dataclass(frozen=True, slots=True)
class OptOutDelivery:
    """One worker: its ledger, its organisation, its clock. `progress` hears how many writebacks were settled so far."""

    ledger: OptOutLedger
    organisation: Organisation
    now: Callable[[], datetime]
    run_id: str | None = None
    progress: Callable[[int], None] = lambda _: None
    jitter: random.Random = field(default_factory=random.Random)
    owner: str = field(default_factory=lambda: uuid4().hex)

    def run(self, *, limit: int | None = None) -> DeliveryReport:
        """Deliver until nothing is due, or until `limit` people were served.

        Raises OrganisationUnavailable for trouble that is not a row's; what was not sent stays owed.
        """
        report = DeliveryReport(run_id=self.run_id)
        report.add_without_recipient(self.ledger.settle_without_recipient(self.now(), self.run_id))
        left = limit
        while left is None or left > 0:
            at_most = PEOPLE_PER_CLAIM if left is None else min(left, PEOPLE_PER_CLAIM)
            claims = self.ledger.claim(self.owner, self.now(), limit=at_most)
            if not claims:
                break
            with self._released_on_error(claims):
                found = self.organisation.organisation_id
                check_pinned(self.ledger.pin_organisation(found), found)
                served = self._deliver(claims, report)
            left = None if left is None else left - served
        return report

    @contextmanager
    def _released_on_error(self, claims: Sequence[Claim]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(Exception):  # a lease that cannot be given back runs out by itself
                self.ledger.release(self.owner, claims)
            raise

    def _deliver(self, claims: Sequence[Claim], report: DeliveryReport) -> int:
        settings = self.ledger.settings()
        held = self.organisation.look([claim.person for claim in claims])
        report.usage = self.organisation.usage
        stay = sorted(self._follow(claims, held, report), key=lambda claim: _lock_group(claim, held))
        for start in range(0, len(stay), PEOPLE_PER_WAVE):
            wave = self._with_time_to_send(stay[start : start + PEOPLE_PER_WAVE])
            self._send(self._plans(wave, held, settings), report)
        return len(stay)

    def _follow(self, claims: Sequence[Claim], held: dict[str, Held], report: DeliveryReport) -> list[Claim]:
        """Record where records went; both ends of a move are claimed again, together, as the one person they are."""
        moves = {id_: where.to for id_, where in held.items() if isinstance(where, Moved)}
        if not moves:
            return list(claims)
        lost = self.ledger.redirect(moves, self.now())
        report.redirected += len(moves) - len(lost)
        for claim in claims:
            reason = lost.get(claim.person.salesforce_id)
            if reason is not None:
                self._record([], cannot_follow(claim, reason), [], report)
        targets = {to.salesforce_id for to in moves.values()}
        self.ledger.release(self.owner, [claim for claim in claims if claim.person.salesforce_id in targets])
        return [claim for claim in claims if claim.person.salesforce_id not in targets | moves.keys()]

    def _with_time_to_send(self, wave: list[Claim]) -> list[Claim]:
        if all(claim.lease_until - self.now() >= 2 * CALL_ALLOWANCE for claim in wave):
            return wave
        return self.ledger.extend(self.owner, wave, self.now())

    def _plans(self, wave: Sequence[Claim], held: dict[str, Held], settings: WritebackSettings) -> list[PersonPlan]:
        now = self.now()
        plans = []
        for claim in wave:
            where = held[claim.person.salesforce_id]
            assert not isinstance(where, Moved)
            plans.append(plan_person(claim, where, settings, now))
        return plans

    def _send(self, plans: Sequence[PersonPlan], report: DeliveryReport) -> None:
        writes = in_sending_order(plans)
        groups = self.organisation.batches([write.write for write in writes])
        attempts = self._journal(plans, [(writes[i], number) for number, group in enumerate(groups, 1) for i in group])
        ours = [plan for plan in plans if all(write.key in attempts for write in plan.writes)]
        report.fenced += len(plans) - len(ours)
        deadline = min((plan.claim.lease_until for plan in plans), default=self.now())
        results: dict[WriteKey, RowResult] = {}
        outcomes: list[AttemptOutcome] = []
        trouble: OrganisationUnavailable | None = None
        for group in groups:
            if outcomes:
                self._record(outcomes, [], _origins(ours, results), report, release=False)
            rows = [writes[i] for i in group if writes[i].key in attempts]
            answers, trouble = self._call(rows, deadline, trouble)
            results |= dict(zip((row.key for row in rows), answers, strict=True))
            outcomes = [
                AttemptOutcome(attempts[row.key], a.answer, self.now(), a.code, a.message, a.record_id)
                for row, a in zip(rows, answers, strict=True)
            ]
        now = self.now()
        settlements = [s for plan in ours for s in (*plan.settled, *settle_person(plan, results, now, self.jitter))]
        self._record(outcomes, settlements, _origins(ours, results), report)
        report.usage = self.organisation.usage
        if trouble is not None:
            raise trouble

    def _journal(
        self, plans: Sequence[PersonPlan], numbered: Sequence[tuple[PlannedWrite, int]]
    ) -> dict[WriteKey, int]:
        """Attempt ids of the writes that may be sent; a person whom another worker took over has none."""
        claims = {write.key: plan.claim for plan in plans for write in plan.writes}
        batch_id, now = uuid4().hex, self.now()
        intents = [
            Intent(
                person_id=claims[write.key].person.salesforce_id,
                epoch=claims[write.key].epoch,
                writeback_id=write.writeback_id,
                operation=write.write.operation,
                target_id=claims[write.key].person.salesforce_id,
                batch_id=batch_id,
                lane=LANE,
                call_number=number,
                intent_at=now,
                send_deadline=claims[write.key].lease_until,
                payload_hash=payload_hash(write.write),
                run_id=self.run_id,
                flag_before=write.flag_before,
                title=write.title,
            )
            for write, number in numbered
        ]
        ids = self.ledger.journal(intents) if intents else []
        return {write.key: id_ for (write, _), id_ in zip(numbered, ids, strict=True) if id_ is not None}

    def _call(
        self, rows: Sequence[PlannedWrite], deadline: datetime, trouble: OrganisationUnavailable | None
    ) -> tuple[list[RowResult], OrganisationUnavailable | None]:
        """One call, unless the lease is too short or an earlier call met trouble: then certainly not sent."""
        if trouble is None and deadline - self.now() >= CALL_ALLOWANCE:
            try:
                return self.organisation.write([row.write for row in rows]), None
            except OrganisationUnavailable as error:
                trouble = error
        code, message = (trouble.code, trouble.message) if trouble else ("LEASE_TOO_SHORT", "not sent in time")
        return [RowResult(Answer.NOT_SENT, code=code, message=message)] * len(rows), trouble

    def _record(
        self,
        outcomes: Sequence[AttemptOutcome],
        settlements: Sequence[Settlement],
        origins: Sequence[OriginChange],
        report: DeliveryReport,
        *,
        release: bool = True,
    ) -> None:
        settled = [replace(settlement, run_id=self.run_id) for settlement in settlements]
        report.fenced += self.ledger.record(outcomes, settled, origins, self.now(), release=release)
        report.add(settled)
        self.progress(report.settled)


def check_pinned(pinned: str | None, found: str) -> None:
    """Refuse to write into another organisation than the ledger's own; raises WrongOrganisation."""
    if pinned is not None and pinned != found:
        raise WrongOrganisation(
            f"This ledger belongs to organisation {pinned}, but the credentials lead to {found}. Nothing was "
            "written. Correct SALESFORCE_URL, or use another WRITEBACK_HOME for the other organisation."
        )


def _origins(plans: Sequence[PersonPlan], results: dict[WriteKey, RowResult]) -> list[OriginChange]:
    return [change for plan in plans for change in origin_changes(plan, results)]


def _lock_group(claim: Claim, held: dict[str, Held]) -> tuple[str, str]:
    """People of one Account stay together: Salesforce locks the Account while it updates one of its Contacts."""
    where = held[claim.person.salesforce_id]
    account_id = where.account_id if isinstance(where, Live) else None
    return account_id or "", claim.person.salesforce_id
