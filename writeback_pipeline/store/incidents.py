"""Incidents and what each channel was told of them. When one opens, ends and is to be told is `domain.incidents`' work.

Whoever changes them updates the one row of `alerting` first: so two that look at once open an incident once, and take
each notice once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from writeback_pipeline.domain.alerts import Severity
from writeback_pipeline.domain.incidents import (
    SENDING_TAKES,
    TRIED_FOR,
    Changes,
    Incident,
    Notice,
    Told,
    next_try,
)
from writeback_pipeline.store.schema import next_ids
from writeback_pipeline.store.session import Session, in_utc, storable

LONGEST_WORDS = 1_000
_OVER = "over"


def take_turns(session: Session, now: datetime) -> None:
    """Wait for whoever else changes incidents, until their transaction ends."""
    session.execute("UPDATE alerting SET entered_at = $1::TIMESTAMP WHERE slot = 1", [now])


def current(session: Session, now: datetime) -> list[Incident]:
    """Those that last, and those lately over of which a channel may not know it yet, oldest first."""
    rows = session.execute(
        "SELECT i.id, i.key, i.rule, i.severity, i.words, i.opened_at, i.last_seen, i.closed_at FROM incidents i "
        "WHERE i.closed_at IS NULL OR (i.closed_at > $1::TIMESTAMP AND EXISTS "
        "(SELECT 1 FROM notices n WHERE n.incident_id = i.id AND n.told <> $2)) ORDER BY i.id",
        [now - TRIED_FOR, _OVER],
    ).fetchall()
    told = _told(session, [row[0] for row in rows])
    return [
        Incident(
            id_, key, rule, Severity(severity), words, in_utc(opened), in_utc(seen), in_utc(closed), told.get(id_, {})
        )
        for id_, key, rule, severity, words, opened, seen, closed in rows
    ]


def enter(session: Session, changed: Changes, now: datetime) -> None:
    """Enter what a look has changed."""
    ids = next_ids(session, "incident_ids", len(changed.opened)) if changed.opened else []
    for id_, new in zip(ids, changed.opened, strict=True):
        session.execute(
            "INSERT INTO incidents (id, key, rule, severity, words, opened_at, last_seen) "
            "VALUES ($1, $2, $3, $4, $5, $6::TIMESTAMP, $6::TIMESTAMP)",
            [id_, new.key, new.rule, new.severity, _stored(new.words), now],
        )
    for incident, sighting in changed.seen:
        session.execute(
            "UPDATE incidents SET severity = $2, words = $3, last_seen = $4::TIMESTAMP WHERE id = $1",
            [incident.id, sighting.severity, _stored(sighting.words), now],
        )
    for incident in changed.closed:
        session.execute("UPDATE incidents SET closed_at = $2::TIMESTAMP WHERE id = $1", [incident.id, now])


def take(session: Session, notices: Sequence[Notice], now: datetime) -> None:
    """Take these notices for one worker to send."""
    for notice in notices:
        session.execute(
            "INSERT INTO notices (incident_id, channel) VALUES ($1, $2) ON CONFLICT (incident_id, channel) DO NOTHING",
            [notice.incident.id, notice.channel],
        )
        session.execute(
            "UPDATE notices SET attempts = $3, not_before = $4::TIMESTAMP WHERE incident_id = $1 AND channel = $2",
            [notice.incident.id, notice.channel, notice.attempt, now + SENDING_TAKES],
        )


def record(session: Session, notices: Collection[Notice], trouble: str | None, now: datetime) -> None:
    """What became of notices that were sent together; ignored where somebody else has taken them since."""
    for notice in notices:
        which = [notice.incident.id, notice.channel, notice.attempt]
        if trouble is None:
            told = notice.incident.severity if notice.incident.closed_at is None else _OVER
            session.execute(
                "UPDATE notices SET told = $4, told_at = $5::TIMESTAMP, attempts = 0, not_before = NULL, "
                "trouble = NULL WHERE incident_id = $1 AND channel = $2 AND attempts = $3",
                [*which, told, now],
            )
        else:
            session.execute(
                "UPDATE notices SET trouble = $4, not_before = $5::TIMESTAMP "
                "WHERE incident_id = $1 AND channel = $2 AND attempts = $3",
                [*which, _stored(trouble), next_try(notice.attempt, now)],
            )


def _told(session: Session, ids: Collection[int]) -> dict[int, dict[str, Told]]:
    found: dict[int, dict[str, Told]] = {}
    for id_, channel, told, at, attempts, not_before, trouble in session.execute(
        "SELECT n.incident_id, n.channel, n.told, n.told_at, n.attempts, n.not_before, n.trouble FROM notices n "
        "WHERE n.incident_id IN (SELECT unnest($1::BIGINT[]))",
        [list(ids)],
    ).fetchall():
        over = told == _OVER
        # Over was told to a channel that had been told how bad it was; how bad no longer matters.
        severity = None if told is None else Severity.WARNING if over else Severity(told)
        found.setdefault(id_, {})[channel] = Told(severity, over, in_utc(at), attempts, in_utc(not_before), trouble)
    return found


def _stored(words: str) -> str:
    return (storable(words) or "")[:LONGEST_WORDS]
