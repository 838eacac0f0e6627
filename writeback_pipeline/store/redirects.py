"""Where people went: a converted Lead is a Contact, a merged record is the one that survived.

Each hop is kept with the person it leads away from, and everything of that person moves on with it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from writeback_pipeline.domain.ledger import MAX_HOPS
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.store.origins import refresh_desired_flags
from writeback_pipeline.store.people import add_people
from writeback_pipeline.store.session import Session, as_columns, unnested

_MOVE = {"person_id": "TEXT", "to_id": "TEXT", "to_type": "TEXT"}

Hops = Mapping[str, PersonRef]
"""One hop each: from a person's id to the record that it became."""


def where_they_went(session: Session, people: Collection[str]) -> dict[str, PersonRef]:
    """For those of the people who moved, the end of their chain."""
    hops = _hops_from(session, people)
    return {person: way_from(person, hops)[-1] for person in people if person in hops}


def unjoined(session: Session, moves: Hops) -> dict[str, PersonRef]:
    """The moves, if they lead away from anybody whose rows have not followed yet; nothing otherwise."""
    known = session.execute(
        "SELECT p.person_id FROM people p WHERE p.moved_to_id IS NULL AND p.person_id IN (SELECT unnest($1::TEXT[])) "
        "UNION SELECT o.person_id FROM opt_out_origins o WHERE o.person_id IN (SELECT unnest($1::TEXT[]))",
        [list(moves)],
    ).fetchall()
    left = {person for (person,) in known}
    return {person: to for person, to in moves.items() if left & {person, *stations_before(person, moves)}}


def stations_before(person: str, moves: Hops) -> set[str]:
    """Everybody whose way leads through this person."""
    return {other for other in moves if person in (to.salesforce_id for to in way_from(other, moves))}


def redirect(session: Session, moves: Hops, now: datetime) -> dict[str, str]:
    """Record where people went and let everything of theirs follow; returns whom it cannot follow, and why.

    The lease of a person who moved ends, and what a worker still does under it is fenced off.
    """
    hops = {**_hops_from(session, [to.salesforce_id for to in moves.values()]), **moves}
    ways = {person: way_from(person, hops) for person in moves}
    lost = {person: reason for person, way in ways.items() if (reason := why_lost(person, way))}
    ends = {person: way[-1] for person, way in ways.items() if person not in lost}
    if ends:
        _leave(session, {person: moves[person] for person in ends}, now)
        _arrive(session, ends)
    return lost


def _hops_from(session: Session, people: Collection[str]) -> dict[str, PersonRef]:
    """The recorded hops of these people, and of those they lead to."""
    hops: dict[str, PersonRef] = {}
    asked = set(people)
    for _ in range(MAX_HOPS + 1):
        values: list[object] = []
        rows = session.execute(
            "SELECT p.person_id, p.moved_to_type, p.moved_to_id FROM people p "
            f"WHERE p.moved_to_id IS NOT NULL AND {session.among('p.person_id', 'TEXT', list(asked), values)}",
            values,
        ).fetchall()
        hops |= {person: PersonRef(ObjectType(type_), to) for person, type_, to in rows}
        asked = {to.salesforce_id for to in hops.values()} - hops.keys() - asked
        if not asked:
            break
    return hops


def way_from(person: str, hops: Hops) -> list[PersonRef]:
    """The stations after `person`, until the end, a station met before, or one more than may be followed."""
    way: list[PersonRef] = []
    met = {person}
    while person in hops and len(way) <= MAX_HOPS:
        way.append(hops[person])
        person = way[-1].salesforce_id
        if person in met:
            break
        met.add(person)
    return way


def why_lost(person: str, way: list[PersonRef]) -> str | None:
    """Why that way cannot be followed; None if it can."""
    stations = [person, *(to.salesforce_id for to in way)]
    if stations[-1] in stations[:-1]:
        return f"the redirects run in a circle: {' -> '.join(stations)}"
    if len(way) > MAX_HOPS:
        return f"more than {MAX_HOPS} redirects in a row: {' -> '.join(stations)}"
    return None


def _leave(session: Session, hops: Hops, now: datetime) -> None:
    columns = as_columns([(person, to.salesforce_id, to.object_type) for person, to in hops.items()], len(_MOVE))
    session.execute(
        "UPDATE people SET moved_to_id = n.to_id, moved_to_type = n.to_type, moved_at = $4::TIMESTAMP, "
        f"lease_owner = NULL, lease_until = NULL, epoch = epoch + 1 FROM ({unnested(_MOVE)}) n "
        "WHERE people.person_id = n.person_id",
        [*columns, now],
    )


def _arrive(session: Session, ends: Hops) -> None:
    """Bring the rows and origins, and the doubt about the flag, to where each person is now."""
    add_people(session, {to.salesforce_id: to.object_type for to in ends.values()})
    columns = as_columns([(person, to.salesforce_id, to.object_type) for person, to in ends.items()], len(_MOVE))
    moved = f"({unnested(_MOVE)}) n"
    session.execute(
        "UPDATE people SET verify_after = greatest(people.verify_after, d.verify_after), "
        "verify_after_at_claim = greatest(people.verify_after_at_claim, d.verify_after) "
        f"FROM (SELECT n.to_id, max(p.verify_after) AS verify_after FROM {moved} "
        "JOIN people p ON p.person_id = n.person_id GROUP BY n.to_id) d WHERE people.person_id = d.to_id",
        columns,
    )
    session.execute(
        "UPDATE writebacks SET salesforce_id = n.to_id, object_type = n.to_type, "
        f"redirected_from = coalesce(redirected_from, salesforce_id) FROM {moved} "
        "WHERE writebacks.person_id = n.person_id "
        "AND writebacks.status IN ('pending', 'sending', 'waiting', 'unknown', 'failed')",
        columns,
    )
    session.execute(
        f"UPDATE writebacks SET person_id = n.to_id FROM {moved} WHERE writebacks.person_id = n.person_id", columns
    )
    session.execute(
        # Until the record that survived shows it, an opt-out of Salesforce's that came along is not taken back there.
        "UPDATE opt_out_origins SET person_id = n.to_id, unseen = opt_out_origins.origin <> 'platform' "
        f"FROM {moved} WHERE opt_out_origins.person_id = n.person_id",
        columns,
    )
    refresh_desired_flags(session, {to.salesforce_id for to in ends.values()})
