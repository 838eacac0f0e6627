"""Deliver mailing activity: one window of one kind, a Task for every summary that changed since it was last written.

A Task has a key of its own, so writing it again is harmless and needs no look first; what an earlier worker left
unanswered is simply written again. A person who moved is looked up only when Salesforce refuses the row.
Counting events is done in `activity`, the rules in `domain`, calls in `salesforce`, transactions in `store`.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from writeback_pipeline.delivery.opt_outs import check_pinned
from writeback_pipeline.delivery.protocols import ActivityLedger, CountedEvents, Organisation
from writeback_pipeline.delivery.sending import CALL_ALLOWANCE, Outgoing, Sent, send
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.ledger import MAX_HOPS
from writeback_pipeline.domain.records import ApiUsage, Live, Moved, RowResult
from writeback_pipeline.domain.tasks import TaskWrite, is_due, may_have_moved, settle_task, task_write
from writeback_pipeline.domain.window_ledger import KnownSummary, OwedSummary, WindowLease, scope_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind, Status

SUMMARIES_PER_BATCH = 1_000
"""Summaries that are journalled together and share one call."""


@dataclass(slots=True)
class ActivityReport:
    """What became of a window's summaries; `busy` when another worker is delivering the window."""

    summaries: int = 0
    unchanged: int = 0
    without_recipient: int = 0
    events: int = 0
    statuses: Counter[Status] = field(default_factory=Counter)
    redirected: int = 0
    calls: int = 0
    usage: ApiUsage = field(default_factory=lambda: ApiUsage(calls=0))
    busy: bool = False


class LeaseLost(Exception):
    """Another worker took the window over; what it has to do is in the ledger."""


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

    def run(self, kind: Kind, window: Window, counted: CountedEvents) -> ActivityReport:
        """Write what changed of the window; nothing is sent, and no call made, when nothing did.

        Raises OrganisationUnavailable for trouble that is not a row's; what was not sent stays owed.
        """
        report = ActivityReport(events=counted.events)
        lease = self.ledger.lease_window(scope_of(kind, window), self.owner, self.now())
        if lease is None:
            report.busy = True
            return report
        try:
            self._deliver(kind, window, counted, lease, report)
        finally:
            self.ledger.release_window(lease)
        return report

    def _deliver(
        self, kind: Kind, window: Window, counted: CountedEvents, lease: WindowLease, report: ActivityReport
    ) -> None:
        calls_before = self.organisation.usage.calls
        known = self.ledger.known_summaries(lease.scope)
        revisions = counted.revisions()
        changed = [key for key, revision in revisions.items() if is_due(known.get(key), revision)]
        report.summaries = len(revisions)
        report.unchanged = len(revisions) - len(changed)
        nobody = counted.without_recipient()
        report.without_recipient = len(nobody)
        new_nobody = [each for each in nobody if each.key not in known]
        if new_nobody:
            self.ledger.owe_summaries(lease, window, new_nobody, self.now())
        if changed:
            found = self.organisation.organisation_id
            check_pinned(self.ledger.pin_organisation(found), found)
        for start in range(0, len(changed), SUMMARIES_PER_BATCH):
            lease = self._with_time_to_send(lease)
            self._batch(changed[start : start + SUMMARIES_PER_BATCH], known, counted, window, lease, report)
            self.progress(min(start + SUMMARIES_PER_BATCH, len(changed)), len(changed))
        counts = (counted.events, len(revisions), len(nobody))
        self.ledger.window_delivered(kind, window, counted.fingerprint, counts, self.now(), self.run_id)
        report.usage = self.organisation.usage
        report.calls = report.usage.calls - calls_before

    def _with_time_to_send(self, lease: WindowLease) -> WindowLease:
        if lease.lease_until - self.now() >= 2 * CALL_ALLOWANCE:
            return lease
        extended = self.ledger.extend_window(lease, self.owner, self.now())
        if extended is None:
            raise LeaseLost(f"another worker took over {lease.scope}")
        return extended

    def _batch(
        self,
        keys: Sequence[str],
        known: Mapping[str, KnownSummary],
        counted: CountedEvents,
        window: Window,
        lease: WindowLease,
        report: ActivityReport,
    ) -> None:
        settings = self.ledger.settings()
        presentation = Presentation(settings.platform_name, settings.zone)
        summaries = counted.summaries(keys)
        owed = [OwedSummary(each.key, each.kind, each.person, None, each.last_at) for each in summaries]
        ids = self.ledger.owe_summaries(lease, window, owed, self.now())
        tasks = [task_write(ids[each.key], each, known.get(each.key), presentation) for each in summaries]
        for hop in range(MAX_HOPS + 1):
            sent = self._send(tasks, lease)
            answered = [(task, result) for task, result in zip(tasks, sent.results, strict=True) if result is not None]
            followed = [] if sent.trouble or hop == MAX_HOPS else self._followed(answered)
            report.redirected += sum(task.person != before.person for before, task in followed)
            again = {before.writeback_id: task for before, task in followed}
            settlements = [
                replace(settle_task(task, result, lease, self.now(), self.jitter), run_id=self.run_id)
                for task, result in answered
                if task.writeback_id not in again
            ]
            self.ledger.record(sent.unrecorded, settlements, [], self.now(), release=False)
            report.statuses.update(settlement.status for settlement in settlements)
            if len(answered) < len(tasks):
                raise LeaseLost(f"another worker took over {lease.scope}")
            if sent.trouble:
                raise sent.trouble
            if not again:
                return
            tasks = list(again.values())

    def _send(self, tasks: Sequence[TaskWrite], lease: WindowLease) -> Sent:
        rows = [
            Outgoing(
                lease.scope,
                lease.epoch,
                lease.lease_until,
                task.writeback_id,
                task.task_id or task.person.salesforce_id,
                task.write,
            )
            for task in tasks
        ]

        def between_calls(sent: Sent) -> None:
            self.ledger.record(sent.unrecorded, [], [], self.now(), release=False)

        return send(rows, self.ledger, self.organisation, self.now, self.run_id, between_calls=between_calls)

    def _followed(self, answered: Sequence[tuple[TaskWrite, RowResult]]) -> list[tuple[TaskWrite, TaskWrite]]:
        """Rows worth sending again, as they were and as they are: to where a person went, or to a Task made anew."""
        refused = [task for task, result in answered if may_have_moved(result)]
        if not refused:
            return []
        held = self.organisation.look(list({task.person for task in refused}))
        again = []
        for task in refused:
            where = held[task.person.salesforce_id]
            if isinstance(where, Moved):
                again.append((task, replace(task, person=where.to)))
            elif isinstance(where, Live) and task.task_id is not None:
                again.append((task, replace(task, task_id=None)))  # somebody deleted the Task: its key makes another
        return again
