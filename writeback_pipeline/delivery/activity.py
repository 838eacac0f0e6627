"""Deliver mailing activity: one window of one kind, a Task for every summary that changed since it was last written.

A Task has a key of its own, so writing it again is harmless and needs no look first. A person who moved is looked up
only when Salesforce refuses the row; the Task itself only where the organisation has no field for its key.
Counting events is done in `activity`, the rules in `domain`, calls in `salesforce`, transactions in `store`.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import uuid4

from writeback_pipeline.delivery.bulk_jobs import BulkJobs
from writeback_pipeline.delivery.interpreter import for_many_rows
from writeback_pipeline.delivery.interrupts import uninterrupted
from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.delivery.protocols import ActivityLedger, CountedEvents, Organisation
from writeback_pipeline.delivery.sending import CALL_ALLOWANCE, Outgoing, Sent, insist, prepared, send
from writeback_pipeline.delivery.window_plan import SUMMARIES_PER_CALL, SUMMARIES_PER_JOB, WindowPlan, plan_window
from writeback_pipeline.domain.activity import Presentation, Summary, withdrawn_summary
from writeback_pipeline.domain.ledger import MAX_HOPS, Settlement
from writeback_pipeline.domain.records import Answer, ApiUsage, RowResult
from writeback_pipeline.domain.tasks import (
    TaskWrite,
    lacks_key_field,
    may_be_tried_again,
    may_have_moved,
    next_try,
    set_aside,
    settle_task,
    task_write,
)
from writeback_pipeline.domain.trouble import Trouble
from writeback_pipeline.domain.window_ledger import KnownSummary, OwedSummary, WindowCounts, WindowLease, scope_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.logs import tell

_log = logging.getLogger(__name__)

PROGRESS = "writebacks.progress"
"""The logger on which a shell tells how far it is: window, Tasks done, of how many, how many a second."""

_DAY = timedelta(days=1)


@dataclass(slots=True)
class ActivityReport:
    """What became of a window's summaries: `statuses` are of those that were due, `left` of the others.

    `busy` when another worker is delivering the window; `key_in_text` when the organisation has no field for keys.
    """

    counts: WindowCounts = field(default_factory=WindowCounts)
    statuses: Counter[Status] = field(default_factory=Counter)
    left: Counter[Status] = field(default_factory=Counter)
    redirected: int = 0
    calls: int = 0
    usage: ApiUsage = field(default_factory=lambda: ApiUsage(calls=0))
    busy: bool = False
    key_in_text: bool = False


Refused = tuple[TaskWrite, RowResult]
"""A Task and how its write was answered."""


class LeaseLost(Trouble):
    """Another worker took the window over; what it has to do is in the ledger."""

    passing = True


@dataclass(frozen=True, slots=True)
class ActivityDelivery:
    """One worker: its ledger, its organisation, its clock. `progress` hears done and total."""

    ledger: ActivityLedger
    organisation: Organisation
    now: Callable[[], datetime]
    run_id: str | None = None
    progress: Callable[[int, int], None] = lambda _done, _total: None
    jitter: random.Random = field(default_factory=random.Random)
    owner: str = field(default_factory=lambda: uuid4().hex)
    sleep: Callable[[float], None] = time.sleep

    @for_many_rows()
    def run(self, kind: Kind, window: Window, counted: CountedEvents) -> ActivityReport:
        """Write what changed of the window; nothing is sent, and no call made, when nothing did.

        Raises OrganisationUnavailable for trouble that is not a row's and LeaseLost; what was not sent stays owed.
        """
        report, begun = ActivityReport(), time.monotonic()
        calls_before = self.organisation.usage.calls
        self._bulk.finish_left(self._check_organisation, scope_of(kind, window))
        leased = self.ledger.lease_window(scope_of(kind, window), self.owner, self.now())
        if leased is None:
            report.busy = True
            return report
        lease, known = leased
        try:
            plan = plan_window(known, counted, self.ledger.settings().bulk_threshold)
            report.counts = plan.counts
            report.left.update(plan.left)
            with self.ledger.kept_open():
                self._deliver(window, counted, lease, known, plan, report)
        except BaseException:
            with suppress(Exception):  # a lease that cannot be given back runs out by itself
                self.ledger.release_window(lease)
            raise
        self.ledger.window_delivered(lease, kind, window, counted.fingerprint, plan.counts, self.now(), self.run_id)
        report.usage = self.organisation.usage
        report.calls = report.usage.calls - calls_before
        tell(
            _log,
            "window delivered",
            run=self.run_id,
            kind=kind.value,
            window=window.name,
            **{status.value: count for status, count in report.statuses.items()},
            calls=report.calls,
            seconds=round(time.monotonic() - begun, 3),
        )
        return report

    def _deliver(
        self,
        window: Window,
        counted: CountedEvents,
        lease: WindowLease,
        known: Mapping[str, KnownSummary],
        plan: WindowPlan,
        report: ActivityReport,
    ) -> None:
        if plan.nobody:
            self.ledger.owe_summaries(lease, window, plan.nobody, self.now(), self.run_id)
        if plan.dropped:
            self.ledger.drop_summaries(lease, plan.dropped, self.now(), self.run_id)
        if plan.portions:
            self._check_organisation()
        refused: list[Refused] = []
        done, total = 0, len(plan.due)
        for portion in plan.portions:
            summaries = [
                *counted.summaries([key for key in portion.keys if key not in plan.withdrawn]),
                *(
                    withdrawn_summary(key, window, counted.presentation)
                    for key in portion.keys
                    if key in plan.withdrawn
                ),
            ]
            tasks = self._owe(summaries, known, counted.presentation, window, lease)
            by_bulk = portion.by_bulk and not report.key_in_text
            most = SUMMARIES_PER_JOB if by_bulk else SUMMARIES_PER_CALL
            for start in range(0, len(tasks), most):
                # A job goes on without us and is taken over; the answer to a call is lost when nobody waits for it.
                with nullcontext() if by_bulk else uninterrupted():
                    refused += self._write(tasks[start : start + most], window, lease, report, by_bulk=by_bulk)
            done += len(tasks)
            if len(refused) >= SUMMARIES_PER_CALL or done == total:
                self._try_again(refused, window, lease, report)
                refused = []
            self.progress(done, total)

    def _try_again(
        self, refused: Sequence[Refused], window: Window, lease: WindowLease, report: ActivityReport
    ) -> None:
        """Send what was refused where it belongs now, a few times at most.

        Many at once: people who moved are few, and a look for each of them would double the calls.
        """
        for hop in range(MAX_HOPS + 1):
            tasks = self._worth_another_try(refused, lease, report, last=hop == MAX_HOPS)
            refused = []
            for start in range(0, len(tasks), SUMMARIES_PER_CALL):
                with uninterrupted():
                    refused += self._write(tasks[start : start + SUMMARIES_PER_CALL], window, lease, report)

    def _owe(
        self,
        summaries: Sequence[Summary],
        known: Mapping[str, KnownSummary],
        presentation: Presentation,
        window: Window,
        lease: WindowLease,
    ) -> list[TaskWrite]:
        owed = [OwedSummary(each.key, each.kind, each.person, None, each.last_at) for each in summaries]
        ids = self.ledger.owe_summaries(lease, window, owed, self.now(), self.run_id)
        if len(ids) < len(owed):
            raise LeaseLost(f"another worker took over {lease.scope}")
        return [task_write(ids[each.key], each, known.get(each.key), presentation) for each in summaries]

    def _write(
        self,
        tasks: Sequence[TaskWrite],
        window: Window,
        lease: WindowLease,
        report: ActivityReport,
        *,
        by_bulk: bool = False,
    ) -> list[Refused]:
        """Send the Tasks and settle them, but for those that may be worth another try: they are returned."""
        lease = self._with_time_to_send(lease)
        if report.key_in_text:
            tasks = self._looked_up(tasks, window)
        rows = [_outgoing(task, lease) for task in tasks]
        if by_bulk:
            sent = self._bulk.send_all(rows)
        else:
            batch = prepared(rows, self.organisation, self.now(), self.run_id)
            sent = send(batch, self.ledger, self.organisation, self.now)
        answered = [(task, result) for task, result in zip(tasks, sent.results, strict=True) if result is not None]
        report.key_in_text |= any(lacks_key_field(result.code, result.message) for _, result in answered)
        trouble = sent.trouble
        if trouble is not None and lacks_key_field(trouble.code, trouble.message):
            trouble = None
        refused = [] if trouble else [each for each in answered if may_be_tried_again(*each)]
        again = sent.refused and trouble is None
        by_calls = [task for task, result in answered if again and result.answer is Answer.NOT_SENT]
        aside = {task.writeback_id for task in (*(task for task, _ in refused), *by_calls)}
        settled = [each for each in answered if each[0].writeback_id not in aside]
        waiting = [set_aside(task, result, lease, self.now()) for task, result in refused]
        self._settle(settled, lease, report, waiting, sent)
        if trouble is not None:
            raise trouble
        if len(answered) < len(tasks):
            raise LeaseLost(f"another worker took over {lease.scope}")
        for start in range(0, len(by_calls), SUMMARIES_PER_CALL):
            refused += self._write(by_calls[start : start + SUMMARIES_PER_CALL], window, lease, report)
        return refused

    def _settle(
        self,
        answered: Sequence[Refused],
        lease: WindowLease,
        report: ActivityReport,
        waiting: Sequence[Settlement] = (),
        sent: Sent | None = None,
    ) -> None:
        final = [settle_task(task, result, lease, self.now(), self.jitter) for task, result in answered]
        settlements = [each._replace(run_id=self.run_id) for each in (*final, *waiting)]
        outcomes = sent.unrecorded if sent else []
        insist(lambda: self.ledger.record(outcomes, settlements, [], self.now(), release=False))
        report.statuses.update(settlement.status for settlement in final)

    def _with_time_to_send(self, lease: WindowLease) -> WindowLease:
        if lease.lease_until - self.now() >= 2 * CALL_ALLOWANCE:
            return lease
        extended = self.ledger.extend_window(lease, self.owner, self.now())
        if extended is None:
            raise LeaseLost(f"another worker took over {lease.scope}")
        return extended

    def _looked_up(self, tasks: Sequence[TaskWrite], window: Window) -> list[TaskWrite]:
        """The writes for an organisation without a field for keys: Tasks that are there already are found first."""
        keys = [(task.person.salesforce_id, task.summary.key) for task in tasks if task.task_id is None]
        first, last = (window.start - _DAY).date(), (window.end + _DAY).date()
        found = self.organisation.find_tasks(keys, first, last) if keys else {}
        return [replace(task, key_in_text=True, task_id=task.task_id or found.get(task.summary.key)) for task in tasks]

    @property
    def _bulk(self) -> BulkJobs:
        return BulkJobs(self.ledger, self.organisation, self.now, self.sleep, self.owner, self.run_id)

    def _check_organisation(self) -> None:
        found = self.organisation.organisation_id
        check_pinned(self.ledger.pin_organisation(found), found)

    def _worth_another_try(
        self, refused: Sequence[Refused], lease: WindowLease, report: ActivityReport, *, last: bool
    ) -> list[TaskWrite]:
        """What was refused, as it is sent again; the rest is settled."""
        people = {task.person for task, result in refused if may_have_moved(result)} if not last else ()
        held = self.organisation.look(list(people)) if people else {}
        tries = []
        given_up = []
        for task, result in refused:
            again = None if last else next_try(task, result, held.get(task.person.salesforce_id))
            if again is None:
                given_up.append((task, result))
            else:
                tries.append(again)
                report.redirected += again.person != task.person
        if given_up:
            self._settle(given_up, lease, report)
        return tries


def _outgoing(task: TaskWrite, lease: WindowLease) -> Outgoing:
    target_id = task.task_id or task.person.salesforce_id
    revision = task.summary.revision
    return Outgoing(
        lease.scope, lease.epoch, lease.lease_until, task.writeback_id, target_id, task.write, revision=revision
    )
