"""Calls of Salesforce's API: who may make one, counted before it is made so that no two processes make the same one.

How many there may be is decided in `domain.budget`, when there may be none in `domain.breaker`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.domain.breaker import Breaker, barred, probing
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What decides on a call: the breaker, and what is known of calls; `entered` are ours by hour and purpose."""

    breaker: Breaker
    account: Account
    entered: Mapping[tuple[datetime, str], int]


def admit(
    session: Session, caller: Caller, heard: ApiUsage, now: datetime, calls: int, *, as_probe: bool = True
) -> Admission | Hold:
    """Reserve that many calls, none for a login; or say why they may not be made now.

    While there is trouble, everybody waits for a probe: what may not be made after all must not be one (`as_probe`).
    """
    breakers.hold(session)
    hear(session, heard, now)
    known = _known(session, caller.purpose, now)
    breaker = known.breaker
    hold = barred(breaker, caller.name, now, manual=caller.manual) if as_probe else breaker.hold
    if hold is None and calls:
        hold = refusal(known.account, caller.settings, caller.purpose, now)
    if hold is not None:
        return hold
    probe = breaker.hold is not None
    if probe:
        breakers.save(session, probing(breaker, caller.name, now))
    if calls:
        if (hour_of(now), caller.purpose) not in known.entered:
            _enter_hour(session, caller.purpose, now)
        _add(session, caller.purpose, now, calls)
    return Admission(probe, breaker.failures, known.account.limit is not None)


def not_made(session: Session, purpose: Purpose, admitted_at: datetime) -> None:
    """Give one call back that was reserved then and never left."""
    _enter_hour(session, purpose, admitted_at)
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
    known = _known(session, purpose, now)
    return barred(known.breaker, "", now, manual=False) or refusal(known.account, settings, purpose, now)


def left(session: Session, settings: WritebackSettings, purpose: Purpose, now: datetime) -> int:
    """How many calls may be made now."""
    return calls_left(_known(session, purpose, now).account, settings, purpose, now)


def by_hour(session: Session, since: datetime) -> dict[datetime, int]:
    """Our calls since then by the hour in which they were made, oldest first; hours without any are missing."""
    rows = session.execute(
        "SELECT hour, sum(calls) FROM api_calls WHERE hour >= $1::TIMESTAMP GROUP BY hour ORDER BY hour", [since]
    ).fetchall()
    return {in_utc(hour): int(calls) for hour, calls in rows}


def spent_of_share(session: Session, settings: WritebackSettings, now: datetime) -> tuple[int, int]:
    """How many calls were made in 24 hours, and how many are ours in that time."""
    return spent(_known(session, Purpose.OPT_OUTS, now).account, settings)


def _known(session: Session, purpose: Purpose, now: datetime) -> _Known:
    # In one look, because it precedes every call.
    rows = session.execute(
        f"SELECT {', '.join(f'b.{name}' for name in breakers.COLUMNS)}, l.most, l.used, l.heard_at, "
        "c.hour, c.purpose, c.calls FROM breaker b CROSS JOIN api_limit l "
        "LEFT JOIN api_calls c ON c.hour >= $1::TIMESTAMP",
        [oldest_hour(now)],
    ).fetchall()
    *breaker, most, used, heard_at = rows[0][:-3]
    entered = {(in_utc(hour), theirs): calls for *_, hour, theirs, calls in rows if hour is not None}
    by_hour: dict[datetime, int] = defaultdict(int)
    for (hour, _), calls in entered.items():
        by_hour[hour] += calls
    opt_outs_due = due(session, now) if purpose is Purpose.ACTIVITY else 0
    account = Account(by_hour, most, used, in_utc(heard_at), opt_outs_due)
    return _Known(breakers.read(breaker), account, entered)


def _enter_hour(session: Session, purpose: Purpose, at: datetime) -> None:
    session.execute(
        "INSERT INTO api_calls (hour, purpose, calls) SELECT $1::TIMESTAMP, $2, 0 "
        "WHERE NOT EXISTS (SELECT 1 FROM api_calls c WHERE c.hour = $1::TIMESTAMP AND c.purpose = $2)"
        + session.dialect.unless_known,
        [hour_of(at), purpose],
    )


def _add(session: Session, purpose: Purpose, at: datetime, calls: int) -> None:
    session.execute(
        "UPDATE api_calls SET calls = calls + $3 WHERE hour = $1::TIMESTAMP AND purpose = $2",
        [hour_of(at), purpose, calls],
    )
