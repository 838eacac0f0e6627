"""The ledger at a glance, read in one look. Nothing here changes anything; what it means is said in `domain.overview`.

Costs one pass over the narrow columns of the writebacks; what is read of each row that failed is its code and advice.
"""

from datetime import UTC, date, datetime, time

from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.overview import Overview, Tally, Trouble, days_of, first_day, first_hour, hours_of, tally
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Kind, Status
from writeback_pipeline.store import api_calls, health, incidents, latency, organisation, queue
from writeback_pipeline.store.counts import counted
from writeback_pipeline.store.rows import NEEDS_A_PERSON
from writeback_pipeline.store.session import Session, in_utc


def overview(session: Session, settings: WritebackSettings, now: datetime) -> Overview:
    """Everything that the overview shows, of one moment."""
    since = datetime.combine(first_day(now), time(), UTC)
    by_status = counted(session, "w.kind, w.status, w.error_code")
    made, ours = api_calls.spent_of_share(session, settings, now)
    last_attempt = session.execute("SELECT intent_at FROM delivery_attempts ORDER BY id DESC LIMIT 1").fetchall()
    return Overview(
        days=days_of(_by_day(session, since), now),
        latency=latency.by_day(session, since),
        opt_outs=sum((tally(Status(s), c, n) for k, s, c, n in by_status if k in OPT_OUT_KINDS), Tally()),
        activity=sum((tally(Status(s), c, n) for k, s, c, n in by_status if k not in OPT_OUT_KINDS), Tally()),
        oldest_opt_out=queue.oldest_owed(session),
        troubles=_troubles(session),
        calls=hours_of(api_calls.by_hour(session, first_hour(now)), now),
        calls_made=made,
        calls_ours=ours,
        opt_outs_hold=api_calls.hold(session, settings, Purpose.OPT_OUTS, now),
        activity_hold=api_calls.hold(session, settings, Purpose.ACTIVITY, now),
        last_attempt=in_utc(last_attempt[0][0]) if last_attempt else None,
        organisation_id=organisation.pinned_organisation(session),
        incidents=tuple(each for each in incidents.current(session, now) if each.closed_at is None),
        heartbeats=health.heartbeats(session),
    )


def _by_day(session: Session, since: datetime) -> list[tuple[date, Kind, Status, str | None, int]]:
    rows = session.execute(
        "SELECT CAST(w.created_at AS DATE) AS day, w.kind, w.status, w.error_code, count(*) FROM writebacks w "
        "WHERE w.created_at >= $1::TIMESTAMP GROUP BY day, w.kind, w.status, w.error_code",
        [since],
    ).fetchall()
    return [(day, Kind(kind), Status(status), code, count) for day, kind, status, code, count in rows]


def _troubles(session: Session) -> tuple[Trouble, ...]:
    rows = session.execute(
        "SELECT coalesce(w.error_code, ''), max(coalesce(w.advice, '')), count(*) AS failed, min(w.created_at) "
        f"FROM writebacks w WHERE {NEEDS_A_PERSON} GROUP BY w.error_code ORDER BY failed DESC, 1"
    ).fetchall()
    return tuple(Trouble(code, advice, count, in_utc(since)) for code, advice, count, since in rows)
