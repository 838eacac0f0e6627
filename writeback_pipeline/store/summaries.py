"""Activity in the ledger: a window's lease, its summaries as rows of the Writeback List, and what was delivered when.

A window of one kind is leased under its scope, as a row of `people` like a person's, so that the journal and the
settling of answers fence it by its epoch in the same way. A Task is written under a key of its own, so what a dead
worker left behind is simply written again.
"""

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.window_ledger import DeliveredWindow, KnownSummary, OwedSummary, WindowLease, scope_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind, Status
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, as_columns, unnested

_WINDOW = "Window"
"""What stands in place of an object type in the row of a leased scope."""

_NEW = {
    "id": "BIGINT",
    "kind": "TEXT",
    "object_type": "TEXT",
    "salesforce_id": "TEXT",
    "subscriber_id": "TEXT",
    "occurred_at": "TIMESTAMP",
    "delivery_key": "TEXT",
    "status": "TEXT",
    "advice": "TEXT",
}

_DELIVERED = {
    "scope": "TEXT",
    "kind": "TEXT",
    "occurrence": "TEXT",
    "name": "TEXT",
    "window_start": "TIMESTAMP",
    "window_end": "TIMESTAMP",
    "fingerprint": "TEXT",
    "events": "BIGINT",
    "summaries": "BIGINT",
    "without_recipient": "BIGINT",
    "delivered_at": "TIMESTAMP",
    "run_id": "TEXT",
}

_OWED_NOW = (
    "w.status IN ('pending', 'sending') OR (w.status IN ('waiting', 'unknown') "
    "AND (w.next_attempt_at IS NULL OR w.next_attempt_at <= $2::TIMESTAMP))"
)

_DELIVERED_FIELDS = tuple(field.name for field in fields(DeliveredWindow))

_NO_RECIPIENT = (
    "This subscriber has no record in Salesforce, so there is nobody to show the activity of. Once the subscriber is "
    "linked to a Contact or Lead, events that name the record are written."
)


def lease_window(session: Session, scope: str, owner: str, now: datetime, lease: timedelta) -> WindowLease | None:
    """Lease the window, None while another worker has it; what an earlier worker left unanswered is owed again."""
    session.execute(
        "INSERT INTO people (person_id, object_type) VALUES ($1, $2) ON CONFLICT DO NOTHING", [scope, _WINDOW]
    )
    leased = session.execute(
        "UPDATE people SET lease_owner = $2, lease_until = $3::TIMESTAMP, epoch = epoch + 1 WHERE person_id = $1 "
        "AND (lease_until IS NULL OR lease_until <= $4::TIMESTAMP) RETURNING epoch",
        [scope, owner, now + lease, now],
    ).fetchall()
    if not leased:
        return None
    session.execute(
        "UPDATE writebacks SET status = 'waiting', next_attempt_at = NULL WHERE person_id = $1 "
        "AND (status = 'sending' OR (status = 'unknown' AND next_attempt_at <= $2::TIMESTAMP))",
        [scope, now],
    )
    return WindowLease(scope, leased[0][0], now + lease)


def extend_window(
    session: Session, held: WindowLease, owner: str, now: datetime, lease: timedelta
) -> WindowLease | None:
    """The same lease, fresh; None when it has passed to another worker."""
    extended = session.execute(
        "UPDATE people SET lease_until = $4::TIMESTAMP WHERE person_id = $1 AND epoch = $2 AND lease_owner = $3 "
        "RETURNING epoch",
        [held.scope, held.epoch, owner, now + lease],
    ).fetchall()
    return WindowLease(held.scope, held.epoch, now + lease) if extended else None


def release_window(session: Session, held: WindowLease) -> None:
    """Give the lease back."""
    session.execute(
        "UPDATE people SET lease_owner = NULL, lease_until = NULL WHERE person_id = $1 AND epoch = $2",
        [held.scope, held.epoch],
    )


def known_summaries(session: Session, scope: str) -> dict[str, KnownSummary]:
    """What the ledger has of the window, by key."""
    rows = session.execute(
        "SELECT w.delivery_key, w.id, w.status, w.revision, w.task_id, w.object_type, w.salesforce_id, w.attempts "
        "FROM writebacks w WHERE w.person_id = $1",
        [scope],
    ).fetchall()
    return {
        key: KnownSummary(
            id_, Status(status), revision, task_id, PersonRef(ObjectType(type_), person) if person else None, attempts
        )
        for key, id_, status, revision, task_id, type_, person, attempts in rows
    }


