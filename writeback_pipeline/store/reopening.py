"""What was dealt with and is looked at again: flags to verify, unsubscribes whose flag is gone from Salesforce."""

from collections.abc import Collection
from datetime import datetime

from writeback_pipeline.domain.writebacks import TRANSITIONS, Status, Writeback
from writeback_pipeline.store.claims import FLAGS_LEFT, leases_of
from writeback_pipeline.store.recovery import WORKER_LOST
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.sync import question_people

REOPENED = tuple(status for status, after in TRANSITIONS.items() if Status.PENDING in after)

_ADVICE = "Salesforce did not show this opt-out, so the flag is set."


def reopen(session: Session, lost: Collection[tuple[int, str, int]], now: datetime) -> list[Writeback]:
    """Put unsubscribes that were dealt with back to pending, under the lease of their person, and return them.

    `lost` are writeback ids, each with the person and the epoch that fences it. What workers ended of becomes unknown
    instead: its Note may still arrive.
    """
    leases = leases_of(session, [(person, epoch) for _, person, epoch in lost])
    ids = [id_ for id_, person, epoch in lost if (until := leases.get((person, epoch))) is not None and until > now]
    if not ids:
        return []
    session.execute(
        "UPDATE writebacks SET status = CASE WHEN error_code = $4 THEN 'unknown' ELSE 'pending' END, "
        "attempts = 0, flag_result = NULL, "
        "settled_at = NULL, next_attempt_at = NULL, error_code = 'FLAG_LOST', "
        "error_message = NULL, advice = $2 WHERE id IN (SELECT unnest($1::BIGINT[])) AND kind = 'unsubscribe' "
        "AND status IN (SELECT unnest($3::TEXT[]))",
        [ids, _ADVICE, [status.value for status in REOPENED], WORKER_LOST],
    )
    rows = session.execute(
        f"SELECT {WRITEBACK} FROM writebacks w WHERE w.id IN (SELECT unnest($1::BIGINT[])) "
        "AND w.status IN ('pending', 'unknown')",
        [ids],
    ).fetchall()
    return writebacks_from(rows)


def reopenable(session: Session, ids: Collection[int]) -> list[Writeback]:
    """Those of the unsubscribes that `reopen` would put back, as they would be then."""
    rows = session.execute(
        f"SELECT {WRITEBACK} FROM writebacks w WHERE w.id IN (SELECT unnest($1::BIGINT[])) AND w.kind = 'unsubscribe' "
        "AND w.status IN (SELECT unnest($2::TEXT[]))",
        [list(ids), [status.value for status in REOPENED]],
    ).fetchall()
    return [as_reopened(row) for row in writebacks_from(rows)]


def as_reopened(row: Writeback) -> Writeback:
    """The row as it is after that."""
    status = Status.UNKNOWN if row.error_code == WORKER_LOST else Status.PENDING
    return row._replace(status=status, flag_result=None)


def question_suppressed(session: Session, now: datetime) -> int:
    """Have the flag verified, once, of everybody whose unsubscribe had left it alone; returns how many.

    Nobody while the policy is in force.
    """
    people = [person for (person,) in session.execute(FLAGS_LEFT).fetchall()]
    if people:
        question_people(session, people, now)
        session.execute(
            "UPDATE writebacks SET flag_left = FALSE WHERE person_id IN (SELECT unnest($1::TEXT[]))", [people]
        )
    return len(people)


def flags_left(session: Session) -> int:
    """How many people that concerns now."""
    [(count,)] = session.execute(f"SELECT count(*) FROM ({FLAGS_LEFT}) p").fetchall()
    return int(count)


def notes_since(session: Session, since: datetime) -> dict[str, Writeback]:
    """The opt-outs that were written after `since`, by the id of their Note."""
    rows = session.execute(
        f"SELECT {WRITEBACK} FROM writebacks w WHERE w.kind IN ('unsubscribe', 'resubscribe') "
        "AND w.status = 'written' AND w.note_id IS NOT NULL AND w.written_at > $1::TIMESTAMP ORDER BY w.id",
        [since],
    ).fetchall()
    return {row.note_id: row for row in writebacks_from(rows) if row.note_id is not None}


def question(session: Session, since: datetime, now: datetime) -> int:
    """Have the flag verified of everybody to whom an opt-out was written after `since`; returns how many."""
    people = session.execute(
        "SELECT DISTINCT w.person_id FROM writebacks w WHERE w.kind IN ('unsubscribe', 'resubscribe') "
        "AND w.person_id IS NOT NULL AND w.written_at > $1::TIMESTAMP",
        [since],
    ).fetchall()
    session.execute(
        "UPDATE people SET verify_after = coalesce(verify_after, $2::TIMESTAMP), "
        "verify_after_at_claim = coalesce(verify_after_at_claim, $2::TIMESTAMP) "
        "WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [[person for (person,) in people], now],
    )
    return len(people)
