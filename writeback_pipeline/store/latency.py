"""How long written opt-outs took, from their own timestamps: of one run, or day by day. Nothing here changes anything.

An event whose time cannot be true counts as of its queueing: clocks differ, and platforms are imported late.
"""

from collections.abc import Sequence
from datetime import date, datetime

from writeback_pipeline.domain.latency import Latency, LatencyByDay, Spread
from writeback_pipeline.store.session import Session

_HAPPENED = "CASE WHEN w.occurred_at < TIMESTAMP '1990-01-01' THEN w.created_at ELSE w.occurred_at END"
_STRETCHES = ((_HAPPENED, "w.created_at"), ("w.created_at", "w.written_at"), (_HAPPENED, "w.written_at"))
_SECONDS = [f"greatest(0, extract(epoch FROM ({end} - {start})))" for start, end in _STRETCHES]
_SPREADS = ", ".join(
    f"percentile_disc(0.5) WITHIN GROUP (ORDER BY {seconds}), "
    f"percentile_disc(0.95) WITHIN GROUP (ORDER BY {seconds}), max({seconds})"
    for seconds in _SECONDS
)
_WRITTEN = "w.status = 'written' AND w.kind IN ('unsubscribe', 'resubscribe') AND w.written_at IS NOT NULL"


def of_run(session: Session, run_id: str) -> Latency | None:
    """How long the opt-outs took that this run wrote; None when it wrote none."""
    [(written, *seconds)] = session.execute(
        f"SELECT count(*), {_SPREADS} FROM writebacks w WHERE {_WRITTEN} AND w.run_id = $1", [run_id]
    ).fetchall()
    return _latency(written, seconds) if written else None


def since(session: Session, begin: datetime) -> Latency | None:
    """How long the opt-outs took that were written since then; None when there were none."""
    [(written, *seconds)] = session.execute(
        f"SELECT count(*), {_SPREADS} FROM writebacks w WHERE {_WRITTEN} AND w.written_at >= $1::TIMESTAMP", [begin]
    ).fetchall()
    return _latency(written, seconds) if written else None


def by_day(session: Session, since: datetime) -> LatencyByDay:
    """How long the opt-outs took that were written since then, by the UTC day of their writing, newest first."""
    rows: list[tuple[date, int, *tuple[float, ...]]] = session.execute(
        f"SELECT CAST(w.written_at AS DATE) AS day, count(*), {_SPREADS} FROM writebacks w "
        f"WHERE {_WRITTEN} AND w.written_at >= $1::TIMESTAMP GROUP BY day ORDER BY day DESC",
        [since],
    ).fetchall()
    return {day: _latency(written, seconds) for day, written, *seconds in rows}


def _latency(written: int, seconds: Sequence[float]) -> Latency:
    spreads = [Spread(*map(float, seconds[start : start + 3])) for start in range(0, len(seconds), 3)]
    return Latency(written, *spreads)
