"""The vocabulary between delivery and the store: what is claimed, what is journalled, what is settled.

Values only. The transactions that move them are the store's work; the order of the steps is delivery's.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.trouble import Trouble
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback

LEASE = timedelta(seconds=180)
"""How long a claimed person is one worker's alone."""

QUIET = timedelta(minutes=10, seconds=30)
"""How long after its last possible send a request may still be committed: only then does "absent" mean not done."""


SUSPECT_AFTER = 2
"""How many claims of a person in a row are never given back before that person goes with few others."""

SUSPECTS_TOGETHER = 100
"""People who go together then; whoever is among them when their worker ends goes alone."""

ALONE_AFTER = 3
"""How many claims in a row are never given back before a person goes alone; one more, and a person has to look."""

RESTORED = "RESTORED"
"""The error code of what is in doubt because the database was put back to an earlier state."""

MAX_HOPS = 5
"""How many conversions and merges in a row are followed from one record to the next."""


class StoreBusy(Trouble):
    """The database stayed locked by other processes for the whole wait; nothing was changed, a later try may work."""

    passing = True


class SettingsMoved(Exception):
    """Somebody changed a setting since they were looked at; nothing was changed."""


Lease = tuple[str, int]
"""A person's id, and the epoch under which the lease was given."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A writeback that was sent and never answered, with what a read-back needs to find out.

    Its Note is looked for by `titles` under `targets` (ids of records) and wherever the person is now. From
    `readable_at` on it can no longer arrive, so that what is not found then was not done. `flag` is the value that an
    unanswered write of it may have given the flag, which was the other one before; None where there was none.
    """

    writeback: Writeback
    titles: frozenset[str]
    targets: frozenset[str]
    readable_at: datetime
    flag: bool | None = None


class Claim(NamedTuple):
    """One person leased to this worker, with everything the fold needs.

    `person` is where writes go now (after recorded redirects). `taken` are the writebacks to deliver, `doubts` those to
    read back; `events` all of the person's opt-out events, these included, and `known_notes` the ids of their Notes.
    `epoch` fences: an outcome is recorded only while it is current. `verify_after` is set while an older write may
    still land. `left` are unsubscribes that failed with their worker: they may have set the flag, and are read back
    once a person has retried them.
    """

    person: PersonRef
    epoch: int
    lease_until: datetime
    taken: tuple[Writeback, ...]
    events: tuple[OptOutEvent, ...]
    flag_is_ours: bool
    verify_after: datetime | None
    doubts: tuple[Doubt, ...] = ()
    known_notes: frozenset[str] = frozenset()
    left: tuple[int, ...] = ()

    @property
    def lease(self) -> Lease:
        """The person's id and the epoch: what an outcome is fenced by."""
        return self.person.salesforce_id, self.epoch


class Intent(NamedTuple):
    """One row write about to be sent, journalled and committed before any byte of it leaves.

    `title` is the frozen Note title (what a read-back looks for); `flag_before` the flag's before-image; `revision`
    what a Task says once the write is confirmed.
    """

    person_id: str
    epoch: int
    writeback_id: int
    operation: Operation
    target_id: str
    batch_id: str
    lane: str
    call_number: int
    intent_at: datetime
    send_deadline: datetime
    payload_hash: str
    run_id: str | None = None
    flag_before: bool | None = None
    title: str | None = None
    revision: str | None = None


class AttemptOutcome(NamedTuple):
    """What became of a journalled intent; `attempt_id` is the one the journal gave it."""

    attempt_id: int
    answer: Answer
    answered_at: datetime
    code: str | None = None
    message: str | None = None
    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """A journalled intent with its outcome; `outcome` is None while no answer is recorded."""

    id: int
    intent: Intent
    outcome: AttemptOutcome | None


class Settlement(NamedTuple):
    """A writeback's new state after this delivery. None leaves the ids, `flag_result` and `revision` as they are.

    `object_type` and `salesforce_id` of `person` become the row's; its earlier id goes to `redirected_from`.
    `attempted` counts one more attempt.
    """

    writeback_id: int
    person_id: str
    epoch: int
    status: Status
    person: PersonRef | None = None
    flag_result: FlagResult | None = None
    note_id: str | None = None
    task_id: str | None = None
    revision: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    advice: str | None = None
    next_attempt_at: datetime | None = None
    written_at: datetime | None = None
    attempted: bool = False
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class EnqueueResult:
    """How many changes were new, and how many the queue already knew by their delivery key."""

    added: int
    known: int


@dataclass(frozen=True, slots=True)
class RetryResult:
    """Ids put back to pending, and the others with a sentence that says why not.

    `left_undone` counts rows of the statuses asked for that an undo took back, and that nobody named.
    """

    retried: tuple[int, ...]
    refused: dict[int, str]
    left_undone: int = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for a change, and when."""

    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """Something that a person had done, whose trace is nowhere else: `action` is its name, `detail` says what of it.

    `writeback_ids` are those that it concerned.
    """

    asked: Asked
    action: str
    detail: str
    writeback_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that changed, as texts; `by` and `at` say who changed it and when."""

    name: str
    old: str
    new: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How much is owed: counts by status, and since when the oldest has been queued."""

    by_status: dict[Status, int]
    oldest_created_at: datetime | None

    @property
    def owed(self) -> int:
        """Writebacks in which something is still to be done."""
        return sum(
            self.by_status.get(status, 0) for status in (Status.PENDING, Status.SENDING, Status.WAITING, Status.UNKNOWN)
        )


class Origin(StrEnum):
    """The system in which a person opted out."""

    PLATFORM = "platform"
    SALESFORCE = "salesforce"
    IMPORT = "import"


class OriginChange(NamedTuple):
    """An entry of the origin ledger: an opt-out that now stands, or the platform's that no longer does.

    `flag_set` is the evidence that we set the flag in Salesforce; a person's flag is "ours" while a standing opt-out
    of the platform carries it.
    """

    person_id: str
    opted_out: bool
    at: datetime
    writeback_id: int
    flag_set: bool = False
    origin: Origin = Origin.PLATFORM


@dataclass(frozen=True, slots=True)
class WritebackFilter:
    """What the Writeback List shows; empty means everything. `person` is a record id of either length or an e-mail.

    `since` and `until` bound `occurred_at`, the first included, the second not. `text` is any part of an e-mail
    address, a reason or an error, or the whole of any id.
    `ids` are the only ones that may be shown; none, when there are none. Rows of `without_codes` are left out.
    """

    statuses: tuple[Status, ...] = ()
    kinds: tuple[Kind, ...] = ()
    object_types: tuple[ObjectType, ...] = ()
    error_codes: tuple[str, ...] = ()
    without_codes: tuple[str, ...] = ()
    person: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    run_id: str | None = None
    text: str | None = None
    ids: tuple[int, ...] | None = None
    limit: int | None = None
