"""What delivery needs of the outside: a ledger to claim from and settle in, counted events, an organisation.

Every ledger call is one transaction that ends before it returns. No ledger call happens during an organisation call.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import Protocol

from writeback_pipeline.domain.activity import Presentation, Summary
from writeback_pipeline.domain.adoption import AdoptedJob
from writeback_pipeline.domain.budget import CallAhead
from writeback_pipeline.domain.bulk import BulkJob, JobKind, JobStatus, Stage
from writeback_pipeline.domain.ledger import AttemptOutcome, Claim, Intent, OriginChange, Settlement
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import ApiUsage, FoundNote, Held, RowResult, RowWrite
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.domain.window_ledger import KnownSummary, OwedSummary, WindowCounts, WindowLease
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind, Writeback


class Journal(Protocol):
    """The store, as far as everything that is sent needs it."""

    def kept_open(self) -> AbstractContextManager[None]:
        """A block in which many transactions follow one another, which then cost less."""

    def settings(self) -> WritebackSettings:
        """The settings now."""

    def pin_organisation(self, organisation_id: str) -> str:
        """Pin the organisation at the first delivery; returns the pinned id."""

    def pinned_organisation(self) -> str | None:
        """The id pinned so far."""

    def journal(self, intents: Sequence[Intent], *, ahead: CallAhead | None = None) -> list[int | None]:
        """Commit intents; returns an attempt id each, None where the lease has passed to another worker.

        The call `ahead` is reserved with them.
        """

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
        """Commit answers and what follows from them; returns how many settlements came too late and were ignored.

        `seen` are leases of people who were looked at, whatever there was to do: nothing is left to verify of them.
        `in_between` calls for the same people: whether a flag is still in doubt is looked at with the last of them. The
        call `ahead` is reserved with them.
        """


class BulkLedger(Journal, Protocol):
    """The store, as far as Bulk jobs need it. Each step is refused to a worker that another has taken over from."""

    def enter_job(self, job: BulkJob, owner: str) -> bool:
        """Enter a job that was created, before it is given any rows; False when they are not the owner's to send."""

    def move_job(self, job: BulkJob, stage: Stage, owner: str, now: datetime) -> bool:
        """Enter that the job is one stage further; False when another worker has it or has moved it."""

    def renew_job(self, job: BulkJob, owner: str, now: datetime) -> bool:
        """Keep everybody in the job's batch leased; False when another worker has taken the job over."""

    def end_job(self, job: BulkJob, now: datetime) -> None:
        """Enter that the job has ended, if every row of it has its answer."""

    def adopt_job(self, owner: str, now: datetime, scope: str | None) -> AdoptedJob | None:
        """Take over the oldest job that a dead worker left: of opt-outs, or of the window with that scope."""

    def release_job(self, job: BulkJob, owner: str) -> None:
        """Give the leases of everybody in the job's batch back, for another worker to take it over."""

    def settle_job(self, job: BulkJob, outcomes: Sequence[AttemptOutcome], now: datetime) -> int:
        """Record answers of an adopted job and what follows from them; returns how many were settled."""


class OptOutLedger(BulkLedger, Protocol):
    """The store, as far as opt-outs need it."""

    def settle_without_recipient(self, now: datetime, run_id: str | None) -> int:
        """Settle changes of people without a Salesforce record; returns how many."""

    def claim(self, owner: str, now: datetime, *, limit: int) -> list[Claim]:
        """Lease up to `limit` people to whom something is owed, suspects not among them."""

    def claim_suspects(self, owner: str, now: datetime, *, limit: int) -> list[Claim]:
        """Lease people whose workers ended again and again, who are to be served with nobody else: few together, in the
        end each alone."""

    def is_unproven(self) -> bool:
        """Whether Salesforce has taken no write since it was last in trouble."""

    def due(self, now: datetime) -> int:
        """About how many opt-outs a claim would take if it had no limit."""

    def preview(self, now: datetime, *, limit: int, people: Sequence[str] | None = None) -> list[Claim]:
        """What `claim` would take, without taking it; of `people`, whatever is known even if nothing is due."""

    def redirect(self, moves: Mapping[str, PersonRef], now: datetime) -> Mapping[str, str]:
        """Follow converted and merged records and release those people; what cannot be followed, with the reason."""

    def unjoined(self, moves: Mapping[str, PersonRef]) -> Mapping[str, PersonRef]:
        """Those of the moves that lead away from people who are known and are not recorded as gone there yet."""

    def notes_known(self, ids: Collection[str]) -> Collection[str]:
        """Those of the Notes that are a writeback's already."""

    def question_suppressed(self, now: datetime) -> int:
        """Have the flag verified of everybody whose unsubscribe left it alone, once the policy is not in force any
        more; returns how many."""

    def known_jobs(self, job_ids: Collection[str]) -> Collection[str]:
        """Those of the jobs that the ledger knows."""

    def reopen(self, lost: Collection[tuple[int, str, int]], now: datetime) -> Sequence[Writeback]:
        """Put unsubscribes, each with its person and epoch, whose flag is gone from Salesforce back to pending, or to
        unknown where workers ended of them; as they are now."""

    def reopenable(self, ids: Collection[int]) -> Sequence[Writeback]:
        """Those of the unsubscribes that `reopen` would put back, as they would be then; for a dry run."""

    def extend(self, owner: str, claims: Sequence[Claim], now: datetime) -> list[Claim]:
        """The claims that are still the owner's, with fresh leases."""

    def keep(self, owner: str, now: datetime) -> None:
        """Keep everybody leased whose lease is the owner's and has not ended."""

    def release(self, owner: str, leases: Sequence[tuple[str, int]]) -> None:
        """Give leases back untouched, each a person's id and epoch."""


