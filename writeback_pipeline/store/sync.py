"""What Salesforce's own changes lead to: opt-outs that were made or taken back there, and how far the reading has come.

What is news is decided in `domain.sync`. A flag that was cleared behind our back is put in question, for delivery to
set it again; the evidence that we had set it no longer counts, as the next one to set it may be somebody else.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from writeback_pipeline.domain.ledger import Origin
from writeback_pipeline.domain.sync import Finding, SeenPerson, Standing, Watermark, findings
from writeback_pipeline.store.origins import refresh_desired_flags
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, as_columns, in_utc, unnested

_SOURCE = "salesforce"
_TAKEN_BACK = (
    "EXISTS (SELECT 1 FROM writebacks w WHERE w.id = o.writeback_id "
    "AND coalesce(w.error_code, '') IN ('UNDONE', 'UNDO_INCOMPLETE'))"
)
_PERSON_AT = {"person_id": "TEXT", "at": "TIMESTAMP"}

_CLEAR = {"person_id": "TEXT", "at": "TIMESTAMP", "actor": "TEXT"}
_NEW = {"id": "BIGINT", "person_id": "TEXT", "since": "TIMESTAMP", "actor": "TEXT"}


def watermark(session: Session) -> Watermark | None:
    """How far Salesforce's changes are known; None before the first reading."""
    rows = session.execute(
        "SELECT changed_until, settled_until, settled_at FROM sync_watermarks WHERE source = $1", [_SOURCE]
    ).fetchall()
    return Watermark(*map(in_utc, rows[0])) if rows else None


def set_watermark(session: Session, reached: Watermark, now: datetime) -> None:
    """Remember how far the reading has come."""
    session.execute(
        "INSERT INTO sync_watermarks (source, changed_until, settled_until, settled_at, advanced_at) "
        "VALUES ($1, $2::TIMESTAMP, $3::TIMESTAMP, $4::TIMESTAMP, $5::TIMESTAMP) "
        "ON CONFLICT (source) DO UPDATE SET changed_until = excluded.changed_until, "
        "settled_until = excluded.settled_until, settled_at = excluded.settled_at, advanced_at = excluded.advanced_at",
        [_SOURCE, reached.changed_until, reached.settled_until, reached.settled_at, now],
    )


def learn(
    session: Session, seen: Sequence[SeenPerson], origin: Origin, read_since: datetime, now: datetime
) -> dict[Finding, list[SeenPerson]]:
    """Enter what is news, with that origin for opt-outs; who it concerns, by finding.

    `read_since` is when the reading began: what we wrote after that may or may not show in it.
    """
    standings = _standings(session, [each.person.salesforce_id for each in seen], read_since)
    news: dict[Finding, list[SeenPerson]] = {finding: [] for finding in Finding}
    for each in seen:
        for finding in findings(each, standings.get(each.person.salesforce_id, Standing())):
            news[finding].append(each)
    _opt_out(session, news[Finding.OPTED_OUT], origin)
    _take_back(session, news[Finding.CLEARED])
    session.execute(
        "UPDATE opt_out_origins SET unseen = FALSE WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [[each.person.salesforce_id for each in news[Finding.CAME_ALONG]]],
    )
    _overrule(session, news[Finding.OURS_CLEARED], now)
    question_people(session, [each.person.salesforce_id for each in news[Finding.UNSHOWN]], now)
    refresh_desired_flags(session, {each.person.salesforce_id for theirs in news.values() for each in theirs})
    return news


def _standings(session: Session, people: Collection[str], read_since: datetime) -> dict[str, Standing]:
    opt_outs = session.execute(
        "SELECT o.person_id, bool_or(o.origin = 'platform' AND NOT o.undone), "
        "bool_or(o.origin = 'platform' AND o.flag_set AND NOT o.undone), "
        "bool_or(o.origin <> 'platform'), bool_or(o.origin <> 'platform' AND coalesce(o.unseen, FALSE)), "
        "bool_or(o.undone) "
        f"FROM (SELECT o.*, {_TAKEN_BACK} AS undone FROM opt_out_origins o "
        "WHERE o.cleared_at IS NULL AND o.person_id IN (SELECT unnest($1::TEXT[]))) o GROUP BY o.person_id",
        [list(people)],
    ).fetchall()
    sending = session.execute(
        "SELECT DISTINCT w.person_id FROM delivery_attempts a JOIN writebacks w ON w.id = a.writeback_id "
        "WHERE a.operation IN ('set_flag', 'clear_flag') AND w.person_id IN (SELECT unnest($1::TEXT[])) "
        "AND (a.outcome IS NULL OR a.answered_at >= $2::TIMESTAMP "
        "OR (a.outcome = 'unknown' AND a.read_back_at IS NULL AND w.status = 'unknown'))",
        [list(people), read_since],
    ).fetchall()
    standings = {person: Standing(*found) for person, *found in opt_outs}
    return standings | {person: Standing(in_flight=True) for (person,) in sending}


