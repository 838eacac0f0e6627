"""A ledger in memory with the store's promises for deliveries, hundreds of times as fast: for simulations.

The contract suites of the store run on it too.
"""

import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta

from writeback_pipeline.domain.adoption import AdoptedJob
from writeback_pipeline.domain.breaker import Breaker, tripped
from writeback_pipeline.domain.budget import CallAhead, Caller
from writeback_pipeline.domain.bulk import BulkJob, Stage
from writeback_pipeline.domain.keys import Holder, refuse_others
from writeback_pipeline.domain.ledger import (
    LEASE,
    Attempt,
    AttemptOutcome,
    Claim,
    EnqueueResult,
    Intent,
    OriginChange,
    QueueDepth,
    RetryResult,
    SettingChange,
    SettingsMoved,
    Settlement,
    WritebackFilter,
)
from writeback_pipeline.domain.people import InvalidSalesforceId, PersonRef, normalise_id
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.settings import (
    WritebackSettings,
    as_mapping,
    as_stored,
    setting_text,
    settings_from,
)
from writeback_pipeline.domain.undoing import TAKEN_BACK
from writeback_pipeline.domain.window_ledger import (
    DeliveredWindow,
    KnownSummary,
    OwedSummary,
    WindowAccount,
    WindowCounts,
    WindowLease,
)
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import (
    OPEN_STATUSES,
    OPT_OUT_KINDS,
    RETRYABLE,
    WHY_NOT_RETRIED,
    Change,
    Kind,
    Status,
    Writeback,
)
from writeback_pipeline.store.queue import NO_RECIPIENT, UnknownWriteback
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline.store.reopening import REOPENED, as_reopened
from writeback_pipeline_tests.fakes import jobs, leases, settling, windows
from writeback_pipeline_tests.fakes.tables import Tables


