"""The store: every method is one transaction over the functions of its neighbours, and nothing else.

It satisfies the protocols that delivery and the shells declare. Each method takes the database and gives it back before
it returns, so a store is shared freely between threads and costs nothing while it is not used. A method that changes
anything is alone in the ledger (`writing`) unless it holds on to all that it decides on (`sharing`).
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from writeback_pipeline.domain import findings
from writeback_pipeline.domain.adoption import AdoptedJob
from writeback_pipeline.domain.alerts import Sighting
from writeback_pipeline.domain.auditing import Expectation
from writeback_pipeline.domain.breaker import recovered, tripped
from writeback_pipeline.domain.budget import Admission, CallAhead, Caller, Purpose
from writeback_pipeline.domain.bulk import BulkJob, Stage
from writeback_pipeline.domain.erasure import Erased, PersonalData
from writeback_pipeline.domain.health import Heartbeat, LedgerHealth, heartbeat
from writeback_pipeline.domain.holds import Hold, Poll
from writeback_pipeline.domain.incidents import Incident, Notice, changes, notices
from writeback_pipeline.domain.latency import Latency, LatencyByDay
from writeback_pipeline.domain.ledger import (
    LEASE,
    Asked,
    Attempt,
    AttemptOutcome,
    Claim,
    EnqueueResult,
    Intent,
    OperatorAction,
    Origin,
    OriginChange,
    QueueDepth,
    RetryResult,
    SettingChange,
    Settlement,
    StoreBusy,
    WritebackFilter,
)
from writeback_pipeline.domain.listing import Became, OpenedWriteback, Page, Position, Tally
from writeback_pipeline.domain.measures import MEASURED_OVER, Measures
from writeback_pipeline.domain.overview import Overview
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import ApiUsage, OrganisationUnavailable
from writeback_pipeline.domain.retention import Prunable
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.story import Facts
from writeback_pipeline.domain.sync import Finding, SeenPerson, Watermark
from writeback_pipeline.domain.undoing import ToUndo, Undo, UndoneRow
from writeback_pipeline.domain.window_ledger import (
    DeliveredWindow,
    KnownSummary,
    OwedSummary,
    WindowAccount,
    WindowCounts,
    WindowLease,
)
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Change, Kind, Status, Writeback
from writeback_pipeline.store import (
    api_calls,
    auditing,
    breaker,
    bulk_jobs,
    claims,
    doubts,
    erasing,
    evidence,
    health,
    high_water,
    incidents,
    journal,
    latency,
    listing,
    opened,
    operators,
    organisation,
    overview,
    paging,
    queue,
    recovery,
    redirects,
    reopening,
    retention,
    schema,
    server_condition,
    settings,
    settling,
    story,
    summaries,
    sync,
    undoing,
    windows,
)
from writeback_pipeline.store.database import WAIT
from writeback_pipeline.store.location import mark_path, open_database
from writeback_pipeline.store.session import Session

BEAT_AT_MOST_EVERY = timedelta(minutes=1)
"""How far apart remembered heartbeats are; between them a tick only reads."""


class Store:
    """Queue, ledger, journal and settings in a DuckDB file or a PostgreSQL database, migrated when it is first used.

    `home` is where the high-water mark of a server's database is kept; that of a file lies beside it. Every method
    raises StoreBusy when the database is kept by others for the whole `wait`, and StoreUnusable when the database
    itself is the trouble.
    """

    def __init__(self, location: str | Path, home: Path | None = None, *, wait: timedelta = WAIT) -> None:
        self._database = open_database(location, wait=wait)
        self._mark = high_water.MarkFile(mark_path(self._database, home))

    @property
    def shown(self) -> str:
        """Where the database is, for people; no secret is in it."""
        return self._database.shown

    def kept_open(self) -> AbstractContextManager[None]:
        """A block in which many transactions of this process follow one another, which then cost less."""
        return self._database.kept_open()

    def server_condition(self) -> list[findings.Finding]:
        """What may be wrong with the database's server although it answers; nothing of a file."""
        with self._database.reading() as session:
            return server_condition.findings(session)

    def enqueue(self, changes: Sequence[Change], now: datetime) -> EnqueueResult:
        """Queue the changes whose delivery key is new, all or none."""
        with self._noticing_restores(now) as session:
            result, mark = queue.enqueue(session, changes, now), high_water.queued(session)
        self._mark.raise_to(mark)
        return result

    def settle_without_recipient(self, now: datetime, run_id: str | None) -> int:
        """Settle what is pending for people without a Salesforce record; returns how many."""
        with self._database.sharing() as session:
            return queue.settle_without_recipient(session, now, run_id)

    def retry(
        self,
        *,
        ids: Collection[int] = (),
        statuses: Collection[Status] = (),
        seen: Mapping[int, str] = queue.NOTHING_SEEN,
        asked: Asked | None = None,
    ) -> RetryResult:
        """Put failed and waiting writebacks back to pending, and enter who asked for it; UnknownWriteback, and nothing
        changed, for a wrong id. `seen` are ids with their versions: what has changed since is left alone."""
        with self._database.writing() as session:
            result = queue.retry(session, ids, statuses, seen)
            if asked and result.retried:
                operators.enter(session, OperatorAction(asked, "retry", "back to pending", result.retried))
            return result

    def enter_action(self, done: OperatorAction) -> None:
        """Enter what a person had done."""
        with self._database.writing() as session:
            operators.enter(session, done)

    def latest_actions(self, action: str, limit: int) -> list[OperatorAction]:
        """The last actions of that name, newest first."""
        with self._database.reading() as session:
            return operators.latest(session, action, limit)

    def actions_concerning(self, writeback_id: int) -> list[OperatorAction]:
        """What people had done about a writeback, oldest first."""
        with self._database.reading() as session:
            return operators.concerning(session, writeback_id)

    def claim(self, owner: str, now: datetime, *, limit: int, lease: timedelta = LEASE) -> list[Claim]:
        """Recover what dead workers left, then lease up to `limit` people to whom something is owed, oldest first."""
        with self._noticing_restores(now) as session:
            if not recovery.anything_left(session, now):
                return claims.claim(session, owner, now, limit, lease)
        with self._database.writing() as session:
            recovery.recover(session, now)
            return claims.claim(session, owner, now, limit, lease)

    def claim_suspects(self, owner: str, now: datetime, *, limit: int, lease: timedelta = LEASE) -> list[Claim]:
        """Lease people whose workers ended again and again, whom `claim` passes over: few together, then each alone."""
        with self._database.sharing() as session:
            return claims.claim_suspects(session, owner, now, limit, lease)

    def preview(self, now: datetime, *, limit: int, people: Sequence[str] | None = None) -> list[Claim]:
        """What `claim` would take, without a lease; or what is known of `people`, due or not."""
        with self._database.reading() as session:
            return claims.preview(session, now, limit, people)

    def due(self, now: datetime) -> int:
        """Opt-outs that a delivery would move now."""
        with self._database.reading() as session:
            return claims.due(session, now)

    def is_delivering(self, now: datetime) -> bool:
        """Whether a worker has anybody leased now, to deliver opt-outs or to take them back."""
        with self._database.reading() as session:
            return claims.is_anybody_leased(session, now)

    def extend(self, owner: str, claimed: Sequence[Claim], now: datetime) -> list[Claim]:
        """The claims that are still the owner's, each with a fresh lease."""
        with self._database.sharing() as session:
            return claims.extend(session, owner, claimed, now)

    def keep(self, owner: str, now: datetime) -> None:
        """Keep everybody leased whose lease is the owner's and has not ended."""
        with self._database.sharing() as session:
            claims.keep(session, owner, now)

    def release(self, owner: str, leases: Sequence[tuple[str, int]]) -> None:
        """Give leases back, each a person's id and epoch."""
        with self._database.sharing() as session:
            claims.release(session, owner, leases)

    def redirect(self, moves: Mapping[str, PersonRef], now: datetime) -> dict[str, str]:
        """Follow converted and merged records; returns whom the ledger cannot follow, and why."""
        with self._database.writing() as session:
            return redirects.redirect(session, moves, now)

    def journal(self, intents: Sequence[Intent], *, ahead: CallAhead | None = None) -> list[int | None]:
        """Commit the intents; an attempt id for each, None where the person is no longer leased under that epoch. The
        call `ahead` is reserved with them."""
        with self._reserving(ahead) as session:
            attempts = journal.journal(session, intents)
        self._mark.raise_to(high_water.mark_of(intents, attempts))  # on disk before anything is sent
        return attempts

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
        """Commit answers and what follows from them; returns how many settlements were fenced off.

        `seen` are the leases of people who were looked at, whatever there was to do: nothing is left to verify of them.
        `in_between` calls for the same people: whether a flag is still in doubt is looked at with the last of them. The
        call `ahead` is reserved with them.
        """
        with self._reserving(ahead) as session:
            return settling.record(
                session, outcomes, settlements, origins, now, release=release, seen=seen, in_between=in_between
            )

    def reopen(self, lost: Collection[tuple[int, str, int]], now: datetime) -> list[Writeback]:
        """Put unsubscribes, each with its person and epoch, whose flag is gone from Salesforce back to pending, or to
        unknown where workers ended of them; those that were put back, as they are now."""
        with self._database.writing() as session:
            return reopening.reopen(session, lost, now)

    def reopenable(self, ids: Collection[int]) -> list[Writeback]:
        """Those of the unsubscribes that `reopen` would put back, as they would be then."""
        with self._database.reading() as session:
            return reopening.reopenable(session, ids)

    def unjoined(self, moves: Mapping[str, PersonRef]) -> dict[str, PersonRef]:
        """Those of the moves that lead away from people who are known and are not recorded as gone there yet."""
        with self._database.reading() as session:
            return redirects.unjoined(session, moves)

    def watermark(self) -> Watermark | None:
        """How far Salesforce's own changes are known; None before the first reading."""
        with self._database.reading() as session:
            return sync.watermark(session)

    def set_watermark(self, reached: Watermark, now: datetime) -> None:
        """Remember how far Salesforce's own changes were read."""
        with self._database.writing() as session:
            sync.set_watermark(session, reached, now)

    def learn(
        self, seen: Sequence[SeenPerson], origin: Origin, read_since: datetime, now: datetime
    ) -> dict[Finding, list[SeenPerson]]:
        """Enter what people's flags in Salesforce tell that was not known; who it concerns, by finding."""
        with self._database.writing() as session:
            return sync.learn(session, seen, origin, read_since, now)

    def question_people(self, people: Collection[str], now: datetime) -> None:
        """Have the flag of these people verified by the next delivery."""
        with self._database.writing() as session:
            sync.question_people(session, people, now)

    def opted_out_elsewhere(self, people: Collection[str]) -> set[str]:
        """Those of the people for whom an opt-out of another origin than the platform stands."""
        with self._database.reading() as session:
            return sync.opted_out_elsewhere(session, people)

    def expectations(self, sample: int) -> list[Expectation]:
        """Everybody who stands opted out, or that many of them drawn by lot where `sample` is not 0."""
        with self._database.reading() as session:
            return auditing.expectations(session, sample)

    def under_way(self) -> frozenset[str]:
        """People to whom something is owed, or whose flag is to be looked at."""
        with self._database.reading() as session:
            return auditing.under_way(session)

    def standing_counts(self) -> Mapping[str, int]:
        """How many people stand opted out, by origin."""
        with self._database.reading() as session:
            return sync.standing_counts(session)

    def notes_known(self, ids: Collection[str]) -> set[str]:
        """Those of the Notes that are a writeback's already."""
        with self._database.reading() as session:
            return doubts.notes_known(session, ids)

    def notes_since(self, since: datetime) -> dict[str, Writeback]:
        """The opt-outs that were written since then, by the id of their Note."""
        with self._database.reading() as session:
            return reopening.notes_since(session, since)

    def question(self, since: datetime, now: datetime) -> int:
        """Have the flag verified of everybody to whom an opt-out was written since then; returns how many."""
        with self._database.writing() as session:
            return reopening.question(session, since, now)

    def question_suppressed(self, now: datetime) -> int:
        """Have the flag verified of everybody whose unsubscribe left it alone, once the policy is not in force any
        more; returns how many."""
        with self._database.writing() as session:
            return reopening.question_suppressed(session, now)

    def flags_left(self) -> int:
        """Of how many people an unsubscribe left the flag alone that the next delivery has to look at."""
        with self._database.reading() as session:
            return reopening.flags_left(session)

    def enter_job(self, job: BulkJob, owner: str) -> bool:
        """Enter a Bulk job before anything is uploaded; False when its rows are no longer the owner's to send."""
        with self._database.writing() as session:
            return bulk_jobs.enter_job(session, job, owner)

    def move_job(self, job: BulkJob, stage: Stage, owner: str, now: datetime) -> bool:
        """Enter that the job is one stage further; False when another worker has it or has moved it."""
        with self._database.writing() as session:
            return bulk_jobs.move_job(session, job, stage, owner, now)

    def renew_job(self, job: BulkJob, owner: str, now: datetime) -> bool:
        """Keep everybody in the job's batch leased; False when another worker has taken the job over."""
        with self._database.sharing() as session:
            return bulk_jobs.renew_job(session, job, owner, now + LEASE)

    def end_job(self, job: BulkJob, now: datetime) -> None:
        """Enter that the job has ended, if every row of it has its answer."""
        with self._database.writing() as session:
            bulk_jobs.end_job(session, job, now)

    def adopt_job(self, owner: str, now: datetime, scope: str | None = None) -> AdoptedJob | None:
        """Take over the oldest Bulk job a dead worker left: of opt-outs, or of the window with that scope."""
        with self._database.writing() as session:
            return bulk_jobs.adopt_job(session, owner, now, LEASE, scope)

    def known_jobs(self, job_ids: Collection[str]) -> set[str]:
        """Those of the jobs that the ledger knows."""
        with self._database.reading() as session:
            return bulk_jobs.known_jobs(session, job_ids)

    def release_job(self, job: BulkJob, owner: str) -> None:
        """Give the leases of everybody in the job's batch back."""
        with self._database.writing() as session:
            bulk_jobs.release_job(session, job, owner)

    def settle_job(self, job: BulkJob, outcomes: Sequence[AttemptOutcome], now: datetime) -> int:
        """Record answers of an adopted job, and what follows for their writebacks; returns how many were settled."""
        with self._database.writing() as session:
            ids = bulk_jobs.writebacks_of(session, [outcome.attempt_id for outcome in outcomes])
            settled = evidence.settle_answered(session, ids, outcomes, now)
            bulk_jobs.end_job(session, job, now)
            return len(settled)

    def run_wrote(self, run_id: str) -> list[str]:
        """Lease keys of the people and windows that the run wrote something for; NotUndoable when there are none."""
        with self._database.reading() as session:
            return undoing.keys_of(session, run_id)

    def begin_undo(self, undo: Undo) -> list[str]:
        """Enter the undo; the lease keys of what the run wrote. Raises NotUndoable."""
        with self._noticing_restores(undo.at):
            pass
        with self._database.writing() as session:
            return undoing.begin(session, undo)

    def preview_undo(self, run_id: str, keys: Collection[str], now: datetime) -> list[ToUndo]:
        """What the run wrote for these people and windows, without a lease."""
        with self._database.reading() as session:
            return undoing.lease(session, run_id, keys, None, now, LEASE)

    def lease_undo(self, run_id: str, keys: Collection[str], owner: str, now: datetime) -> list[ToUndo]:
        """What the run wrote for these people and windows, leased; those whom another worker holds are missing."""
        with self._database.writing() as session:
            return undoing.lease(session, run_id, keys, owner, now, LEASE)

    def finish_undo(
        self,
        undo: Undo,
        subjects: Sequence[ToUndo],
        outcomes: Sequence[AttemptOutcome],
        rows: Sequence[UndoneRow],
        now: datetime,
    ) -> int:
        """Record what was undone and give the leases back; returns how many subjects were fenced off."""
        with self._database.writing() as session:
            return undoing.finish(session, undo, subjects, outcomes, rows, now)

    def lease_window(self, scope: str, owner: str, now: datetime) -> tuple[WindowLease, dict[str, KnownSummary]] | None:
        """Lease a window of activity, with what the ledger has of it, by key; None while another worker has it."""
        with self._noticing_restores(now):
            pass
        with self._database.writing() as session:
            lease = windows.lease_window(session, scope, owner, now, LEASE)
            return None if lease is None else (lease, summaries.known_summaries(session, scope))

    def extend_window(self, held: WindowLease, owner: str, now: datetime) -> WindowLease | None:
        """The same lease, fresh; None when it has passed to another worker."""
        with self._database.sharing() as session:
            return windows.extend_window(session, held, owner, now, LEASE)

    def release_window(self, held: WindowLease) -> None:
        """Give the window's lease back."""
        with self._database.sharing() as session:
            windows.release_window(session, held)

    def known_summaries(self, scope: str) -> dict[str, KnownSummary]:
        """What the ledger has of a window, by key."""
        with self._database.reading() as session:
            return summaries.known_summaries(session, scope)

    def owe_summaries(
        self, held: WindowLease, window: Window, owed: Sequence[OwedSummary], now: datetime, run_id: str | None
    ) -> dict[str, int]:
        """Enter new summaries, put known ones that changed back to pending; the writebacks' ids by key, or nothing when
        the lease has passed to another worker."""
        with self._database.sharing() as session:
            return summaries.owe_summaries(session, held, window, owed, now, run_id)

    def drop_summaries(self, held: WindowLease, keys: Sequence[str], now: datetime, run_id: str | None) -> None:
        """Settle rows that never became a Task and whose events are no longer reported."""
        with self._database.writing() as session:
            summaries.drop_summaries(session, held, keys, now, run_id)

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
        """Remember that a window was delivered as its files stood, and give its lease back."""
        with self._database.sharing() as session:
            if windows.release_window(session, held):
                windows.window_delivered(session, kind, window, fingerprint, counts, now, run_id)

    def delivered_windows(self, since: datetime, now: datetime) -> list[DeliveredWindow]:
        """The delivered windows that end after `since`, oldest first, with what is owed of them now."""
        with self._database.reading() as session:
            return windows.delivered_windows(session, since, now)

    def window_accounts(self, since: datetime) -> list[WindowAccount]:
        """What was counted of the delivered windows that end after `since`, and what became of their rows."""
        with self._database.reading() as session:
            return windows.window_accounts(session, since)

    def attempts_of(self, writeback_ids: Collection[int]) -> list[Attempt]:
        """Every attempt of these writebacks, in the order of the journal."""
        with self._database.reading() as session:
            return journal.attempts_of(session, writeback_ids)

    def depth(self) -> QueueDepth:
        """How many opt-outs are owed, and how old they are."""
        with self._database.reading() as session:
            return queue.depth(session)

    def unaccounted(self, now: datetime) -> list[int]:
        """Ids of opt-outs whose row contradicts itself; there should be none."""
        with self._database.reading() as session:
            return queue.unaccounted(session, now)

    def writebacks(self, only: WritebackFilter) -> list[Writeback]:
        """The Writeback List, newest event first."""
        with self._database.reading() as session:
            return listing.writebacks(session, only)

    def listing_values(self, only: WritebackFilter) -> list[tuple[Any, ...]]:
        """The Writeback List as plain values in the order of its columns, instants as ISO 8601 in UTC with Z."""
        with self._database.reading() as session:
            return listing.values(session, only)

    def listing_json(self, only: WritebackFilter) -> list[str]:
        """The Writeback List as JSON objects, read whole: a slow reader must not keep the file from others."""
        with self._database.reading() as session:
            return listing.json_objects(session, only)

    def page(
        self,
        only: WritebackFilter,
        size: int,
        *,
        older_than: Position | None = None,
        newer_than: Position | None = None,
    ) -> tuple[Page, Tally]:
        """A page of the Writeback List beside a place in it, the first without one, and how much there is in all."""
        with self._database.reading() as session:
            only = paging.narrowed(session, only)
            return (
                paging.page(session, only, size, older_than=older_than, newer_than=newer_than),
                paging.tally(session, only),
            )

    def listed(self, only: WritebackFilter) -> list[int]:
        """The ids of the Writeback List, newest event first."""
        with self._database.reading() as session:
            return paging.listed(session, only)

    def opened(self, id_: int) -> OpenedWriteback | None:
        """One row of the list with all that was done about it; None when nobody has that id."""
        with self._database.reading() as session:
            return opened.opened(session, id_)

    def latency_of_run(self, run_id: str) -> Latency | None:
        """How long the opt-outs took that this run wrote; None when it wrote none."""
        with self._database.reading() as session:
            return latency.of_run(session, run_id)

    def latency_by_day(self, since: datetime) -> LatencyByDay:
        """How long the opt-outs took that were written since then, by UTC day, newest first."""
        with self._database.reading() as session:
            return latency.by_day(session, since)

    def overview(self, now: datetime) -> Overview:
        """The ledger at a glance: the last days, what is owed now, what needs a person, what it cost in calls."""
        with self._database.reading() as session:
            return overview.overview(session, settings.settings(session), now)

    def prunable(self, before: datetime, now: datetime) -> Prunable:
        """How much settled activity of windows that ended before then may go."""
        with self._database.reading() as session:
            return retention.prunable(session, before, now)

    def oldest_prunable(self, before: datetime, now: datetime, limit: int) -> tuple[retention.Table, retention.Table]:
        """Up to `limit` such writebacks, whole, and all of their attempts."""
        with self._database.reading() as session:
            return retention.oldest(session, before, now, limit)

    def prune(self, before: datetime, now: datetime, ids: Collection[int]) -> int:
        """Remove those of these writebacks that still may go, with their attempts; returns how many."""
        with self._database.writing() as session:
            return retention.remove(session, before, now, ids)

    def personal_data(self, who: str, now: datetime) -> PersonalData:
        """What is kept of the one person of that record id, e-mail address or subscriber; raises NotErasable."""
        with self._database.reading() as session:
            return erasing.personal_data(session, who, now)

    def erase(self, who: str, asked: Asked) -> PersonalData:
        """Erase what identifies that person or is in their own words, and enter who asked; what there was of them.
        Raises NotErasable."""
        with self._database.writing() as session:
            data = erasing.personal_data(session, who, asked.at)
            erasing.erase(session, data, asked)
            return data

    def erased(self, who: str) -> list[Erased]:
        """Whom that e-mail address or subscriber was a name of before it was erased."""
        with self._database.reading() as session:
            return erasing.erased(session, who)

    def story(self, who: str) -> list[Facts]:
        """What is kept of everybody of that record id, e-mail address or subscriber."""
        with self._database.reading() as session:
            return story.facts(session, who)

    def count(self, only: WritebackFilter) -> int:
        """How many rows the filter shows, whatever its limit."""
        with self._database.reading() as session:
            return listing.count(session, only)

    def became(self, only: WritebackFilter) -> list[Became]:
        """The rows that the filter shows, whatever its limit, counted by status and flag result."""
        with self._database.reading() as session:
            return listing.became(session, only)

    def settings(self) -> WritebackSettings:
        """The settings now, activity off where one of its own has a value that it does not take."""
        with self._database.reading() as session:
            return settings.settings(session)

    def activity_settings(self) -> WritebackSettings:
        """The settings now; raises InvalidSetting, naming it, where one has a value that it does not take."""
        with self._database.reading() as session:
            return settings.activity_settings(session)

    def setting_texts(self) -> dict[str, str]:
        """The settings as they are stored, whether or not their values are allowed."""
        with self._database.reading() as session:
            return settings.setting_texts(session)

    def change_settings(
        self, texts: Mapping[str, str], by: str, now: datetime, *, seen: int | None = None
    ) -> list[SettingChange]:
        """Change these settings, all or none; returns those that really changed. SettingsMoved when there are other
        changes than the `seen` ones that somebody knew of."""
        with self._database.writing() as session:
            return settings.change_settings(session, texts, by, now, seen)

    def settings_history(self) -> list[SettingChange]:
        """Every change of a setting, oldest first."""
        with self._database.reading() as session:
            return settings.settings_history(session)

    def admit(self, caller: Caller, heard: ApiUsage, now: datetime, *, calls: int) -> Admission | Hold:
        """Reserve that many API calls, none for a login, or say why they may not be made now."""
        with self._database.sharing() as session:
            return api_calls.admit(session, caller, heard, now, calls)

    @contextmanager
    def _reserving(self, ahead: CallAhead | None) -> Iterator[Session]:
        """One transaction that reserves the call, if there is one, in the end."""
        with self._database.sharing() as session:
            yield session
            if ahead is None:
                return
            answer = api_calls.admit(session, ahead.caller, ahead.heard, ahead.at, 1, as_probe=False)
        ahead.answered(answer)

    def not_made(self, purpose: Purpose, admitted_at: datetime) -> None:
        """Give one call back that was admitted then and never left."""
        with self._database.sharing() as session:
            api_calls.not_made(session, purpose, admitted_at)

    def hear(self, heard: ApiUsage, now: datetime) -> None:
        """Remember what the organisation said of its own count."""
        with self._database.sharing() as session:
            api_calls.hear(session, heard, now)

    def trip(self, caller: Caller, trouble: OrganisationUnavailable, now: datetime, jitter: random.Random) -> None:
        """Let no call be made for a while."""
        with self._database.sharing() as session:
            breaker.hold(session)
            breaker.save(session, tripped(breaker.load(session), trouble, caller.name, now, jitter))

    def recover(self, caller: Caller, *, proven: bool) -> None:
        """Let calls be made again after one that met no trouble."""
        with self._database.sharing() as session:
            breaker.hold(session)
            breaker.save(session, recovered(breaker.load(session), caller.name, proven=proven))

    def is_unproven(self) -> bool:
        """Whether no write has proven, since the last trouble, that Salesforce is well again."""
        with self._database.reading() as session:
            return breaker.load(session).failures > 0

    def hold(self, purpose: Purpose, now: datetime) -> Hold | None:
        """Why no API call may be made now for that purpose, and until when; None when one may."""
        with self._database.reading() as session:
            return api_calls.hold(session, settings.settings(session), purpose, now)

    def calls_left(self, purpose: Purpose, now: datetime) -> int:
        """How many API calls may be made now for that purpose."""
        with self._database.reading() as session:
            return api_calls.left(session, settings.settings(session), purpose, now)

    def pin_organisation(self, organisation_id: str) -> str:
        """Pin this organisation unless one is pinned; returns the one that is."""
        with self._database.sharing() as session:
            return organisation.pin_organisation(session, organisation_id)

    def pinned_organisation(self) -> str | None:
        """The pinned organisation's id, None while none is."""
        with self._database.reading() as session:
            return organisation.pinned_organisation(session)

    def health(self, now: datetime) -> LedgerHealth:
        """What is owed, what calls are left, and when what ticks has ticked."""
        with self._database.reading() as session:
            return health.ledger_health(session, settings.settings(session), now)

    def measures(self, now: datetime) -> Measures:
        """What a monitoring system watches, of one moment."""
        with self._database.reading() as session:
            return Measures(
                health.ledger_health(session, settings.settings(session), now),
                tuple(each for each in incidents.current(session, now) if each.closed_at is None),
                latency.since(session, now - MEASURED_OVER),
                schema.version(session),
            )

    def beat(self, name: str, interval: timedelta, now: datetime) -> None:
        """Remember that something which ticks at that interval has ticked; not every tick is worth a transaction."""
        with self._database.reading() as session:
            last = health.heartbeats(session).get(name)
        self._beat(name, interval, last, now)

    def poll(self, name: str, interval: timedelta, purpose: Purpose, now: datetime) -> Poll:
        """What what ticks at that interval wants to know, in one look, and the sign of life of its tick."""
        with self._database.reading() as session:
            due, last = claims.due(session, now), health.heartbeats(session).get(name)
            hold = api_calls.hold(session, settings.settings(session), purpose, now) if due else None
        with suppress(StoreBusy):
            self._beat(name, interval, last, now)
        return Poll(due, hold)

    def _beat(self, name: str, interval: timedelta, last: Heartbeat | None, now: datetime) -> None:
        tick = heartbeat(now, interval)
        if last is None or tick.due_by - last.due_by >= BEAT_AT_MOST_EVERY or tick.due_by < last.due_by:
            with self._database.writing() as session:
                health.beat(session, name, tick)

    def incidents(self, now: datetime) -> list[Incident]:
        """Those that last, and those lately over of which a channel may not know it yet, oldest first."""
        with self._database.reading() as session:
            return incidents.current(session, now)

    def enter_incidents(self, sightings: Sequence[Sighting], judged: Collection[str], now: datetime) -> None:
        """Open, keep and close incidents by what is seen now; those of rules that were not judged stay as they are."""
        with self._database.reading() as session:
            anything = changes(incidents.current(session, now), sightings, judged)
        if anything:
            with self._database.writing() as session:
                incidents.take_turns(session, now)
                incidents.enter(session, changes(incidents.current(session, now), sightings, judged), now)

    def take_notices(self, channels: Collection[str], reminder: timedelta, now: datetime) -> list[Notice]:
        """What these channels are to be told now, taken by the caller for as long as sending takes."""
        with self._database.reading() as session:
            anything = notices(incidents.current(session, now), channels, reminder, now)
        if not anything:
            return []
        with self._database.writing() as session:
            incidents.take_turns(session, now)
            taken = notices(incidents.current(session, now), channels, reminder, now)
            incidents.take(session, taken, now)
            return taken

    def record_notices(self, sent: Sequence[Notice], trouble: str | None, now: datetime) -> None:
        """What became of notices that were sent together: told, or why not."""
        with self._database.writing() as session:
            incidents.record(session, sent, trouble, now)

    @contextmanager
    def _noticing_restores(self, now: datetime) -> Iterator[Session]:
        """A transaction that first compares the database with its high-water mark."""
        mark = self._mark.read()
        with self._database.sharing() as session:
            if not high_water.is_behind(session, mark):
                yield session
                return
        with self._database.writing() as session:
            high_water.notice_restore(session, mark, now)
            yield session
