"""Leases: whom a worker may serve now, alone and for how long, and everything it needs to know about them.

A person is claimed, never a row, so that one person's events cannot overtake one another. Each claim raises the
person's epoch; whatever is written under an older one is fenced off. `unreturned` counts a person's claims in a row
whose lease nobody gave back, the present one included: whoever kills the workers is known by it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from writeback_pipeline.domain.ledger import ALONE_AFTER, LEASE, SUSPECT_AFTER, SUSPECTS_TOGETHER, Claim, Lease
from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.writebacks import Kind, Status, Writeback
from writeback_pipeline.store.bulk_jobs import PEOPLE_IN_JOBS
from writeback_pipeline.store.doubts import doubts, known_notes
from writeback_pipeline.store.origins import flags_set_by_us
from writeback_pipeline.store.people import hold
from writeback_pipeline.store.rows import (
    IS_MISDATED,
    READ_FLAG_RESULT,
    READ_KIND,
    READ_OBJECT_TYPE,
    READ_STATUS,
    WRITEBACK,
    writebacks_from,
)
from writeback_pipeline.store.session import FEW, Session, all_in_utc, as_columns, in_utc, unnested

_OWED_NOW = (
    "w.settled_at IS NULL AND w.kind IN ('unsubscribe', 'resubscribe') "
    "AND w.status IN ('pending', 'waiting', 'unknown') "
    "AND (w.next_attempt_at IS NULL OR w.next_attempt_at <= $1::TIMESTAMP)"
)

_UNLEASED = "(p.lease_until IS NULL OR p.lease_until <= $1::TIMESTAMP)"

_TO_VERIFY = (
    f"p.verify_after <= $1::TIMESTAMP AND p.moved_to_id IS NULL AND p.unreturned <= {ALONE_AFTER} AND {_UNLEASED}"
)
"""Nothing may be owed, but a flag write of ours could have landed late: what the flag shows has to be looked at, unless
a person has to look first at who kills the workers."""

_OWED = (
    f"SELECT w.person_id, w.occurred_at AS since FROM writebacks w WHERE {_OWED_NOW} "
    f"UNION ALL SELECT p.person_id, p.verify_after FROM people p WHERE {_TO_VERIFY}"
)

_ANYBODY = "TRUE"
_TRUSTED = f"p.unreturned < {SUSPECT_AFTER}"
_SUSPECTS = (
    (f"p.unreturned BETWEEN {SUSPECT_AFTER} AND {ALONE_AFTER - 1}", SUSPECTS_TOGETHER),
    (f"p.unreturned >= {ALONE_AFTER}", 1),
)

FLAGS_LEFT = (
    "SELECT DISTINCT w.person_id FROM writebacks w WHERE w.flag_left AND w.person_id IS NOT NULL "
    "AND (SELECT lower(s.value) FROM settings s WHERE s.name = 'suppress_opt_out_flag') = 'false'"
)
"""People whose flag an unsubscribe left alone, as the policy was then, once it is not any more."""

OTHERS = 10_000
"""How many people other workers may be claiming at the same moment for this one to still find its own."""

_UNKNOWN, _FAILED, _NONE = Status.UNKNOWN, Status.FAILED, frozenset[str]()  # asked of very many

_TO_TAKE = (Status.PENDING, Status.WAITING)
"""Taken due or not: what waits must not be overtaken by what came later."""

_LEASE = {"person_id": "TEXT", "epoch": "BIGINT"}
_SAME = "p.person_id = n.person_id AND p.epoch = n.epoch"


def claim(session: Session, owner: str, now: datetime, limit: int, lease: timedelta) -> list[Claim]:
    """Lease up to `limit` people to whom something is owed, those with the oldest event first.

    Whoever is being claimed by another worker at this moment is passed over, and so are suspects.
    """
    return _claim(session, owner, now, limit, lease, _TRUSTED)


def claim_suspects(session: Session, owner: str, now: datetime, limit: int, lease: timedelta) -> list[Claim]:
    """Lease people whose workers ended again and again: few of them together, in the end each alone."""
    for suspects, together in _SUSPECTS:
        claimed = _claim(session, owner, now, min(limit, together), lease, suspects)
        if claimed:
            return claimed
    return []


def _claim(session: Session, owner: str, now: datetime, limit: int, lease: timedelta, among: str) -> list[Claim]:
    if session.dialect.locks_rows:
        chosen = _taken_hold_of(session, now, limit, _due(session, now, limit + OTHERS, among), among)
    else:
        chosen = _due(session, now, limit, among)
    if not chosen:
        return []
    until = now + lease
    values: list[object] = [now, owner, until]
    theirs = session.among("p.person_id", "TEXT", chosen, values)
    session.execute(
        "UPDATE people AS p SET lease_owner = $2, lease_until = $3::TIMESTAMP, epoch = p.epoch + 1, "
        "unreturned = p.unreturned + 1, "
        "verify_after_at_claim = CASE WHEN p.verify_after > $1::TIMESTAMP THEN p.verify_after END "
        f"WHERE {theirs}",
        values,
    )
    return _claims(session, chosen, _known(session, chosen), now, until)


def preview(session: Session, now: datetime, limit: int, people: Sequence[str] | None) -> list[Claim]:
    """What `claim` would take, without a lease, and whose flag a delivery would look at because it was left alone; or
    what is known of `people`, due or not."""
    chosen = [*_due(session, now, limit), *_left_alone(session, now)] if people is None else list(people)
    chosen = list(dict.fromkeys(chosen))[:limit]
    return _claims(session, chosen, _known(session, chosen), now, now)


def _known(session: Session, people: Sequence[str]) -> list[Any]:
    values: list[object] = []
    theirs = session.among("p.person_id", "TEXT", people, values)
    return session.execute(
        f"SELECT p.person_id, p.object_type, p.epoch, p.verify_after FROM people p WHERE {theirs}", values
    ).fetchall()


def due(session: Session, now: datetime) -> int:
    """What a delivery would move now: opt-outs that are owed and free to claim, without recipient, or left by a dead
    worker, and people whose flag is to be verified, or to be set as it was left alone."""
    [(count,)] = session.execute(
        "SELECT sum(c.number) FROM (SELECT count(*) AS number FROM writebacks w "
        "LEFT JOIN people p ON p.person_id = w.person_id AND p.lease_until > $1::TIMESTAMP "
        "WHERE p.person_id IS NULL AND w.settled_at IS NULL AND w.kind IN ('unsubscribe', 'resubscribe') "
        f"AND (w.status = 'sending' OR ({_OWED_NOW})) "
        f"UNION ALL SELECT count(*) FROM people p WHERE {_TO_VERIFY} "
        f"UNION ALL SELECT count(*) FROM ({FLAGS_LEFT}) l) c",
        [now],
    ).fetchall()
    return int(count)


def is_anybody_leased(session: Session, now: datetime) -> bool:
    """Whether somebody's lease runs; windows of activity are not asked about."""
    [(count,)] = session.execute(
        "SELECT count(*) FROM people p WHERE p.lease_until > $1::TIMESTAMP AND p.object_type IN ('Contact', 'Lead')",
        [now],
    ).fetchall()
    return bool(count)