class MemoryLedger:
    """Queue, ledger, journal and settings in dictionaries; every method is one step that nothing can interrupt."""

    def __init__(self) -> None:
        self.tables = Tables()
        self._keys: set[str] = set()
        self._settings: dict[str, str] = {}
        self._parsed = WritebackSettings()
        self._history: list[SettingChange] = []
        self._organisation: str | None = None
        self._breaker = Breaker()

    def enqueue(self, changes: Sequence[Change], now: datetime) -> EnqueueResult:
        fresh: dict[str, Change] = {}
        for change in changes:
            if change.delivery_key not in self._keys:
                fresh.setdefault(change.delivery_key, change)
        moved = settling.where_they_went(self.tables, [c.salesforce_id for c in fresh.values() if c.salesforce_id])
        first = len(self.tables.rows) + 1
        rows = [_row(id_, key, c, moved, now) for id_, (key, c) in enumerate(fresh.items(), first)]
        self._refuse_keys_of_others(changes, rows)
        for row in rows:
            self._insert(row)
        return EnqueueResult(added=len(rows), known=len(changes) - len(rows))

    def _refuse_keys_of_others(self, changes: Sequence[Change], fresh: Sequence[Writeback]) -> None:
        if len(fresh) == len(changes):
            return
        keys = {change.delivery_key for change in changes}
        holders = {
            row.delivery_key: Holder(
                row.id, row.kind, frozenset({row.salesforce_id, row.redirected_from or row.salesforce_id})
            )
            for row in (*self.tables.rows.values(), *fresh)
            if row.delivery_key in keys
        }
        people = [change.salesforce_id for change in changes if change.salesforce_id]
        refuse_others(changes, holders, settling.where_they_went(self.tables, people))

    def _insert(self, row: Writeback) -> None:
        self._keys.add(row.delivery_key)
        self.tables.insert(row, row.salesforce_id)
        if row.salesforce_id is not None:
            self.tables.add_people([PersonRef(row.object_type, row.salesforce_id)])

    def settle_without_recipient(self, now: datetime, run_id: str | None) -> int:
        nobodys = [self.tables.rows[id_] for id_ in self.tables.open if id_ not in self.tables.owner_of]
        found = [row for row in nobodys if row.status is Status.PENDING]
        for row in found:
            settled = row._replace(status=Status.NO_RECIPIENT, advice=NO_RECIPIENT, run_id=run_id or row.run_id)
            self.tables.put(settled)
        return len(found)

    def retry(self, *, ids: Collection[int] = (), statuses: Collection[Status] = ()) -> RetryResult:
        never = [status.value for status in statuses if status not in RETRYABLE]
        if never:
            raise ValueError(f"only {' and '.join(RETRYABLE)} writebacks can be retried, not {', '.join(never)}")
        nobodys = sorted(set(ids) - self.tables.rows.keys())
        if nobodys:
            raise UnknownWriteback(f"no writeback has the id {', '.join(map(str, nobodys))}: nothing was changed.")
        found = [row for row in self.tables.rows.values() if row.id in ids or row.status in statuses]
        chosen = [row for row in found if row.id in ids or row.error_code not in TAKEN_BACK]
        refused = {row.id: WHY_NOT_RETRIED[row.status] for row in chosen if row.status not in RETRYABLE}
        for row in chosen:
            if row.id not in refused:
                status = Status.UNKNOWN if row.error_code == WORKER_LOST else Status.PENDING
                again = row._replace(status=status, attempts=0, next_attempt_at=None)
                self.tables.put(again._replace(error_code=None, error_message=None, advice=None))
        retried = tuple(row.id for row in chosen if row.id not in refused)
        return RetryResult(retried, refused, left_undone=len(found) - len(chosen))

    def claim(self, owner: str, now: datetime, *, limit: int, lease: timedelta = LEASE) -> list[Claim]:
        leases.recover(self.tables, now)
        return leases.claim(self.tables, owner, now, limit, lease)

    def claim_suspects(self, owner: str, now: datetime, *, limit: int, lease: timedelta = LEASE) -> list[Claim]:
        return leases.claim_suspects(self.tables, owner, now, limit, lease)

    def enter_job(self, job: BulkJob, owner: str) -> bool:
        return jobs.enter(self.tables, job, owner)

    def move_job(self, job: BulkJob, stage: Stage, owner: str, now: datetime) -> bool:
        return jobs.move(self.tables, job, stage, owner)

    def renew_job(self, job: BulkJob, owner: str, now: datetime) -> bool:
        return jobs.renew(self.tables, job, owner, now)

    def end_job(self, job: BulkJob, now: datetime) -> None:
        jobs.end(self.tables, job)

    def adopt_job(self, owner: str, now: datetime, scope: str | None = None) -> AdoptedJob | None:
        return jobs.adopt(self.tables, owner, now, scope)

    def release_job(self, job: BulkJob, owner: str) -> None:
        jobs.release(self.tables, job, owner)

    def known_jobs(self, job_ids: Collection[str]) -> set[str]:
        return self.tables.jobs.keys() & set(job_ids)

    def settle_job(self, job: BulkJob, outcomes: Sequence[AttemptOutcome], now: datetime) -> int:
        return jobs.settle(self.tables, job, outcomes, now)

    def lease_window(self, scope: str, owner: str, now: datetime) -> tuple[WindowLease, dict[str, KnownSummary]] | None:
        return windows.lease(self.tables, scope, owner, now)

    def extend_window(self, held: WindowLease, owner: str, now: datetime) -> WindowLease | None:
        return windows.extend(self.tables, held, owner, now)

    def release_window(self, held: WindowLease) -> None:
        windows.release(self.tables, held)

    def known_summaries(self, scope: str) -> dict[str, KnownSummary]:
        return windows.known(self.tables, scope)

    def owe_summaries(
        self, held: WindowLease, window: Window, owed: Sequence[OwedSummary], now: datetime, run_id: str | None
    ) -> dict[str, int]:
        return windows.owe(self.tables, held, window, owed, now, run_id)

    def drop_summaries(self, held: WindowLease, keys: Sequence[str], now: datetime, run_id: str | None) -> None:
        windows.drop(self.tables, held, keys, run_id)

    def window_delivered(
        self,
        held: WindowLease,
        kind: Kind,
        window: Window,
        fingerprint: str,
        counts: WindowCounts,
        now: datetime,
        run_id: str | None,
    ) -> None:
        if windows.release(self.tables, held):
            windows.delivered(self.tables, kind, window, fingerprint, counts, now)

    def delivered_windows(self, since: datetime, now: datetime) -> list[DeliveredWindow]:
        return windows.remembered(self.tables, since, now)

    def window_accounts(self, since: datetime) -> list[WindowAccount]:
        return windows.accounts(self.tables, since)

    def preview(self, now: datetime, *, limit: int, people: Sequence[str] | None = None) -> list[Claim]:
        chosen = leases.due(self.tables, now, limit) if people is None else list(people)[:limit]
        return list(leases.claims(self.tables, chosen, now, now))

    def trip(self, caller: Caller, trouble: OrganisationUnavailable, now: datetime, jitter: random.Random) -> None:
        self._breaker = tripped(self._breaker, trouble, caller.name, now, jitter)

    def is_unproven(self) -> bool:
        return self._breaker.failures > 0

    def due(self, now: datetime) -> int:
        tables = self.tables
        rows = sum(
            (leases.owed_now(row, now) or row.status is Status.SENDING)
            and row.kind in OPT_OUT_KINDS
            and (row.id not in tables.owner_of or tables.people[tables.owner_of[row.id]].is_free(now))
            for row in map(tables.rows.__getitem__, tables.open)
        )
        return rows + sum(each.is_free(now) and leases.to_verify(each, now) for each in tables.people.values())

    def extend(self, owner: str, claims: Sequence[Claim], now: datetime) -> list[Claim]:
        return leases.extend(self.tables, owner, claims, now)

    def keep(self, owner: str, now: datetime) -> None:
        leases.keep(self.tables, owner, now)

    def release(self, owner: str, held: Sequence[tuple[str, int]]) -> None:
        leases.release(self.tables, owner, held)

    def redirect(self, moves: Mapping[str, PersonRef], now: datetime) -> dict[str, str]:
        return settling.redirect(self.tables, moves)

    def unjoined(self, moves: Mapping[str, PersonRef]) -> dict[str, PersonRef]:
        return settling.unjoined(self.tables, moves)

    def kept_open(self) -> AbstractContextManager[None]:
        return nullcontext()

    def journal(self, intents: Sequence[Intent], *, ahead: CallAhead | None = None) -> list[int | None]:
        return leases.journal(self.tables, intents)

    def record(
        self,
        outcomes: Sequence[AttemptOutcome],
        settlements: Sequence[Settlement],
        origins: Sequence[OriginChange],
        now: datetime,
        *,
        release: bool,
        seen: Collection[tuple[str, int]] = (),
        in_between: bool = False,
        ahead: CallAhead | None = None,
    ) -> int:
        return settling.record(
            self.tables, outcomes, settlements, origins, now, release=release, seen=seen, in_between=in_between
        )

    def reopen(self, lost: Collection[tuple[int, str, int]], now: datetime) -> list[Writeback]:
        return leases.reopen(self.tables, lost, now)

    def notes_known(self, ids: Collection[str]) -> set[str]:
        return {row.note_id for row in self.tables.rows.values() if row.note_id in ids and row.note_id is not None}

    def reopenable(self, ids: Collection[int]) -> list[Writeback]:
        rows = (self.tables.rows[id_] for id_ in ids)
        found = [row for row in rows if row.kind is Kind.UNSUBSCRIBE and row.status in REOPENED]
        return [as_reopened(row) for row in found]

    def question_suppressed(self, now: datetime) -> int:
        if self.settings().suppress_opt_out_flag:
            return 0
        return leases.question_suppressed(self.tables, now)

    def question(self, since: datetime, now: datetime) -> int:
        return leases.question(self.tables, since, now)

    def attempts_of(self, writeback_ids: Collection[int]) -> list[Attempt]:
        found = (each for id_ in writeback_ids for each in self.tables.attempts_of[id_])
        return [each.attempt for each in sorted(found, key=lambda each: each.id)]

    def depth(self) -> QueueDepth:
        rows = [row for row in self.tables.rows.values() if row.kind in OPT_OUT_KINDS]
        owed = [row for row in rows if row.status in OPEN_STATUSES]
        return QueueDepth(
            dict(Counter(row.status for row in rows)),
            min((row.created_at for row in owed), default=None),
        )

    def writebacks(self, only: WritebackFilter) -> list[Writeback]:
        newest = sorted(self._shown(only), key=lambda row: (row.occurred_at, row.id), reverse=True)
        return newest[: only.limit]

    def count(self, only: WritebackFilter) -> int:
        return len(self._shown(only))

    def _shown(self, only: WritebackFilter) -> list[Writeback]:
        return [
            row
            for row in self.tables.rows.values()
            if (not only.statuses or row.status in only.statuses)
            and (not only.kinds or row.kind in only.kinds)
            and (not only.object_types or row.object_type in only.object_types)
            and (not only.error_codes or row.error_code in only.error_codes)
            and row.error_code not in only.without_codes
            and (only.ids is None or row.id in only.ids)
            and (only.since is None or row.occurred_at >= only.since)
            and (only.until is None or row.occurred_at < only.until)
            and (only.run_id is None or row.run_id == only.run_id)
            and (only.person is None or self._is_of(row, only.person))
        ]

    def _is_of(self, row: Writeback, text: str) -> bool:
        try:
            person = normalise_id(text)
        except InvalidSalesforceId:
            person = text.strip()
        ids = (row.salesforce_id, row.redirected_from, self.tables.owner_of.get(row.id), row.subscriber_id)
        return person in ids or (row.email or "").lower() == person.lower()

    def settings(self) -> WritebackSettings:
        return self._parsed

    def change_settings(
        self, texts: Mapping[str, str], by: str, now: datetime, *, seen: int | None = None
    ) -> list[SettingChange]:
        wanted = as_stored(texts)
        if seen is not None and seen != len(self._history):
            raise SettingsMoved
        stored = {name: setting_text(value) for name, value in as_mapping(self._parsed).items()}
        changes = [
            SettingChange(name, stored[name], new, by, now) for name, new in wanted.items() if new != stored[name]
        ]
        self._settings |= wanted
        self._parsed = settings_from(self._settings)
        self._history += changes
        return changes

    def settings_history(self) -> list[SettingChange]:
        return list(self._history)

    def pin_organisation(self, organisation_id: str) -> str:
        self._organisation = self._organisation or organisation_id
        return self._organisation

    def pinned_organisation(self) -> str | None:
        return self._organisation


def _row(id_: int, key: str, change: Change, moved: Mapping[str, PersonRef], now: datetime) -> Writeback:
    (change.reason or "").encode()  # as a database would refuse half a surrogate pair
    to = moved.get(change.salesforce_id or "")
    return Writeback(
        id=id_,
        kind=change.kind,
        object_type=to.object_type if to else change.object_type,
        salesforce_id=to.salesforce_id if to else change.salesforce_id,
        subscriber_id=change.subscriber_id,
        email=change.email,
        occurred_at=change.occurred_at.astimezone(UTC),
        reason=change.reason,
        window_start=None,
        window_end=None,
        delivery_key=key,
        status=Status.PENDING,
        flag_result=None,
        attempts=0,
        next_attempt_at=None,
        error_code=None,
        error_message=None,
        advice=None,
        note_id=None,
        task_id=None,
        redirected_from=change.salesforce_id if to else None,
        run_id=None,
        created_at=now,
        written_at=None,
    )
