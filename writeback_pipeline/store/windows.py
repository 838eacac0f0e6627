"""Windows of activity in the ledger: who delivers one now, and what was delivered when.

A window of one kind is leased under its scope, as a row of `people` like a person's, so that the journal and the
settling of answers fence it by its epoch in the same way. What a dead worker left unanswered is written again, but
only when it can no longer arrive: a late request would bring an older text back.
"""

from dataclasses import astuple, fields
from datetime import datetime, timedelta

from writeback_pipeline.domain.ledger import QUIET
from writeback_pipeline.domain.window_ledger import DeliveredWindow, WindowAccount, WindowCounts, WindowLease, scope_of
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline.store.bulk_jobs import PEOPLE_IN_JOBS
from writeback_pipeline.store.evidence import settle_left
from writeback_pipeline.store.people import FIRST_EPOCH, WINDOW
from writeback_pipeline.store.rows import OPEN
from writeback_pipeline.store.session import Session, as_columns, in_utc, unnested

_ABANDONED = (
    "The worker that sent it ended before it recorded an answer. The Task is written again once that try can no longer "
    "arrive."
)

_DELIVERED = {
    "scope": "TEXT",
    "kind": "TEXT",
    "occurrence": "TEXT",
    "name": "TEXT",
    "window_start": "TIMESTAMP",
    "window_end": "TIMESTAMP",
    "fingerprint": "TEXT",
    **dict.fromkeys((field.name for field in fields(WindowCounts)), "BIGINT"),
    "delivered_at": "TIMESTAMP",
    "run_id": "TEXT",
}

_ACCOUNT = ", ".join(f"a.{name}" for name in ("kind", "occurrence", "name", *(f.name for f in fields(WindowCounts))))
_BECAME = ("'written'", "'failed'", "'refused'", "'no_recipient'", OPEN)

_OWED_NOW = (
    "w.status IN ('pending', 'sending') OR (w.status IN ('waiting', 'unknown') "
    "AND (w.next_attempt_at IS NULL OR w.next_attempt_at <= $2::TIMESTAMP))"
)


def lease_window(session: Session, scope: str, owner: str, now: datetime, lease: timedelta) -> WindowLease | None:
    """Lease the window, None while another worker has it; what can no longer arrive of earlier tries is owed again.

    None too while a Bulk job that has not ended may still write to it: it has to be adopted first.
    """
    settle_left(session, now)
    if session.execute(f"SELECT 1 WHERE $1 IN ({PEOPLE_IN_JOBS})", [scope]).fetchall():
        return None
    session.execute(
        f"INSERT INTO people (person_id, object_type, epoch) VALUES ($1, $2, {FIRST_EPOCH}) ON CONFLICT DO NOTHING",
        [scope, WINDOW],
    )
    leased = session.execute(
        "UPDATE people SET lease_owner = $2, lease_until = $3::TIMESTAMP, epoch = epoch + 1 WHERE person_id = $1 "
        "AND (lease_until IS NULL OR lease_until <= $4::TIMESTAMP) RETURNING epoch",
        [scope, owner, now + lease, now],
    ).fetchall()
    if not leased:
        return None
    _doubt_abandoned(session, scope)
    session.execute(
        "UPDATE writebacks SET status = 'waiting', next_attempt_at = NULL WHERE person_id = $1 "
        "AND status = 'unknown' AND next_attempt_at <= $2::TIMESTAMP",
        [scope, now],
    )
    return WindowLease(scope, leased[0][0], now + lease)


def _doubt_abandoned(session: Session, scope: str) -> None:
    """What is still `sending` was left by a worker that ended: unknown until it can no longer arrive."""
    left = session.execute(
        "SELECT a.writeback_id, max(a.send_deadline) FROM delivery_attempts a "
        "JOIN writebacks w ON w.id = a.writeback_id "
        "WHERE w.person_id = $1 AND w.status = 'sending' GROUP BY a.writeback_id",
        [scope],
    ).fetchall()
    if left:
        session.execute(
            "UPDATE writebacks SET status = 'unknown', next_attempt_at = n.in_doubt_until, advice = $3 "
            f"FROM ({unnested({'id': 'BIGINT', 'in_doubt_until': 'TIMESTAMP'})}) n WHERE writebacks.id = n.id",
            [*as_columns([(id_, deadline + QUIET) for id_, deadline in left], 2), _ABANDONED],
        )


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


