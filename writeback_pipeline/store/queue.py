"""The queue's two ends that need no lease: changes come in, rows that cannot or need not go yet are put in order.

Who may deliver a row is `claims`' work, what became of it `settling`'s.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

from writeback_pipeline.domain.keys import Holder, refuse_others
from writeback_pipeline.domain.ledger import QUIET, EnqueueResult, QueueDepth, RetryResult
from writeback_pipeline.domain.listing import version_of
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.undoing import TAKEN_BACK
from writeback_pipeline.domain.writebacks import RETRYABLE, WHY_NOT_RETRIED, Change, Kind, Status
from writeback_pipeline.store.counts import counted
from writeback_pipeline.store.erasing import erased_keys
from writeback_pipeline.store.high_water import Restore, last_restore
from writeback_pipeline.store.people import add_people
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline.store.redirects import where_they_went
from writeback_pipeline.store.rows import OPEN, WRITEBACK, writebacks_from
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, in_utc


class _Row(NamedTuple):
    """A change as it is inserted; `_ROW` has the columns' types."""

    id: int
    kind: str
    object_type: str
    salesforce_id: str | None
    subscriber_id: str | None
    email: str | None
    occurred_at: datetime
    reason: str | None
    delivery_key: str
    status: str
    redirected_from: str | None
    created_at: datetime
    person_id: str | None
    next_attempt_at: datetime | None
    error_code: str | None


_TYPES = {
    "id": "BIGINT", "occurred_at": "TIMESTAMP", "created_at": "TIMESTAMP", "next_attempt_at": "TIMESTAMP",
}  # fmt: skip
_ROW = {name: _TYPES.get(name, "TEXT") for name in _Row._fields}

NO_RECIPIENT = (
    "This person has no record in Salesforce, so there is nothing to write to. Once the subscriber is linked to a "
    "Contact or Lead, queue the change again with that id, under a new key."
)

CHANGED = "somebody or something dealt with it after it was shown: look at what it says now, then retry"
"""Why what could be sent back is not, when it is not as it was seen."""

NOTHING_SEEN: Mapping[int, str] = MappingProxyType({})


class UnknownWriteback(LookupError):
    """A retry names ids that no writeback has; nothing was changed."""


def enqueue(session: Session, changes: Sequence[Change], now: datetime) -> EnqueueResult:
    """Queue the changes whose delivery key is new; of several with one key the first counts.

    A person whose record is known to have moved is queued under the record that it is now. What happened before a
    restore may have been delivered by what was lost, and is read back first. Raises KeysTaken, and queues nothing, if
    any has the key of another change.
    """
    by_key: dict[str, Change] = {}
    for change in changes:
        by_key.setdefault(change.delivery_key, change)
    known = _holders(session, list(by_key))
    fresh = {key: change for key, change in by_key.items() if key not in known}
    added = _insert(session, fresh, now) if fresh else 0
    if added < len(changes):  # what was known, or comes twice here, or was queued by somebody else just now
        people = {change.salesforce_id for change in changes if change.salesforce_id}
        refuse_others(changes, _holders(session, list(by_key)), where_they_went(session, people))
    return EnqueueResult(added=added, known=len(changes) - added)


def _holders(session: Session, keys: Sequence[str]) -> dict[str, Holder]:
    """Who has these keys, of those that were queued before."""
    erased = {hashed: key for key, hashed in erased_keys(session, keys).items()}
    values: list[object] = []
    these = session.among("w.delivery_key", "TEXT", [*keys, *erased], values)
    rows = session.execute(
        f"SELECT w.delivery_key, w.id, w.kind, w.salesforce_id, w.redirected_from FROM writebacks w WHERE {these}",
        values,
    ).fetchall()
    return {
        erased.get(key, key): Holder(id_, Kind(kind), frozenset({person, came_from or person}))
        for key, id_, kind, person, came_from in rows
    }


def _insert(session: Session, fresh: Mapping[str, Change], now: datetime) -> int:
    """Returns how many; a key that another process queues at the same moment is its."""
    restore = last_restore(session)
    moved = where_they_went(session, {change.salesforce_id for change in fresh.values() if change.salesforce_id})
    ids = next_ids(session, "writeback_ids", len(fresh))
    rows = [_row(id_, key, change, moved, restore, now) for id_, (key, change) in zip(ids, fresh.items(), strict=True)]
    add_people(session, {row.person_id: row.object_type for row in rows if row.person_id})
    rows.sort(key=attrgetter("delivery_key"))  # no two processes wait for each other's keys
    selected, bound = session.selected(_ROW, rows)
    added = session.execute(
        f"INSERT INTO writebacks ({', '.join(_ROW)}) {selected}{session.dialect.unless_known} RETURNING id", bound
    )
    return len(added.fetchall())


def _row(
    id_: int, key: str, change: Change, moved: Mapping[str, PersonRef], restore: Restore | None, now: datetime
) -> _Row:
    person = moved.get(change.salesforce_id or "")
    salesforce_id = person.salesforce_id if person else change.salesforce_id
    doubt = restore if restore and salesforce_id and change.occurred_at < restore.found_at else None
    return _Row(
        id=id_,
        kind=change.kind,
        object_type=person.object_type if person else change.object_type,
        salesforce_id=salesforce_id,
        subscriber_id=change.subscriber_id,
        email=change.email,
        occurred_at=change.occurred_at,
        reason=change.reason,
        delivery_key=key,
        status=Status.UNKNOWN if doubt else Status.PENDING,
        redirected_from=change.salesforce_id if person else None,
        created_at=now,
        person_id=salesforce_id,
        next_attempt_at=doubt.in_doubt_until if doubt else None,
        error_code="RESTORED" if doubt else None,
    )


