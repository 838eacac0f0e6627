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
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import compress
from threading import Lock
from uuid import uuid4

from writeback_pipeline.delivery.bulk_jobs import BulkJobs
from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.delivery.protocols import OptOutLedger, Organisation
from writeback_pipeline.delivery.reading_back import Search, read_back_all, search, still_there
from writeback_pipeline.delivery.report import DeliveryReport
from writeback_pipeline.delivery.sending import (
    CALL_ALLOWANCE,
    ROWS_PER_TRANSACTION,
    Outgoing,
    Sender,
    Sent,
    insist,
    send,
)
from writeback_pipeline.delivery.waves import cut_into_waves, send_at_once
from writeback_pipeline.domain.bulk import carried_by_bulk
from writeback_pipeline.domain.ledger import AttemptOutcome, Claim, OriginChange, Settlement
from writeback_pipeline.domain.planning import (
    PersonPlan,
    PlannedWrite,
    WriteKey,
    cannot_follow,
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
    Live,
    Moved,
    Operation,
    OrganisationUnavailable,
    RowResult,
)
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.logs import tell

_log = logging.getLogger(__name__)

PEOPLE_PER_CLAIM = 10_000
"""People leased and looked at together: five reads of 2,000 share one call."""

PEOPLE_PER_JOB = 100_000
"""People claimed together where so much is owed that Bulk jobs carry it: each job costs the same, whatever its size."""


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
        left = limit
        while left is None or left > 0:
            if self.ledger.settings().suppress_opt_out_flag != settings.suppress_opt_out_flag:
                break  # what is left is the next delivery's, under the policy that is in force now
            claims = self._claim(left, settings)
            if not claims:
                break
            with self._released_on_error(claims):
                self._check_organisation()
                served = self._deliver(claims, settings, report)
            left = None if left is None else left - served
        counts = {status.value: count for status, count in report.statuses.items()}
        self._tell("delivered", begun, **counts, redirected=report.redirected, calls=report.usage.calls)
        in_the_end = left_behind or report.without_notes
        if in_the_end is not None:
            raise in_the_end
        return report

    def _tell(self, event: str, begun: float, **fields: object) -> None:
        tell(_log, event, run=self.run_id, **fields, seconds=round(time.monotonic() - begun, 3))

    @property
    def _bulk(self) -> BulkJobs:
        return BulkJobs(self.ledger, self.organisation, self.now, self.sleep, self.owner, self.run_id)

    def _check_organisation(self) -> None:
        found = self.organisation.organisation_id
        check_pinned(self.ledger.pin_organisation(found), found)

    def _claim(self, left: int | None, settings: WritebackSettings) -> list[Claim]:
        """People to whom something is owed: as many as Bulk jobs carry where it is that much, at most `left`."""
        by_bulk = self.ledger.due(self.now()) >= settings.bulk_threshold
        at_most = min(PEOPLE_PER_JOB if by_bulk else PEOPLE_PER_CLAIM, left or PEOPLE_PER_JOB)
        claims: list[Claim] = []
        while len(claims) < at_most:
            more = self.ledger.claim(self.owner, self.now(), limit=min(PEOPLE_PER_CLAIM, at_most - len(claims)))
            claims += more
            if not more:
                break
        return claims or self.ledger.claim_suspects(self.owner, self.now(), limit=at_most)

    @contextmanager
    def _released_on_error(self, claims: Sequence[Claim]) -> Iterator[None]:
        try:
            yield
        except BaseException:
            with suppress(Exception):  # a lease that cannot be given back runs out by itself
                self.ledger.release(self.owner, claims)
            raise

    def _deliver(self, claims: Sequence[Claim], settings: WritebackSettings, report: DeliveryReport) -> int:
        begun = time.monotonic()
        found = search(claims, self.organisation, settings, self.now())
        held = self.organisation.look([claim.person for claim in claims])
        changes = sum(len(claim.taken) for claim in claims)
        self._tell("claimed and looked at", begun, people=len(claims), changes=changes)
        report.usage = self.organisation.usage
        stay = self._join(self._follow(claims, held, report), report)
        stay = self._read_back(stay, held, found, settings)
        stay = self._reopen(stay, held, settings, report)
        stay.sort(key=lambda claim: (_account(claim, held), claim.person.salesforce_id))
        carried = self._carried_by_bulk(stay, held, settings)
        self._send_in_waves([claim for claim in stay if claim.lease not in carried], held, settings, report)
        if carried:
            bulk = self._with_time_to_send([claim for claim in stay if claim.lease in carried])
            refused = self._send(self._plans(bulk, held, settings), report, self._bulk.send)
            self._send_in_waves(refused, held, settings, report)
        return len(stay)

    def _carried_by_bulk(
        self, claims: Sequence[Claim], held: Mapping[str, Held], settings: WritebackSettings
    ) -> set[tuple[str, int]]:
        """The leases of people whose rows all go by Bulk; where too little is owed for that, nobody is planned."""
        if sum(len(claim.taken) + 1 for claim in claims) < settings.bulk_threshold:
            return set()
        rows_of = [[write.write for write in plan.writes] for plan in self._plans(claims, held, settings)]
        carried = carried_by_bulk(rows_of, settings.bulk_threshold)
        return {claim.lease for claim in compress(claims, carried)}

    def _send_in_waves(
        self, claims: Sequence[Claim], held: Mapping[str, Held], settings: WritebackSettings, report: DeliveryReport
    ) -> None:
        """Send the people, who come Account by Account, in calls: some at once, never two with one Account."""

        def send_wave(wave: Sequence[Claim]) -> None:
            plans = self._plans(self._with_time_to_send(wave), held, settings)
            self._send(plans, report, self._send_in_calls)

        waves = cut_into_waves(claims, lambda claim: _account(claim, held))
        send_at_once(waves, send_wave, settings.concurrent_calls)

    def _send_in_calls(self, rows: Sequence[Outgoing], *, between_calls: Callable[[Sent], None]) -> Sent:
        return send(rows, self.ledger, self.organisation, self.now, self.run_id, between_calls=between_calls)

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
                self._record([], cannot_follow(claim, reason, self.now()), [], report, seen=[claim.lease])
        targets = {to.salesforce_id for to in moves.values()}
        self.ledger.release(self.owner, [claim for claim in claims if claim.person.salesforce_id in targets])
        return [claim for claim in claims if claim.person.salesforce_id not in targets | moves.keys()]

    def _join(self, claims: Sequence[Claim], report: DeliveryReport) -> list[Claim]:
        """Before anybody is resubscribed: find what the ledger has of them under the records that became theirs."""
        asked = [claim.person for claim in claims if has_resubscribes(claim)]
        moves = self.ledger.unjoined(self.organisation.predecessors(asked)) if asked else {}
        if not moves:
            return list(claims)
        lost = self.ledger.redirect(moves, self.now())
        report.redirected += len(moves) - len(lost)
        targets = {to.salesforce_id for person, to in moves.items() if person not in lost}
        self.ledger.release(self.owner, [claim for claim in claims if claim.person.salesforce_id in targets])
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
        """Take unsubscribes again that were dealt with and whose flag is gone."""
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
            reopened(claim, row) if (row := rows.get(lost.get(claim.lease, 0))) is not None else claim
            for claim in claims
        ]

    def _with_time_to_send(self, wave: Sequence[Claim]) -> list[Claim]:
        if all(claim.lease_until - self.now() >= 2 * CALL_ALLOWANCE for claim in wave):
            return list(wave)
        return self.ledger.extend(self.owner, wave, self.now())

    def _plans(self, wave: Sequence[Claim], held: Mapping[str, Held], settings: WritebackSettings) -> list[PersonPlan]:
        now = self.now()
        return [plan_person(claim, still_there(held, claim), settings, now) for claim in wave]

    def _send(self, plans: Sequence[PersonPlan], report: DeliveryReport, sender: Sender) -> list[Claim]:
        """Send what is planned and settle it; returns the claims of people who have to go by another lane."""
        writes = in_sending_order(plans)
        rows = [_outgoing(write, claim) for claim, write in writes]

        def results_of(sent: Sent) -> dict[WriteKey, RowResult]:
            pairs = zip(writes, sent.results, strict=True)
            return {write.key: result for (_, write), result in pairs if result is not None}

        def between_calls(sent: Sent) -> None:
            origins = _origins(plans, results_of(sent))
            for start in range(0, len(sent.unrecorded), ROWS_PER_TRANSACTION):
                outcomes = sent.unrecorded[start : start + ROWS_PER_TRANSACTION]
                self._record(outcomes, [], origins, report, release=False)

        begun = time.monotonic()
        sent = sender(rows, between_calls=between_calls)
        self._tell("wave", begun, people=len(plans), rows=len(rows))
        results = results_of(sent)
        answered = [plan for plan in plans if all(write.key in results for write in plan.writes)]
        again = [plan.claim for plan in answered if sent.refused and _may_all_go_again(plan, results)]
        elsewhere = {claim.lease for claim in again}
        ours = [plan for plan in answered if plan.claim.lease not in elsewhere]
        if sent.trouble is None:  # what is left in a job under way is not another worker's, but nobody's yet
            with self.reporting:
                report.fenced += len(plans) - len(ours) - len(again)
        if len(ours) > ROWS_PER_TRANSACTION:  # a lease is given back only once all of its answers are recorded
            between_calls(sent)
            sent.unrecorded = []
        for start in range(0, max(len(ours), 1), ROWS_PER_TRANSACTION):
            self._settle(ours[start : start + ROWS_PER_TRANSACTION], results, sent, report)
        report.usage = self.organisation.usage
        if sent.trouble is not None:
            raise sent.trouble
        return again

    def _settle(
        self, plans: Sequence[PersonPlan], results: dict[WriteKey, RowResult], sent: Sent, report: DeliveryReport
    ) -> None:
        now = self.now()
        settlements = [s for plan in plans for s in (*plan.settled, *settle_person(plan, results, now, self.jitter))]
        seen = [plan.claim.lease for plan in plans]
        self._record(sent.unrecorded, settlements, _origins(plans, results), report, seen=seen)
        with self.reporting:
            report.without_notes = report.without_notes or not_set_up_for_notes(results)

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
        settled = [replace(settlement, run_id=self.run_id) for settlement in settlements]
        record = partial(self.ledger.record, outcomes, settled, origins, release=release, seen=seen)
        fenced = insist(lambda: record(now=self.now()))
        with self.reporting:
            report.fenced += fenced
            report.add(settled)
            self.progress(report.settled)


