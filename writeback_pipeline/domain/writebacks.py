"""A writeback: one message from the platform to Salesforce, what kind it is, and how far it has come.

Statuses and their arrows live here; what makes a writeback take an arrow is decided in `opt_outs`, `planning` and
`outcomes`.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.people import ObjectType


class Kind(StrEnum):
    """What happened on the platform."""

    UNSUBSCRIBE = "unsubscribe"
    RESUBSCRIBE = "resubscribe"
    SENT = "sent"
    OPENED = "opened"


OPT_OUT_KINDS = (Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE)
ACTIVITY_KINDS = (Kind.SENT, Kind.OPENED)


class Status(StrEnum):
    """How far a writeback has come; `TRANSITIONS` has the arrows."""

    PENDING = "pending"  # queued, nothing sent
    SENDING = "sending"  # an intent is journalled; Salesforce may or may not have it
    WAITING = "waiting"  # something passing stopped it; tried again at next_attempt_at
    UNKNOWN = "unknown"  # sent, no answer; only a read-back decides
    WRITTEN = "written"  # Salesforce confirmed it; a summary of activity that changes is owed again
    FAILED = "failed"  # a person must act; a retry puts it back to pending
    REFUSED = "refused"  # the origin rule forbids it; or activity that was never written, and never happened after all
    NO_RECIPIENT = "no_recipient"  # the person has no Salesforce record


TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(
        {
            Status.SENDING,
            Status.WAITING,
            Status.UNKNOWN,
            Status.WRITTEN,
            Status.FAILED,
            Status.REFUSED,
            Status.NO_RECIPIENT,
        }
    ),
    Status.SENDING: frozenset({Status.WRITTEN, Status.WAITING, Status.UNKNOWN, Status.FAILED}),
    Status.WAITING: frozenset(
        {Status.SENDING, Status.UNKNOWN, Status.WRITTEN, Status.FAILED, Status.REFUSED, Status.PENDING}
    ),
    Status.UNKNOWN: frozenset({Status.WAITING, Status.FAILED}),
    Status.WRITTEN: frozenset({Status.PENDING, Status.FAILED}),
    Status.FAILED: frozenset({Status.PENDING, Status.UNKNOWN}),
    Status.REFUSED: frozenset({Status.PENDING}),
    Status.NO_RECIPIENT: frozenset(),
}
"""Legal moves. PENDING reaches WRITTEN directly when Salesforce already holds everything the writeback asks for.

What was not sent becomes UNKNOWN only when the database was put back to an earlier state: it may have been sent since.
UNKNOWN ends with a read-back: what that found is kept, and the rest waits to be planned anew; where the worker itself
ends again and again, it becomes FAILED, and UNKNOWN again when it is retried or its flag is found to be gone. A summary
of activity leaves WRITTEN or REFUSED when its events change; an opt-out leaves WRITTEN only when Salesforce no longer
shows it. What a person undoes becomes FAILED.
"""

OPEN_STATUSES = (Status.PENDING, Status.SENDING, Status.WAITING, Status.UNKNOWN)
"""Statuses in which something is still owed."""


RETRYABLE = (Status.FAILED, Status.WAITING)
"""Statuses from which a person may send a writeback back to pending."""

WHY_NOT_RETRIED = {
    Status.PENDING: "it is pending already and goes with the next run",
    Status.SENDING: "it is being sent now; its outcome comes first",
    Status.UNKNOWN: "it was sent without an answer; it is read back before anything is sent again",
    Status.WRITTEN: "Salesforce has confirmed it; sending it again would write it twice",
    Status.REFUSED: "the origin rule refused it; its advice says in which system to make the change",
    Status.NO_RECIPIENT: "its person has no Salesforce record; queue the change again once there is one",
}
"""Why what is in another status cannot be sent back."""


class FlagResult(StrEnum):
    """What became of the Email Opt Out flag, beside the status."""

    SET = "set"
    CLEARED = "cleared"
    UNCHANGED = "unchanged"  # Salesforce already held the value
    SUPPRESSED = "suppressed"  # the policy leaves the flag alone
    SUPERSEDED = "superseded"  # a later event of the same person decides the flag


class IllegalTransition(ValueError):
    """A status change that the arrows do not allow."""


def check_transition(old: Status, new: Status) -> None:
    """Raise IllegalTransition unless `old -> new` is one of the arrows."""
    if new not in TRANSITIONS[old]:
        raise IllegalTransition(f"a writeback cannot go from {old} to {new}")


EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""A change dated before this is a broken clock or an empty date."""

MISDATED = (
    "Its time lies after it was queued or before 1990, so it counts as of when it was queued: a clock or a date at the "
    "platform is wrong."
)
"""What the list says of an opt-out whose time cannot be true."""

CLOCKS_DIFFER = timedelta(hours=1)
"""How far an event's time may lie after its queueing and still be taken for true."""


@dataclass(frozen=True, slots=True)
class Change:
    """One opt-out change as the platform reports it, validated, before it is queued.

    `occurred_at` is an aware UTC instant; `salesforce_id` is None for a person without a Salesforce record.
    """

    kind: Kind
    object_type: ObjectType
    salesforce_id: str | None
    occurred_at: datetime
    reason: str | None = None
    subscriber_id: str | None = None
    email: str | None = None
    key: str | None = None

    @property
    def delivery_key(self) -> str:
        """The caller's key, or one made of who, what and when: the same change always has the same key."""
        return self.key or _derived_key(self)


RECORD_KEY_LIMIT = 255
"""Characters that the key of a key record may have."""


def _derived_key(change: Change) -> str:
    who = change.salesforce_id or change.subscriber_id or change.email or ""
    parts = [change.kind.value, who, utc_text(change.occurred_at)]
    if change.reason:
        parts.append(hashlib.sha256(change.reason.encode()).hexdigest()[:12])
    return "/".join(parts)


def record_key(row: "Writeback") -> str:
    """What names a writeback's key record in Salesforce: its delivery key, or a hash of one that is too long."""
    if len(row.delivery_key) <= RECORD_KEY_LIMIT:
        return row.delivery_key
    return hashlib.sha256(row.delivery_key.encode()).hexdigest()


def utc_text(instant: datetime) -> str:
    """ISO 8601 in UTC with Z; a fraction of a second only where there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def local_time(instant: datetime, zone: ZoneInfo) -> datetime:
    """The instant in that zone; in UTC for the first and last hours of the calendar that the zone has no date for."""
    try:
        return instant.astimezone(zone)
    except OverflowError:
        return instant


class Writeback(NamedTuple):
    """One row of the Writeback List; fields are the list's columns, instants are aware and in UTC."""

    id: int
    kind: Kind
    object_type: ObjectType
    salesforce_id: str | None
    subscriber_id: str | None
    email: str | None
    occurred_at: datetime
    reason: str | None
    window_start: datetime | None
    window_end: datetime | None
    delivery_key: str
    status: Status
    flag_result: FlagResult | None
    attempts: int
    next_attempt_at: datetime | None
    error_code: str | None
    error_message: str | None
    advice: str | None
    note_id: str | None
    task_id: str | None
    redirected_from: str | None
    run_id: str | None
    created_at: datetime
    written_at: datetime | None

    @property
    def is_misdated(self) -> bool:
        """Whether it is an opt-out whose time cannot be true; it is ordered as of its queueing then."""
        is_possible = EARLIEST <= self.occurred_at <= self.created_at + CLOCKS_DIFFER
        return self.kind in OPT_OUT_KINDS and not is_possible