def settle_without_recipient(session: Session, now: datetime, run_id: str | None) -> int:
    """Settle what is pending for people without a Salesforce record; returns how many."""
    settled = session.execute(
        "UPDATE writebacks SET status = $1, advice = $2, run_id = coalesce($3, run_id), settled_at = $4::TIMESTAMP "
        "WHERE settled_at IS NULL AND status = 'pending' AND salesforce_id IS NULL RETURNING id",
        [Status.NO_RECIPIENT, NO_RECIPIENT, run_id, now],
    )
    return len(settled.fetchall())


def retry(
    session: Session, ids: Collection[int], statuses: Collection[Status], seen: Mapping[int, str] = NOTHING_SEEN
) -> RetryResult:
    """Put failed and waiting writebacks back to pending: those named, and all of the statuses named but what an undo
    took back, for that was meant.

    Of `seen`, ids with the versions in which somebody saw them, only what is as it was then. A retry starts a new
    series of attempts; what is older than a restore, or what workers ended of, is read back first. Raises ValueError
    for a status that cannot be retried, UnknownWriteback when an id is nobody's; what exists but cannot go back is told
    beside what went.
    """
    never = [status.value for status in statuses if status not in RETRYABLE]
    if never:
        raise ValueError(f"only {' and '.join(RETRYABLE)} writebacks can be retried, not {', '.join(never)}")
    named = {*ids, *seen}
    found = session.execute(
        "SELECT w.id, w.status, w.error_code FROM writebacks w WHERE w.id IN (SELECT unnest($1::BIGINT[])) "
        "OR w.status IN (SELECT unnest($2::TEXT[])) ORDER BY w.id",
        [list(named), list(statuses)],
    ).fetchall()
    known = {id_: status for id_, status, code in found if id_ in named or code not in TAKEN_BACK}
    nobodys = sorted(named - known.keys())
    if nobodys:
        raise UnknownWriteback(
            f"no writeback has the id {', '.join(map(str, nobodys))}: nothing was changed. "
            "`writebacks list` shows the ids; correct or leave out what is wrong, then retry."
        )
    refused = {id_: WHY_NOT_RETRIED[Status(status)] for id_, status in known.items() if status not in RETRYABLE}
    refused |= dict.fromkeys(_changed(session, seen) - refused.keys(), CHANGED)
    retried = tuple(id_ for id_ in known if id_ not in refused)
    session.execute(
        "UPDATE writebacks SET status = CASE WHEN error_code = $2 THEN 'unknown' ELSE 'pending' END, attempts = 0, "
        "settled_at = NULL, next_attempt_at = NULL, error_code = NULL, error_message = NULL, advice = NULL "
        "WHERE id IN (SELECT unnest($1::BIGINT[]))",
        [list(retried), WORKER_LOST],
    )
    restore = last_restore(session)
    if restore:
        session.execute(
            "UPDATE writebacks SET status = 'unknown', next_attempt_at = $2::TIMESTAMP, error_code = 'RESTORED' "
            "WHERE created_at < $3::TIMESTAMP AND id IN (SELECT unnest($1::BIGINT[]))",
            [list(retried), restore.in_doubt_until, restore.found_at],
        )
    return RetryResult(retried, refused, left_undone=len(found) - len(known))


def _changed(session: Session, seen: Mapping[int, str]) -> set[int]:
    """Those that are not as they were seen."""
    rows = session.execute(
        f"SELECT {WRITEBACK} FROM writebacks w WHERE w.id IN (SELECT unnest($1::BIGINT[]))", [list(seen)]
    ).fetchall()
    return {row.id for row in writebacks_from(rows) if seen[row.id] != version_of(row)}


def unaccounted(session: Session, now: datetime) -> list[int]:
    """Ids of opt-outs whose row contradicts itself: written without a Note, sent long ago without an outcome,
    called settled while it is owed or owed while it is settled, or in a status that nobody knows."""
    rows = session.execute(
        "SELECT w.id FROM writebacks w LEFT JOIN people p ON p.person_id = w.person_id "
        "WHERE w.kind IN ('unsubscribe', 'resubscribe') AND ("
        "(w.status = 'written' AND w.note_id IS NULL) "
        "OR (w.status = 'sending' AND (p.lease_until IS NULL OR p.lease_until < $1::TIMESTAMP)) "
        f"OR (w.settled_at IS NULL) <> (w.status IN ({OPEN})) "
        "OR w.status NOT IN (SELECT unnest($2::TEXT[]))) ORDER BY w.id",
        [now - QUIET, [status.value for status in Status]],
    ).fetchall()
    return [id_ for (id_,) in rows]


def depth(session: Session) -> QueueDepth:
    """Opt-outs by status, and the age of what is owed of them."""
    rows = counted(session, "w.status", "w.kind IN ('unsubscribe', 'resubscribe')")
    return QueueDepth({Status(status): count for status, count in rows}, oldest_owed(session))


def oldest_owed(session: Session) -> datetime | None:
    """When the opt-out was queued that has been owed longest; None when none is."""
    oldest: datetime | None
    [(oldest,)] = session.execute(
        f"SELECT min(w.created_at) FROM writebacks w WHERE w.settled_at IS NULL AND w.status IN ({OPEN}) "
        "AND w.kind IN ('unsubscribe', 'resubscribe')"
    ).fetchall()
    return in_utc(oldest)
