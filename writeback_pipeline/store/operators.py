"""What people had done that leaves no trace in another table, with their name: retries, runs that they launched."""

from datetime import datetime

from writeback_pipeline.domain.ledger import Asked, OperatorAction
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, in_utc, storable

_ACTION = "action, detail, writeback_ids, asked_by, asked_at"


def enter(session: Session, done: OperatorAction) -> None:
    """Enter what was done."""
    (id_,) = next_ids(session, "operator_action_ids", 1)
    session.execute(
        f"INSERT INTO operator_actions (id, {_ACTION}) VALUES ($1, $2, $3, $4::BIGINT[], $5, $6::TIMESTAMP)",
        [id_, done.action, storable(done.detail), list(done.writeback_ids), storable(done.asked.by), done.asked.at],
    )


def latest(session: Session, action: str, limit: int) -> list[OperatorAction]:
    """The last `limit` actions of that name, newest first."""
    rows = session.execute(
        f"SELECT {_ACTION} FROM operator_actions WHERE action = $1 ORDER BY id DESC LIMIT $2", [action, limit]
    ).fetchall()
    return _actions(rows)


def concerning(session: Session, writeback_id: int) -> list[OperatorAction]:
    """Everything that was done about a writeback, oldest first."""
    rows = session.execute(
        f"SELECT {_ACTION} FROM operator_actions WHERE $1 = ANY(writeback_ids) ORDER BY id", [writeback_id]
    ).fetchall()
    return _actions(rows)


def _actions(rows: list[tuple[str, str, list[int], str, datetime]]) -> list[OperatorAction]:
    return [OperatorAction(Asked(by, in_utc(at)), action, detail, tuple(ids)) for action, detail, ids, by, at in rows]