class ActivityLedger(BulkLedger, Protocol):
    """The store, as far as mailing activity needs it. A window of one kind is leased under its scope."""

    def lease_window(
        self, scope: str, owner: str, now: datetime
    ) -> tuple[WindowLease, Mapping[str, KnownSummary]] | None:
        """Lease a window, with what is known of it, by key; None while another worker has it.

        What was sent before and can no longer arrive is owed again.
        """

    def extend_window(self, held: WindowLease, owner: str, now: datetime) -> WindowLease | None:
        """The same lease, fresh; None when it has passed to another worker."""

    def release_window(self, held: WindowLease) -> None:
        """Give the lease back."""

    def known_summaries(self, scope: str) -> Mapping[str, KnownSummary]:
        """What is known of a window, by key."""

    def owe_summaries(
        self, held: WindowLease, window: Window, owed: Sequence[OwedSummary], now: datetime, run_id: str | None
    ) -> dict[str, int]:
        """Enter new summaries, put known ones that changed back to pending; returns writeback ids by key, none when the
        lease has passed to another worker."""

    def drop_summaries(self, held: WindowLease, keys: Sequence[str], now: datetime, run_id: str | None) -> None:
        """Settle rows that never became a Task and whose events are no longer reported."""

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


class CountedEvents(Protocol):
    """The events of one kind in one window, counted."""

    @property
    def fingerprint(self) -> str:
        """What changes whenever the files change."""

    @property
    def presentation(self) -> Presentation:
        """How they are shown; part of every revision."""

    @property
    def events(self) -> int:
        """Events counted, each once, those without a recipient included."""

    @property
    def events_in_rows(self) -> int:
        """Events that the summaries and the rows without a recipient hold; the same number, unless some were lost."""

    def revisions(self) -> Mapping[str, str]:
        """The revision of every summary, by key."""

    def summaries(self, keys: Sequence[str]) -> Sequence[Summary]:
        """Those summaries, with their mailings."""

    def without_recipient(self) -> Sequence[OwedSummary]:
        """A row for every subscriber without a Salesforce record."""


class JobFiles(Protocol):
    """Rows shared out among Bulk jobs, portion by portion."""

    def share_out(self, rows: Iterable[RowWrite]) -> list[tuple[int, JobKind]]:
        """For each row the number of its job, from 1 in the order of their first rows, and the kind of that job."""


class Organisation(Protocol):
    """Salesforce, as far as delivery needs it. Trouble that is not a row's raises OrganisationUnavailable."""

    @property
    def organisation_id(self) -> str:
        """The organisation's own id."""

    @property
    def usage(self) -> ApiUsage:
        """Calls made so far."""

    def look(self, people: Sequence[PersonRef]) -> dict[str, Held]:
        """What the organisation holds, by salesforce_id."""

    def find_notes(
        self, keys: Sequence[tuple[str, str]], objects: Collection[NoteObject]
    ) -> Mapping[tuple[str, str], Sequence[FoundNote]]:
        """The Notes with each (parent's id, title), those in the recycle bin too."""

    def find_key_records(self, keys: Sequence[str]) -> Mapping[str, str | None]:
        """The keys among these that have a key record, each with the id of its Note where that is known."""

    def predecessors(self, people: Sequence[PersonRef]) -> Mapping[str, PersonRef]:
        """The records that became these people by conversion or merge, one hop each, and the hops that lead there."""

    def find_tasks(self, keys: Sequence[tuple[str, str]], first: date, last: date) -> Mapping[str, str]:
        """The ids of Tasks whose text ends in the key, by key; `keys` are (person's id, key), both days included."""

    def batches(self, rows: Sequence[RowWrite]) -> list[tuple[int, ...]]:
        """The rows' positions, grouped so that each group costs one call."""

    def call_ahead(self) -> CallAhead | None:
        """The call that this thread makes next, for the ledger to reserve with what it enters before; None where
        nobody counts."""

    def forgo_call(self) -> None:
        """The call that was reserved ahead in this thread, if it was and was not made, is not made."""

    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        """Write one group; the answers are in the rows' positions."""

    def job_files(self) -> JobFiles:
        """Shares rows out among Bulk jobs, each as many as one carries."""

    def create_job(self, kind: JobKind) -> str:
        """A new job's id; raises JobRefused where Salesforce takes no such job."""

    def upload_job(self, job_id: str, rows: Iterable[RowWrite]) -> None:
        """Give a new job all its rows; raises JobRefused."""

    def close_job(self, job_id: str) -> None:
        """Let Salesforce begin with the job; raises JobRefused when it is not open."""

    def abort_job(self, job_id: str) -> None:
        """Give a job up; raises JobRefused when it has ended."""

    def job_status(self, job_id: str) -> JobStatus:
        """How far Salesforce has got with the job."""

    def unfinished_jobs(self) -> frozenset[str]:
        """The ids of our user's Bulk jobs that may still write something, whoever began them."""

    def job_results(self, status: JobStatus, rows: Iterable[RowWrite]) -> list[RowResult]:
        """What became of each row of a job that has ended, in the rows' positions; they may be gone through twice."""
