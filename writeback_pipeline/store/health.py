"""The ledger's health in one look, and the heartbeats of what ticks. What is wrong about it is said in `domain.alerts`.

Costs what is owed, not what was ever written.
"""

from datetime import datetime

from writeback_pipeline.domain.health import Heartbeat, LedgerHealth
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Kind, Status
from writeback_pipeline.store import breaker
from writeback_pipeline.store.api_calls import spent_of_share
from writeback_pipeline.store.counts import counted
from writeback_pipeline.store.high_water import last_restore
from writeback_pipeline.store.rows import NEEDS_A_PERSON, OPEN
from writeback_pipeline.store.session import Session, in_utc


def ledger_health(session: Session, settings: WritebackSettings, now: datetime) -> LedgerHealth:
    """What is owed, what calls are left, and who is silent."""
    owed = session.execute(
        "SELECT w.kind, w.status, count(*), min(w.created_at) FROM writebacks w "
        f"WHERE w.settled_at IS NULL AND w.status IN ({OPEN}) GROUP BY w.kind, w.status"
    ).fetchall()
    waiting = [since for kind, _, _, since in owed if kind in OPT_OUT_KINDS]
    failed = counted(session, "w.kind, w.status", NEEDS_A_PERSON)
    made, ours = spent_of_share(session, settings, now)
    restore = last_restore(session)
    return LedgerHealth(
        owed={(Kind(kind), Status(status)): count for kind, status, count, *_ in (*owed, *failed)},
        oldest_opt_out=in_utc(min(waiting, default=None)),
        calls_made=made,
        calls_ours=ours,
        hold=breaker.load(session).hold,
        heartbeats=heartbeats(session),
        restored_at=restore.found_at if restore else None,
    )


def heartbeats(session: Session) -> dict[str, Heartbeat]:
    """The last tick of everything that ever ticked, by name."""
    rows = session.execute("SELECT name, beat_at, due_by FROM heartbeats ORDER BY name").fetchall()
    return {name: Heartbeat(in_utc(at), in_utc(due_by)) for name, at, due_by in rows}


def beat(session: Session, name: str, tick: Heartbeat) -> None:
    """Remember a tick."""
    session.execute(
        "INSERT INTO heartbeats (name, beat_at, due_by) VALUES ($1, $2::TIMESTAMP, $3::TIMESTAMP) "
        "ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at, due_by = excluded.due_by",
        [name, tick.at, tick.due_by],
    )
