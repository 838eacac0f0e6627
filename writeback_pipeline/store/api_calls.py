"""Calls of Salesforce's API: who may make one, counted before it is made so that no two processes make the same one.

How many there may be is decided in `domain.budget`, when there may be none in `domain.breaker`.
"""

from datetime import datetime

from writeback_pipeline.domain.breaker import barred, probing
from writeback_pipeline.domain.budget import (
    Account,
    Admission,
    Caller,
    Purpose,
    calls_left,
    hour_of,
    oldest_hour,
    refusal,
    spent,
)
from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.store import breaker as breakers
from writeback_pipeline.store.claims import due
from writeback_pipeline.store.session import Session, in_utc


def admit(
    session: Session, caller: Caller, heard: ApiUsage, now: datetime, calls: int, *, as_probe: bool = True
) -> Admission | Hold:
    """Reserve that many calls, none for a login; or say why they may not be made now.

    While there is trouble, everybody waits for a probe: what may not be made after all must not be one (`as_probe`).
    """
    breakers.hold(session)
    hear(session, heard, now)
    breaker = breakers.load(session)
    hold = barred(breaker, caller.name, now, manual=caller.manual) if as_probe else breaker.hold
    account = _account(session, caller.purpose, now)
    if hold is None and calls:
        hold = refusal(account, caller.settings, caller.purpose, now)
    if hold is not None:
        return hold
    probe = breaker.hold is not None
    if probe:
        breakers.save(session, probing(breaker, caller.name, now))
    if calls:
        _add(session, caller.purpose, now, calls)
    return Admission(probe, breaker.failures, account.limit is not None)


def not_made(session: Session, purpose: Purpose, admitted_at: datetime) -> None:
    """Give one call back that was reserved then and never left."""
    _add(session, purpose, admitted_at, -1)


def hear(session: Session, heard: ApiUsage, now: datetime) -> None:
    """Remember what the organisation said of its own count, if it said anything."""
    if heard.limit is not None:
        session.execute(
            "UPDATE api_limit SET most = $1, used = $2, heard_at = $3::TIMESTAMP WHERE slot = 1",
            [heard.limit, heard.used, now],
        )


def hold(session: Session, settings: WritebackSettings, purpose: Purpose, now: datetime) -> Hold | None:
    """Why no call would be admitted now; None when one would."""
    return barred(breakers.load(session), "", now, manual=False) or refusal(
        _account(session, purpose, now), settings, purpose, now
    )


def left(session: Session, settings: WritebackSettings, purpose: Purpose, now: datetime) -> int:
    """How many calls may be made now."""
    return calls_left(_account(session, purpose, now), settings, purpose, now)


def by_hour(session: Session, since: datetime) -> dict[datetime, int]:
    """Our calls since then by the hour in which they were made, oldest first; hours without any are missing."""
    rows = session.execute(
        "SELECT hour, sum(calls) FROM api_calls WHERE hour >= $1::TIMESTAMP GROUP BY hour ORDER BY hour", [since]
    ).fetchall()
    return {in_utc(hour): int(calls) for hour, calls in rows}


def spent_of_share(session: Session, settings: WritebackSettings, now: datetime) -> tuple[int, int]:
    """How many calls were made in 24 hours, and how many are ours in that time."""
    return spent(_account(session, Purpose.OPT_OUTS, now), settings)


def _account(session: Session, purpose: Purpose, now: datetime) -> Account:
    [(most, used, heard_at)] = session.execute("SELECT most, used, heard_at FROM api_limit").fetchall()
    opt_outs_due = due(session, now) if purpose is Purpose.ACTIVITY else 0
    return Account(by_hour(session, oldest_hour(now)), most, used, in_utc(heard_at), opt_outs_due)


def _add(session: Session, purpose: Purpose, at: datetime, calls: int) -> None:
    hour = hour_of(at)
    session.execute(
        "INSERT INTO api_calls (hour, purpose, calls) SELECT $1::TIMESTAMP, $2, 0 "
        "WHERE NOT EXISTS (SELECT 1 FROM api_calls c WHERE c.hour = $1::TIMESTAMP AND c.purpose = $2)"
        + session.dialect.unless_known,
        [hour, purpose],
    )
    session.execute(
        "UPDATE api_calls SET calls = calls + $3 WHERE hour = $1::TIMESTAMP AND purpose = $2", [hour, purpose, calls]
    )