def extend(session: Session, owner: str, claims: Sequence[Claim], now: datetime) -> list[Claim]:
    """The claims whose lease still runs and is the owner's, each with a fresh lease."""
    until = now + LEASE
    hold(session, [claim.person.salesforce_id for claim in claims])
    session.execute(
        f"UPDATE people AS p SET lease_until = $3::TIMESTAMP FROM ({unnested(_LEASE)}) n WHERE {_SAME} "
        "AND p.lease_owner = $4 AND p.lease_until > $5::TIMESTAMP",
        [*_leases(claims), until, owner, now],
    )
    running = leases_of(session, [(claim.person.salesforce_id, claim.epoch) for claim in claims])
    return [
        claim._replace(lease_until=until)
        for claim in claims
        if running.get((claim.person.salesforce_id, claim.epoch)) == until
    ]


def keep(session: Session, owner: str, now: datetime) -> None:
    """Keep everybody leased whose lease still runs and is the owner's."""
    session.execute(
        "UPDATE people SET lease_until = $3::TIMESTAMP WHERE lease_owner = $1 AND lease_until > $2::TIMESTAMP",
        [owner, now, now + LEASE],
    )


def leases_of(session: Session, people: Collection[Lease]) -> dict[Lease, datetime | None]:
    """By (person, epoch), where that epoch is still current, until when the lease runs; None once it was given back.

    This is the fence: whoever acts for a person checks it in the same transaction, having taken hold of the person.
    """
    if not people:
        return {}
    leases, bound = session.selected(_LEASE, people)
    rows = session.execute(
        f"SELECT p.person_id, p.epoch, p.lease_until FROM people p JOIN ({leases}) n ON {_SAME}", bound
    ).fetchall()
    return {(person, epoch): in_utc(until) for person, epoch, until in rows}