def release_window(session: Session, held: WindowLease) -> bool:
    """Give the lease back; False when it had passed to another worker."""
    released = session.execute(
        "UPDATE people SET lease_owner = NULL, lease_until = NULL WHERE person_id = $1 AND epoch = $2 RETURNING epoch",
        [held.scope, held.epoch],
    )
    return bool(released.fetchall())


def window_delivered(
    session: Session,
    kind: Kind,
    window: Window,
    fingerprint: str,
    counts: WindowCounts,
    now: datetime,
    run_id: str | None,
) -> None:
    """Remember that the window was delivered as its files stood."""
    bounds = [window.occurrence, window.name, window.start, window.end]
    values = [scope_of(kind, window), kind, *bounds, fingerprint, *astuple(counts), now, run_id]
    session.execute(
        f"INSERT INTO activity_windows ({', '.join(_DELIVERED)}) "
        f"SELECT {', '.join(f'${n}::{type_}' for n, type_ in enumerate(_DELIVERED.values(), 1))} "
        f"ON CONFLICT (scope) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in list(_DELIVERED)[1:])}",
        values,
    )


def delivered_windows(session: Session, since: datetime, now: datetime) -> list[DeliveredWindow]:
    """The delivered windows that end after `since`, with what is owed of them now; oldest first.

    What is settled of them is not looked at, however much that is.
    """
    rows = session.execute(
        "SELECT a.kind, a.occurrence, a.name, a.window_start, a.window_end, a.fingerprint, a.delivered_at, "
        "coalesce(o.rows, 0) FROM activity_windows a LEFT JOIN (SELECT w.person_id, count(*) AS rows FROM writebacks w "
        f"WHERE w.settled_at IS NULL AND w.status IN ({OPEN}) AND w.kind IN ('sent', 'opened') AND ({_OWED_NOW}) "
        "GROUP BY w.person_id) o ON o.person_id = a.scope "
        "WHERE a.window_end > $1::TIMESTAMP ORDER BY a.window_start, a.kind",
        [since, now],
    ).fetchall()
    return [
        DeliveredWindow(Kind(kind), occurrence, name, in_utc(start), in_utc(end), fingerprint, in_utc(at), owed)
        for kind, occurrence, name, start, end, fingerprint, at, owed in rows
    ]


def window_accounts(session: Session, since: datetime) -> list[WindowAccount]:
    """What was counted of the delivered windows that end after `since`, and what became of their rows; oldest first.

    Rows that came later, with a delivery that did not end, do not count. The rows' own bounds may be those of another
    time zone by some hours: they only keep DuckDB from reading all rows of windows long past.
    """
    rows = session.execute(
        f"SELECT {_ACCOUNT}, "
        + ", ".join(f"count(*) FILTER (WHERE w.status IN ({statuses}))" for statuses in _BECAME)
        + " FROM activity_windows a LEFT JOIN writebacks w ON w.person_id = a.scope AND w.kind IN ('sent', 'opened') "
        "AND w.window_end > $1::TIMESTAMP - INTERVAL '2 days' AND w.created_at <= a.delivered_at "
        f"WHERE a.window_end > $1::TIMESTAMP GROUP BY {_ACCOUNT}, a.window_start ORDER BY a.window_start, a.kind",
        [since],
    ).fetchall()
    return [_account(*row) for row in rows]


def _account(kind: str, occurrence: str, name: str, *numbers: int) -> WindowAccount:
    counted = len(fields(WindowCounts))
    return WindowAccount(Kind(kind), occurrence, name, WindowCounts(*numbers[:counted]), *numbers[counted:])