def _outgoing(write: PlannedWrite, claim: Claim) -> Outgoing:
    person_id = claim.person.salesforce_id
    return Outgoing(
        person_id,
        claim.epoch,
        claim.lease_until,
        write.writeback_id,
        person_id,
        write.write,
        write.flag_before,
        write.title,
    )


def _may_all_go_again(plan: PersonPlan, results: Mapping[WriteKey, RowResult]) -> bool:
    """Whether something was not sent, and nothing was that must not be sent twice or is in doubt: only a flag may be
    set again, once it is known what became of it."""
    left = [write for write in plan.writes if results[write.key].answer is Answer.NOT_SENT]
    sent = [write for write in plan.writes if write not in left]
    return bool(left) and all(
        write.write.operation is Operation.SET_FLAG and results[write.key].answer is not Answer.UNKNOWN
        for write in sent
    )


def _origins(plans: Sequence[PersonPlan], results: dict[WriteKey, RowResult]) -> list[OriginChange]:
    return [change for plan in plans for change in origin_changes(plan, results)]


def _account(claim: Claim, held: Mapping[str, Held]) -> str:
    """The Account that Salesforce locks while it updates the person; empty for none."""
    where = held[claim.person.salesforce_id]
    return (where.account_id if isinstance(where, Live) else None) or ""