def owe_summaries(
    session: Session, held: WindowLease, window: Window, owed: Sequence[OwedSummary], now: datetime
) -> dict[str, int]:
    """Enter new summaries and put known ones that changed back to pending; the writebacks' ids by key."""
    known = known_summaries(session, held.scope)
    changed = [
        (known[each.key].writeback_id, each.occurred_at)
        for each in owed
        if each.key in known and known[each.key].status in (Status.WRITTEN, Status.FAILED)
    ]
    session.execute(
        "UPDATE writebacks AS w SET status = 'pending', occurred_at = n.occurred_at, attempts = 0, "
        "next_attempt_at = NULL, error_code = NULL, error_message = NULL, advice = NULL "
        f"FROM ({unnested({'id': 'BIGINT', 'occurred_at': 'TIMESTAMP'})}) n WHERE w.id = n.id",
        as_columns(changed, 2),
    )
    fresh = [each for each in owed if each.key not in known]
    rows = [_row(id_, each) for id_, each in zip(next_ids(session, "writeback_ids", len(fresh)), fresh, strict=True)]
    session.execute(
        f"INSERT INTO writebacks ({', '.join(_NEW)}, person_id, window_start, window_end, created_at) "
        f"SELECT n.*, ${len(_NEW) + 1}, ${len(_NEW) + 2}::TIMESTAMP, ${len(_NEW) + 3}::TIMESTAMP, "
        f"${len(_NEW) + 4}::TIMESTAMP FROM ({unnested(_NEW)}) n",
        [*as_columns(rows, len(_NEW)), held.scope, window.start, window.end, now],
    )
    return {key: known[key].writeback_id for key in (each.key for each in owed) if key in known} | {
        each.key: row[0] for each, row in zip(fresh, rows, strict=True)
    }


def _row(id_: int, owed: OwedSummary) -> tuple[int, *tuple[object, ...]]:
    return (
        id_,
        owed.kind,
        owed.person.object_type if owed.person else ObjectType.CONTACT,
        owed.person and owed.person.salesforce_id,
        owed.subscriber_id,
        owed.occurred_at,
        owed.key,
        Status.PENDING if owed.person else Status.NO_RECIPIENT,
        None if owed.person else _NO_RECIPIENT,
    )


def window_delivered(
    session: Session,
    kind: Kind,
    window: Window,
    fingerprint: str,
    counts: tuple[int, int, int],
    now: datetime,
    run_id: str | None,
) -> None:
    """Remember that the window was delivered as its files stood; `counts` are events, summaries, without recipient."""
    bounds = [window.occurrence, window.name, window.start, window.end]
    values = [scope_of(kind, window), kind, *bounds, fingerprint, *counts, now, run_id]
    session.execute(
        f"INSERT INTO activity_windows ({', '.join(_DELIVERED)}) "
        f"SELECT {', '.join(f'${n}::{type_}' for n, type_ in enumerate(_DELIVERED.values(), 1))} "
        f"ON CONFLICT (scope) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in list(_DELIVERED)[1:])}",
        values,
    )


def delivered_windows(session: Session, since: datetime, now: datetime) -> list[DeliveredWindow]:
    """The delivered windows that end after `since`, with what became of their summaries; oldest first."""
    rows = session.execute(
        "SELECT a.kind, a.occurrence, a.name, a.window_start, a.window_end, a.fingerprint, a.events, a.summaries, "
        "a.without_recipient, a.delivered_at, coalesce(r.written, 0), coalesce(r.failed, 0), "
        "coalesce(r.no_recipient, 0), coalesce(r.open, 0), coalesce(r.owed, 0) FROM activity_windows a LEFT JOIN ("
        "SELECT w.person_id, count(*) FILTER (w.status = 'written') AS written, "
        "count(*) FILTER (w.status = 'failed') AS failed, "
        "count(*) FILTER (w.status = 'no_recipient') AS no_recipient, "
        "count(*) FILTER (w.status IN ('pending', 'sending', 'waiting', 'unknown')) AS open, "
        f"count(*) FILTER ({_OWED_NOW}) AS owed "
        "FROM writebacks w WHERE w.kind IN ('sent', 'opened') AND w.window_end > $1::TIMESTAMP GROUP BY w.person_id"
        ") r ON r.person_id = a.scope WHERE a.window_end > $1::TIMESTAMP ORDER BY a.window_start, a.kind",
        [since, now],
    ).fetchall()
    return [_delivered(dict(zip(_DELIVERED_FIELDS, row, strict=True))) for row in rows]


def _delivered(value: dict[str, Any]) -> DeliveredWindow:
    for name in ("start", "end", "delivered_at"):
        value[name] = value[name].replace(tzinfo=UTC)
    return DeliveredWindow(**{**value, "kind": Kind(value["kind"])})
