"""The breaker as all processes share it: one row. When it opens, closes and whom it lets try is `domain.breaker`'s."""

from collections.abc import Sequence
from typing import Any

from writeback_pipeline.domain.breaker import Breaker
from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.store.session import Session, in_utc

COLUMNS = ("failures", "open_until", "code", "message", "advice", "passing", "prober", "probe_until")
"""What its row says of it."""


def hold(session: Session) -> None:
    """Let no other transaction decide on a call until this one ends."""
    if session.dialect.locks_rows:
        session.execute("SELECT 1 FROM breaker WHERE slot = 1 FOR UPDATE")


def load(session: Session) -> Breaker:
    """The breaker now."""
    [row] = session.execute(f"SELECT {', '.join(COLUMNS)} FROM breaker").fetchall()
    return read(row)


def read(row: Sequence[Any]) -> Breaker:
    """The breaker, from its columns."""
    failures, until, code, message, advice, passing, prober, probe_until = row
    hold = None if until is None else Hold(in_utc(until), code, message, advice, passing)
    return Breaker(failures, hold, prober, in_utc(probe_until))


def save(session: Session, breaker: Breaker) -> None:
    """Replace the breaker."""
    hold = breaker.hold
    told = (None,) * 5 if hold is None else (hold.until, hold.code, hold.message, hold.advice, hold.passing)
    session.execute(
        "UPDATE breaker SET failures = $1, open_until = $2::TIMESTAMP, code = $3, message = $4, advice = $5, "
        "passing = $6, prober = $7, probe_until = $8::TIMESTAMP WHERE slot = 1",
        [breaker.failures, *told, breaker.prober, breaker.probe_until],
    )