def release(session: Session, owner: str, leases: Sequence[tuple[str, int]]) -> None:
    """Give the leases back, of people under their epochs, that are still the owner's."""
    hold(session, [person for person, _ in leases])
    session.execute(
        "UPDATE people AS p SET lease_owner = NULL, lease_until = NULL, unreturned = greatest(p.unreturned - 1, 0) "
        f"FROM ({unnested(_LEASE)}) n WHERE {_SAME} AND p.lease_owner = $3",
        [*as_columns(leases, len(_LEASE)), owner],
    )


def _leases(claims: Sequence[Claim]) -> list[list[object]]:
    return as_columns([(claim.person.salesforce_id, claim.epoch) for claim in claims], len(_LEASE))


def _taken_hold_of(session: Session, now: datetime, limit: int, candidates: Sequence[str], among: str) -> list[str]:
    """The first `limit` of the candidates whom nobody else holds and who are still due, held until the transaction
    ends.

    Finding candidates takes long, and whoever is locked and then seen to have been claimed since the statement began
    stays locked, with their worker waiting: so it is a statement of its own.
    """
    rows = session.execute(
        "SELECT p.person_id FROM people p JOIN (SELECT unnest($2::TEXT[]) AS person_id, "
        "generate_subscripts($2::TEXT[], 1) AS place) c ON c.person_id = p.person_id "
        f"WHERE {_UNLEASED} AND {among} AND (({_TO_VERIFY}) "
        f"OR EXISTS (SELECT 1 FROM writebacks w WHERE w.person_id = p.person_id AND {_OWED_NOW})) "
        "ORDER BY c.place LIMIT $3 FOR UPDATE OF p SKIP LOCKED",
        [now, candidates, limit],
    )
    return [person for (person,) in rows.fetchall()]


def _due(session: Session, now: datetime, limit: int, among: str = _ANYBODY) -> list[str]:
    values: list[object] = [now, limit]
    few, people = "", "people"
    if session.dialect.looks_up_lists:
        owed = session.execute(f"SELECT DISTINCT o.person_id FROM ({_OWED}) o LIMIT {FEW + 1}", [now]).fetchall()
        if len(owed) <= FEW:  # then not everybody has to be looked at for them
            theirs = session.among("p.person_id", "TEXT", [person for (person,) in owed], values)
            few, people = f"WITH few AS MATERIALIZED (SELECT * FROM people p WHERE {theirs}) ", "few"
    rows = session.execute(
        f"{few}SELECT p.person_id FROM {people} p JOIN (SELECT o.person_id, min(o.since) AS since FROM ({_OWED}) o "
        f"GROUP BY o.person_id) d ON d.person_id = p.person_id WHERE {_UNLEASED} AND {among} "
        f"AND p.person_id NOT IN ({PEOPLE_IN_JOBS}) ORDER BY d.since, p.person_id LIMIT $2",
        values,
    )
    return [person for (person,) in rows.fetchall()]


def _left_alone(session: Session, now: datetime) -> list[str]:
    rows = session.execute(
        f"SELECT p.person_id FROM people p WHERE {_UNLEASED} AND p.person_id IN ({FLAGS_LEFT}) ORDER BY p.person_id",
        [now],
    )
    return [person for (person,) in rows.fetchall()]


