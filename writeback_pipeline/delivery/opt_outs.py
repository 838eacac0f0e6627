"""Deliver opt-outs: claim what is owed, read back, look at what Salesforce holds, plan, journal, send, settle.

The order of the steps is the safety. A person is leased before anything is decided; every row write is journalled and
committed before a byte of it is sent; no transaction is open during a call; each row is settled by its own answer.
Rules are in `domain`, calls in `salesforce`, transactions in `store`.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Lock, Semaphore
from uuid import uuid4

from writeback_pipeline.delivery.bulk_jobs import BulkJobs
from writeback_pipeline.delivery.gathering import Gathered, Planned, account_of
from writeback_pipeline.delivery.interpreter import for_many_rows
from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.delivery.protocols import OptOutLedger, Organisation
from writeback_pipeline.delivery.reading_back import Search, after_lost_jobs, read_back_all, search, still_there
from writeback_pipeline.delivery.report import DeliveryReport
from writeback_pipeline.delivery.sending import CALL_ALLOWANCE, Batch, Outgoing, Sent, insist, prepared, send
from writeback_pipeline.delivery.shelf import Shelf
from writeback_pipeline.delivery.waves import cut_into_waves, send_at_once, threads_for
from writeback_pipeline.domain.ledger import LEASE, AttemptOutcome, Claim, Lease, OriginChange, Settlement
from writeback_pipeline.domain.planning import (
    PersonPlan,
    Results,
    cannot_follow,
    evidence,
    has_resubscribes,
    in_sending_order,
    lost_flag,
    not_set_up_for_notes,
    origin_changes,
    plan_person,
    reopened,
    settle_person,
)
from writeback_pipeline.domain.records import (
    Answer,
    Held,
    Moved,
    Operation,
    OrganisationUnavailable,
    RowResult,
)
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.logs import tell

_log = logging.getLogger(__name__)

PEOPLE_PER_CLAIM = 10_000
"""People leased and looked at together: five reads of 2,000 share one call."""

PEOPLE_AFTER_TROUBLE = 200
"""People served first while Salesforce has taken no write since it was last in trouble: of few there is little to read,
so that a write soon proves that it is well again; and if it is not, few are in doubt."""

PEOPLE_PER_JOB = 100_000
"""People gathered where so much is owed that Bulk jobs carry it: each job costs the same, whatever its size."""

KEPT_AFTER = LEASE / 3
"""How long people who are gathered may wait before their leases are renewed."""


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
    sleep: Callable[[float], None] = time.sleep
    reporting: Lock = field(default_factory=Lock, repr=False, compare=False)

    @for_many_rows()
    def run(self, *, limit: int | None = None) -> DeliveryReport:
        """Finish what is left in Bulk jobs, then deliver until nothing is due, or until `limit` people were served.

        The settings are those of its beginning. Raises OrganisationUnavailable for trouble that is not a row's; what
        was not sent stays owed. Where the organisation takes no Notes, it is raised after everybody's flag was sent.
        """
        begun = time.monotonic()
        report, settings = DeliveryReport(run_id=self.run_id), self.ledger.settings()
        report.add_without_recipient(self.ledger.settle_without_recipient(self.now(), self.run_id))
        self.ledger.question_suppressed(self.now())
        left_behind: OrganisationUnavailable | None = None
        try:
            self._bulk.finish_left(self._check_organisation)
        except OrganisationUnavailable as trouble:  # a job that goes on and on keeps nobody else waiting
            left_behind = trouble
        left, at_most = limit, PEOPLE_AFTER_TROUBLE if self.ledger.is_unproven() else None
        due = self._due_under(settings)  # a claim finds more than is due: what was lost by a restore
        while due is not None and (left is None or left > 0):
            with self.ledger.kept_open():
                served = self._deliver(due, _lesser(left, at_most), settings, report)
            at_most = None
            left = None if left is None or served is None else left - served
            due = None if served is None else self._due_under(settings) or None
        counts = {status.value: count for status, count in report.statuses.items()}
        self._tell("delivered", begun, **counts, redirected=report.redirected, calls=report.usage.calls)
        in_the_end = left_behind or report.without_notes
        if in_the_end is not None:
            raise in_the_end
        return report

    def _due_under(self, settings: WritebackSettings) -> int | None:
        """How much is due; None when it is the next delivery's, under another policy, which is in force now."""
        if self.ledger.settings().suppress_opt_out_flag != settings.suppress_opt_out_flag:
            return None
        return self.ledger.due(self.now())

    def _tell(self, event: str, begun: float, **fields: object) -> None:
        tell(_log, event, run=self.run_id, **fields, seconds=round(time.monotonic() - begun, 3))

    @property
    def _bulk(self) -> BulkJobs:
        return BulkJobs(self.ledger, self.organisation, self.now, self.sleep, self.owner, self.run_id)

    def _check_organisation(self) -> None:
        found = self.organisation.organisation_id
        check_pinned(self.ledger.pin_organisation(found), found)

    @contextmanager
    def _released_on_error(self, leases: Sequence[Lease]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(Exception):  # a lease that cannot be given back runs out by itself
                self.ledger.release(self.owner, leases)
            raise

    def _deliver(self, due: int, left: int | None, settings: WritebackSettings, report: DeliveryReport) -> int | None:
        """Serve the people to whom something is owed now, or as many as are left; how many, None when nobody is."""
        if due >= settings.bulk_threshold:
            served = self._deliver_many(min(PEOPLE_PER_JOB, left or PEOPLE_PER_JOB), settings, report)
            if served is not None:
                return served
        at_most = min(PEOPLE_PER_CLAIM, left or PEOPLE_PER_CLAIM)
        claims = self.ledger.claim(self.owner, self.now(), limit=at_most)
        claims = claims or self.ledger.claim_suspects(self.owner, self.now(), limit=at_most)
        if not claims:
            return None
        leases = [claim.lease for claim in claims]
        with self._released_on_error(leases):
            claims, held = self._looked_at(claims, leases, settings, report)
            claims.sort(key=lambda claim: (_account(claim, held), claim.person.salesforce_id))
            self._send_in_waves(claims, held, settings, report)
        return len(claims)

    def _deliver_many(self, at_most: int, settings: WritebackSettings, report: DeliveryReport) -> int | None:
        """Serve up to so many people: who goes by Bulk is known once all of them are planned, some thousands at a time;
        how many, None when nobody can be claimed."""
        gathered, served, leases, kept = Gathered(), 0, list[Lease](), self.now()
        with self._released_on_error(leases):
            while len(leases) < at_most:
                limit = min(PEOPLE_PER_CLAIM, at_most - len(leases))
                claims = self.ledger.claim(self.owner, self.now(), limit=limit)
                if not claims:
                    break
                leases += [claim.lease for claim in claims]
                claims, held = self._looked_at(claims, leases, settings, report)
                where = [held[claim.person.salesforce_id] for claim in claims]
                gathered.put(zip(self._planned(claims, held, settings), where, strict=True))
                served += len(claims)
                kept = self._kept(kept)
            if not leases:
                return None
            self._send_gathered(gathered, settings, report)
        return served

    def _kept(self, since: datetime) -> datetime:
        """Since when the leases of everybody gathered are fresh."""
        if self.now() - since < KEPT_AFTER:
            return since
        self.ledger.keep(self.owner, self.now())
        return self.now()

    def _looked_at(
        self, claims: list[Claim], leases: Sequence[Lease], settings: WritebackSettings, report: DeliveryReport
    ) -> tuple[list[Claim], dict[str, Held]]:
        """The people who are where they were claimed, all doubt about them settled as far as it can be, and what
        Salesforce holds. `leases` are all that we have."""
        self._check_organisation()
        begun = time.monotonic()
        claims = after_lost_jobs(claims, self.ledger, self.organisation, self.now())
        found = search(claims, self.organisation, settings, self.now())
        held = self.organisation.look([claim.person for claim in claims])
        changes = sum(len(claim.taken) for claim in claims)
        self._tell("claimed and looked at", begun, people=len(claims), changes=changes)
        report.usage = self.organisation.usage
        claims = self._join(self._follow(claims, held, leases, report), leases, report)
        claims = self._read_back(claims, held, found, settings)
        return self._reopen(claims, held, settings, report), held

    def _send_in_waves(
        self, claims: Sequence[Claim], held: Mapping[str, Held], settings: WritebackSettings, report: DeliveryReport
    ) -> None:
        """Send the people, who come Account by Account, in calls: some at once, never two with one Account."""

        slots, planning = Semaphore(settings.concurrent_calls), Lock()

        def send_wave(wave: Sequence[Claim]) -> None:
            claims = self._with_time_to_send(wave)
            with planning:  # all at once they would all be late: so the first is on its way while the next is planned
                plans = list(self._planned(claims, held, settings))
                batch = prepared(_rows(plans), self.organisation, self.now(), self.run_id)
            self._send(plans, batch, slots, report)

        waves = cut_into_waves(claims, lambda claim: _account(claim, held))
        send_at_once(waves, send_wave, threads_for(settings.concurrent_calls))

    def _follow(
        self, claims: Sequence[Claim], held: dict[str, Held], leases: Sequence[Lease], report: DeliveryReport
    ) -> list[Claim]:
        """Record where records went; both ends of a move are claimed again, together, as the one person they are."""
        moves = {id_: where.to for id_, where in held.items() if isinstance(where, Moved)}
        if not moves:
            return list(claims)
        lost = self.ledger.redirect(moves, self.now())
        report.redirected += len(moves) - len(lost)
        for claim in claims:
            reason = lost.get(claim.person.salesforce_id)
            if reason is not None:
                self._record([], cannot_follow(claim, reason, self.now()), [], report, seen=[claim.lease])
        targets = {to.salesforce_id for to in moves.values()}
        self.ledger.release(self.owner, [lease for lease in leases if lease[0] in targets])
        return [claim for claim in claims if claim.person.salesforce_id not in targets | moves.keys()]

    def _join(self, claims: Sequence[Claim], leases: Sequence[Lease], report: DeliveryReport) -> list[Claim]:
        """Before anybody is resubscribed: find what the ledger has of them under the records that became theirs."""
        asked = [claim.person for claim in claims if has_resubscribes(claim)]
        moves = self.ledger.unjoined(self.organisation.predecessors(asked)) if asked else {}
        if not moves:
            return list(claims)
        lost = self.ledger.redirect(moves, self.now())
        report.redirected += len(moves) - len(lost)
        targets = {to.salesforce_id for person, to in moves.items() if person not in lost}
        self.ledger.release(self.owner, [lease for lease in leases if lease[0] in targets])
        return [claim for claim in claims if claim.person.salesforce_id not in targets]

    def _read_back(
        self, claims: Sequence[Claim], held: Mapping[str, Held], found: Search, settings: WritebackSettings
    ) -> list[Claim]:
        read = read_back_all(claims, held, found, self.ledger, settings)
        settlements = [settlement for each in read for settlement in each.settlements]
        if settlements:
            origins = [origin for each in read for origin in each.origins]
            insist(lambda: self.ledger.record([], settlements, origins, self.now(), release=False))
        return [each.claim for each in read]

    def _reopen(
        self, claims: Sequence[Claim], held: Mapping[str, Held], settings: WritebackSettings, report: DeliveryReport
    ) -> list[Claim]:
        """Take unsubscribes again that were dealt with and whose flag is gone; those that are unknown now are read back
        when they are claimed next."""
        lost = {
            claim.lease: id_
            for claim in claims
            if (id_ := lost_flag(claim, still_there(held, claim), settings)) is not None
        }
        if not lost:
            return list(claims)
        rows = {row.id: row for row in self.ledger.reopen([(id_, *lease) for lease, id_ in lost.items()], self.now())}
        report.reopened += len(rows)
        return [
            reopened(claim, row)
            if (row := rows.get(lost.get(claim.lease, 0))) is not None and row.status is Status.PENDING
            else claim
            for claim in claims
        ]

    def _with_time_to_send(self, wave: Sequence[Claim]) -> list[Claim]:
        now = self.now()
        if all(claim.lease_until - now >= 2 * CALL_ALLOWANCE for claim in wave):
            return list(wave)
        return self.ledger.extend(self.owner, wave, now)

    def _planned(
        self, claims: Sequence[Claim], held: Mapping[str, Held], settings: WritebackSettings
    ) -> Iterator[PersonPlan]:
        now = self.now()
        return (plan_person(claim, still_there(held, claim), settings, now) for claim in claims)

    def _send(self, plans: Sequence[PersonPlan], batch: Batch, slots: Semaphore, report: DeliveryReport) -> None:
        """Send what is planned in calls, each in one of the slots, and settle it."""
        sent = send(batch, self.ledger, self.organisation, self.now, slots)
        self._settle(plans, iter(sent.results), sent, report)
        report.usage = self.organisation.usage
        if sent.trouble is not None:
            raise sent.trouble

    def _send_gathered(self, gathered: Gathered, settings: WritebackSettings, report: DeliveryReport) -> None:
        """Send and settle: in calls whom no Bulk job carries, then the others.

        At any moment some thousands are at hand, all others put away: at once they would take several kilobytes each.
        """
        carried = gathered.kinds.carried(settings.bulk_threshold)
        for portion in gathered.portions(gathered.kinds.all - carried):
            self.ledger.keep(self.owner, self.now())
            self._send_in_calls(portion, settings, report)
        batch, people = self._bulk.begin(), Shelf[Planned]()
        for portion in gathered.portions(carried):
            self.ledger.keep(self.owner, self.now())
            ours = self._extended(portion)
            batch.add(_rows([plan for plan, _ in ours]))
            people.put(ours)
        sent = self._bulk.send(batch)
        results, again = iter(sent.results), list[Planned]()
        for portion in people.portions():
            elsewhere = {claim.lease for claim in self._settle([plan for plan, _ in portion], results, sent, report)}
            again += [each for each in portion if each[0].claim.lease in elsewhere]
        report.usage = self.organisation.usage
        if sent.trouble is not None:
            raise sent.trouble
        self._send_in_calls(again, settings, report)

    def _extended(self, people: Sequence[Planned]) -> list[Planned]:
        """Those who are still ours, with fresh leases."""
        fresh = self.ledger.extend(self.owner, [plan.claim for plan, _ in people], self.now())
        ours = {claim.lease: claim for claim in fresh}
        return [
            (plan._replace(claim=ours[plan.claim.lease]), held) for plan, held in people if plan.claim.lease in ours
        ]

    def _send_in_calls(self, people: Sequence[Planned], settings: WritebackSettings, report: DeliveryReport) -> None:
        held = {plan.claim.person.salesforce_id: where for plan, where in people}
        self._send_in_waves([plan.claim for plan, _ in people], held, settings, report)

    def _settle(
        self,
        plans: Sequence[PersonPlan],
        answers: Iterator[RowResult | None],
        sent: Sent,
        report: DeliveryReport,
    ) -> list[Claim]:
        """Settle by the answers, which are to the plans' rows in their order; returns the claims of people who have to
        go by another lane."""
        writes = in_sending_order(plans)
        results = {write.key: answer for (_, write), answer in zip(writes, answers, strict=False) if answer is not None}
        answered = [plan for plan in plans if all(write.key in results for write in plan.writes)]
        again = [plan.claim for plan in answered if sent.refused and _may_all_go_again(plan, results)]
        elsewhere = {claim.lease for claim in again}
        ours = [plan for plan in answered if plan.claim.lease not in elsewhere]
        now = self.now()
        settlements = [s for plan in ours for s in (*plan.settled, *settle_person(plan, results, now, self.jitter))]
        proven = (change for plan in ours for change in origin_changes(plan, results))
        origins = [change for change in proven if change not in sent.entered]
        self._record(sent.unrecorded, settlements, origins, report, seen=[plan.claim.lease for plan in ours])
        with self.reporting:
            if sent.trouble is None:  # what is left in a job under way is not another worker's, but nobody's yet
                report.fenced += len(plans) - len(answered)
            report.without_notes = report.without_notes or not_set_up_for_notes(results)
        return again

    def _record(
        self,
        outcomes: Sequence[AttemptOutcome],
        settlements: Sequence[Settlement],
        origins: Sequence[OriginChange],
        report: DeliveryReport,
        *,
        release: bool = True,
        seen: Sequence[tuple[str, int]] = (),
    ) -> None:
        settled = [settlement._replace(run_id=self.run_id) for settlement in settlements]
        record = partial(self.ledger.record, outcomes, settled, origins, release=release, seen=seen)
        fenced = insist(lambda: record(now=self.now()))
        with self.reporting:
            report.fenced += fenced
            report.add(settled)
            self.progress(report.settled)


def _rows(plans: Sequence[PersonPlan]) -> list[Outgoing]:
    return [
        Outgoing(
            claim.person.salesforce_id,
            claim.epoch,
            claim.lease_until,
            write.writeback_id,
            claim.person.salesforce_id,
            write.write,
            write.flag_before,
            write.title,
            evidence=evidence(claim, write),
        )
        for claim, write in in_sending_order(plans)
    ]


def _may_all_go_again(plan: PersonPlan, results: Results) -> bool:
    """Whether something was not sent, and nothing was that must not be sent twice or is in doubt: only a flag may be
    set again, once it is known what became of it."""
    left = [write for write in plan.writes if results[write.key].answer is Answer.NOT_SENT]
    sent = [write for write in plan.writes if write not in left]
    return bool(left) and all(
        write.write.operation is Operation.SET_FLAG and results[write.key].answer is not Answer.UNKNOWN
        for write in sent
    )


def _lesser(one: int | None, other: int | None) -> int | None:
    return min((limit for limit in (one, other) if limit is not None), default=None)


def _account(claim: Claim, held: Mapping[str, Held]) -> str:
    return account_of(held[claim.person.salesforce_id])