def _opt_out(session: Session, seen: Sequence[SeenPerson], origin: Origin) -> None:
    if not seen:
        return
    ids = next_ids(session, "origin_ids", len(seen))
    rows = [
        (id_, each.person.salesforce_id, each.changed_at, each.changed_by) for id_, each in zip(ids, seen, strict=True)
    ]
    session.execute(
        "INSERT INTO opt_out_origins (id, person_id, origin, since, flag_set, actor) "
        f"SELECT n.id, n.person_id, ${len(_NEW) + 1}, n.since, FALSE, n.actor FROM ({unnested(_NEW)}) n",
        [*as_columns(rows, len(_NEW)), origin.value],
    )


def _take_back(session: Session, seen: Sequence[SeenPerson]) -> None:
    rows = [(each.person.salesforce_id, each.changed_at) for each in seen]
    session.execute(
        "UPDATE opt_out_origins AS o SET cleared_at = greatest(n.at, o.since) "
        f"FROM ({unnested(_PERSON_AT)}) n WHERE o.person_id = n.person_id AND o.cleared_at IS NULL "
        f"AND (o.origin <> 'platform' OR {_TAKEN_BACK})",
        as_columns(rows, len(_PERSON_AT)),
    )


def _overrule(session: Session, seen: Sequence[SeenPerson], now: datetime) -> None:
    """Our opt-outs stand: what was done there is recorded, and the next delivery sets the flag again."""
    people = [each.person.salesforce_id for each in seen]
    session.execute(
        "INSERT INTO overruled_clears (person_id, cleared_at, actor, noticed_at) "
        f"SELECT n.person_id, n.at, n.actor, ${len(_CLEAR) + 1}::TIMESTAMP FROM ({unnested(_CLEAR)}) n "
        "WHERE NOT EXISTS (SELECT 1 FROM overruled_clears c WHERE c.person_id = n.person_id AND c.cleared_at = n.at)",
        [*as_columns([(each.person.salesforce_id, each.changed_at, each.changed_by) for each in seen], 3), now],
    )
    session.execute(
        "UPDATE opt_out_origins SET flag_set = FALSE WHERE origin = 'platform' AND cleared_at IS NULL "
        "AND person_id IN (SELECT unnest($1::TEXT[]))",
        [people],
    )
    question_people(session, people, now)


def question_people(session: Session, people: Collection[str], now: datetime) -> None:
    """Have the flag of these people verified by the next delivery."""
    session.execute(
        # A delivery that has looked already does not settle a question that was put after that.
        "UPDATE people SET verify_after = coalesce(verify_after, $2::TIMESTAMP), "
        "verify_after_at_claim = coalesce(verify_after_at_claim, $2::TIMESTAMP) "
        "WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people), now],
    )


def opted_out_elsewhere(session: Session, people: Collection[str]) -> set[str]:
    """Those of the people for whom an opt-out of another origin than the platform stands."""
    rows = session.execute(
        "SELECT DISTINCT o.person_id FROM opt_out_origins o WHERE o.origin <> 'platform' AND o.cleared_at IS NULL "
        "AND o.person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    ).fetchall()
    return {person for (person,) in rows}


def standing_counts(session: Session) -> Mapping[str, int]:
    """How many people stand opted out, by origin; one with two origins counts in both."""
    rows = session.execute(
        "SELECT o.origin, count(DISTINCT o.person_id) FROM opt_out_origins o WHERE o.cleared_at IS NULL "
        "GROUP BY o.origin"
    ).fetchall()
    return Counter(dict(rows))