def _claims(
    session: Session, order: Sequence[str], people: Iterable[Any], now: datetime, lease_until: datetime
) -> list[Claim]:
    """Claims in that order; `people` are (person_id, object_type, epoch, verify_after)."""
    found = {row[0]: row for row in people}
    events = _events(session, found)
    taken = _taken(session, [event.id for theirs in events.values() for event in theirs if event.status in _TO_TAKE])
    ours = flags_set_by_us(session, found)
    unknown: dict[str, list[int]] = defaultdict(list)
    failed: dict[str, list[int]] = defaultdict(list)
    for person, theirs in events.items():
        for event in theirs:
            if event.status is _UNKNOWN:
                unknown[person].append(event.id)
            elif event.status is _FAILED and event.kind is Kind.UNSUBSCRIBE:
                failed[person].append(event.id)
    doubted = doubts(session, [id_ for ids in (*unknown.values(), *failed.values()) for id_ in ids])
    notes = known_notes(session, unknown)
    claims = []
    for person in order:
        if person not in found:
            continue
        _, object_type, epoch, verify_after = found[person]
        in_doubt_until = in_utc(verify_after)
        claims.append(
            Claim(
                person=PersonRef(READ_OBJECT_TYPE(object_type), person),
                epoch=epoch,
                lease_until=lease_until,
                taken=tuple(taken.get(person, ())),
                events=tuple(events.get(person, ())),
                flag_is_ours=person in ours,
                verify_after=in_doubt_until if in_doubt_until and in_doubt_until > now else None,
                doubts=tuple([doubted[id_] for id_ in unknown[person]]) if person in unknown else (),
                known_notes=notes.get(person, _NONE),
                left=tuple([id_ for id_ in failed[person] if doubted[id_].flag]) if person in failed else (),
            )
        )
    return claims


def _events(session: Session, people: Collection[str]) -> dict[str, list[OptOutEvent]]:
    values: list[object] = []
    theirs = session.among("w.person_id", "TEXT", people, values)
    # A time that cannot be true is somebody's mistake: the event counts as of when it was queued.
    rows = session.execute(
        "WITH theirs AS MATERIALIZED (SELECT w.person_id, w.id, w.kind, w.occurred_at, w.created_at, w.status, "
        f"w.flag_result, w.note_id, w.error_code FROM writebacks w WHERE {theirs}) "
        "SELECT w.person_id, w.id, w.kind, "
        f"CASE WHEN {IS_MISDATED} THEN w.created_at ELSE w.occurred_at END, "
        "w.status, w.flag_result, w.note_id IS NOT NULL FROM theirs w WHERE w.kind IN ('unsubscribe', 'resubscribe') "
        # Taken back, or about to be: it counts no more.
        "AND coalesce(w.error_code, '') NOT IN ('UNDONE', 'UNDO_INCOMPLETE') ORDER BY w.occurred_at, w.id",
        values,
    ).fetchall()
    events: dict[str, list[OptOutEvent]] = defaultdict(list)
    if rows:
        people_, ids, kinds, times, statuses, flag_results, noted = zip(*rows, strict=True)
        made = map(
            OptOutEvent,
            ids,
            map(READ_KIND, kinds),
            all_in_utc(times),
            map(READ_STATUS, statuses),
            map(READ_FLAG_RESULT, flag_results),
            noted,
        )
        for person, event in zip(people_, made, strict=True):
            events[person].append(event)
    return events


def _taken(session: Session, ids: Collection[int]) -> dict[str, list[Writeback]]:
    values: list[object] = []
    theirs = session.among("w.id", "BIGINT", ids, values)
    rows = session.execute(
        f"SELECT w.person_id, {WRITEBACK} FROM writebacks w WHERE {theirs} ORDER BY w.occurred_at, w.id", values
    ).fetchall()
    taken: dict[str, list[Writeback]] = defaultdict(list)
    for row, writeback in zip(rows, writebacks_from(row[1:] for row in rows), strict=True):
        taken[row[0]].append(writeback)
    return taken
