"""Summaries of activity as rows of the Writeback List: what is known of a window, and what is owed of it now."""

from collections.abc import Sequence
from datetime import datetime

from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.window_ledger import KnownSummary, OwedSummary, WindowLease
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, as_columns, unnested

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
    "settled_at": "TIMESTAMP",
}

_NO_RECIPIENT = (
    "This subscriber has no record in Salesforce, so there is nobody to show the activity of. Once the subscriber is "
    "linked to a Contact or Lead, events that name the record are written."
)

_NEVER_HAPPENED = (
    "The platform no longer reports this activity, and nothing of it was written: there is nothing to do. Should it be "
    "reported again, it is written."
)


def known_summaries(session: Session, scope: str) -> dict[str, KnownSummary]:
    """What the ledger has of the window, by key."""
    rows = session.execute(
        "SELECT w.delivery_key, w.id, w.status, w.revision, w.task_id, w.object_type, w.salesforce_id, w.attempts, "
        "w.status = 'failed' AND coalesce(w.error_code, '') = 'UNDONE' FROM writebacks w WHERE w.person_id = $1",
        [scope],
    ).fetchall()
    return {
        key: KnownSummary(
            id_, Status(status), revision, task_id, PersonRef(ObjectType(type_), person) if person else None, *rest
        )
        for key, id_, status, revision, task_id, type_, person, *rest in rows
    }


def owe_summaries(
    session: Session,
    held: WindowLease,
    window: Window,
    owed: Sequence[OwedSummary],
    now: datetime,
    run_id: str | None,
) -> dict[str, int]:
    """Enter new summaries and put known ones that changed back to pending; the writebacks' ids by key.

    Nothing, and no ids, when the lease has passed to another worker.
    """
    ours = session.execute(
        "UPDATE people SET lease_owner = lease_owner WHERE person_id = $1 AND epoch = $2 RETURNING epoch",
        [held.scope, held.epoch],
    ).fetchall()
    if not ours:
        return {}
    ids = _known_ids(session, [each.key for each in owed])
    _put_back(session, [(ids[each.key], each.occurred_at) for each in owed if each.key in ids], window)
    fresh = [each for each in owed if each.key not in ids]
    rows = [
        _row(id_, each, now) for id_, each in zip(next_ids(session, "writeback_ids", len(fresh)), fresh, strict=True)
    ]
    further = ("person_id", "window_start", "window_end", "created_at", "run_id")
    types = ("TEXT", "TIMESTAMP", "TIMESTAMP", "TIMESTAMP", "TEXT")
    bound = ", ".join(f"${number}::{type_}" for number, type_ in enumerate(types, len(_NEW) + 1))
    session.execute(
        f"INSERT INTO writebacks ({', '.join((*_NEW, *further))}) SELECT n.*, {bound} FROM ({unnested(_NEW)}) n",
        [*as_columns(rows, len(_NEW)), held.scope, window.start, window.end, now, run_id],
    )
    return ids | {each.key: row[0] for each, row in zip(fresh, rows, strict=True)}


def drop_summaries(session: Session, held: WindowLease, keys: Sequence[str], now: datetime, run_id: str | None) -> None:
    """Settle rows that never became a Task and whose events are no longer reported: nobody has to do anything.

    Nothing when the lease has passed to another worker.
    """
    session.execute(
        "UPDATE writebacks SET status = 'refused', advice = $4, error_code = NULL, error_message = NULL, "
        "next_attempt_at = NULL, settled_at = $6::TIMESTAMP, run_id = coalesce($5, run_id) WHERE person_id = $1 "
        "AND delivery_key IN (SELECT unnest($3::TEXT[])) AND status IN ('pending', 'waiting', 'failed') "
        "AND EXISTS (SELECT 1 FROM people p WHERE p.person_id = $1 AND p.epoch = $2)",
        [held.scope, held.epoch, list(keys), _NEVER_HAPPENED, run_id, now],
    )


def _known_ids(session: Session, keys: Sequence[str]) -> dict[str, int]:
    rows = session.execute(
        "SELECT w.delivery_key, w.id FROM writebacks w "
        f"JOIN ({unnested({'delivery_key': 'TEXT'})}) n ON n.delivery_key = w.delivery_key",
        [list(keys)],
    ).fetchall()
    return dict(rows)


def _put_back(session: Session, changed: Sequence[tuple[int, datetime]], window: Window) -> None:
    """What was settled starts a new series of attempts; what waits goes on with its own."""
    session.execute(
        "UPDATE writebacks AS w SET status = 'pending', occurred_at = n.occurred_at, window_start = $3::TIMESTAMP, "
        "window_end = $4::TIMESTAMP, "
        "attempts = CASE WHEN w.status IN ('written', 'failed', 'refused') THEN 0 ELSE w.attempts END, "
        "settled_at = NULL, next_attempt_at = NULL, error_code = NULL, error_message = NULL, advice = NULL "
        f"FROM ({unnested({'id': 'BIGINT', 'occurred_at': 'TIMESTAMP'})}) n WHERE w.id = n.id",
        [*as_columns(changed, 2), window.start, window.end],
    )


def _row(id_: int, owed: OwedSummary, now: datetime) -> tuple[int, *tuple[object, ...]]:
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
        None if owed.person else now,
    )
