"""The origin ledger: who opted a person out, since when, on what evidence, and what undid it.

Several opt-outs of one person may stand at once. Event times decide, not the order of recording: a resubscribe ends
every earlier opt-out of its own origin, one that is recorded late included. Recording a change twice changes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from writeback_pipeline.domain.ledger import Origin, OriginChange
from writeback_pipeline.store.session import Session, in_utc

_COLUMNS = {
    "id": "BIGINT",
    "person_id": "TEXT",
    "origin": "TEXT",
    "since": "TIMESTAMP",
    "flag_set": "BOOLEAN",
    "writeback_id": "BIGINT",
    "cleared_at": "TIMESTAMP",
    "cleared_by": "BIGINT",
}


_PLATFORM = Origin.PLATFORM.value


class OptOut(NamedTuple):
    """A row of `opt_out_origins`; `id` is None while it is not stored."""

    id: int | None
    person_id: str
    origin: str
    since: datetime
    flag_set: bool
    writeback_id: int | None
    cleared_at: datetime | None = None
    cleared_by: int | None = None


def record_origins(session: Session, changes: Sequence[OriginChange]) -> dict[str, bool]:
    """Enter what the changes prove; for each person of whom that was news, whether any opt-out stands now."""
    if not changes:
        return {}
    before = dict.fromkeys(_opt_outs(session, {change.person_id for change in changes}))
    after = with_changes(before, changes)
    changed = [opt_out for opt_out in after if opt_out not in before]
    if not changed:
        return {}
    _insert(session, [opt_out for opt_out in changed if opt_out.id is None])
    _update(session, [opt_out for opt_out in changed if opt_out.id is not None])
    standing = {opt_out.person_id for opt_out in after if opt_out.cleared_at is None}
    return {opt_out.person_id: opt_out.person_id in standing for opt_out in changed}


def refresh_desired_flags(session: Session, people: Collection[str]) -> None:
    """Set `desired_flag` to whether any opt-out of the person stands; it stays empty where none was ever recorded."""
    session.execute(
        "UPDATE people SET desired_flag = s.stands FROM ("
        "SELECT o.person_id, bool_or(o.cleared_at IS NULL) AS stands FROM opt_out_origins o "
        "WHERE o.person_id IN (SELECT unnest($1::TEXT[])) GROUP BY o.person_id) s "
        "WHERE people.person_id = s.person_id",
        [list(people)],
    )


def flags_set_by_us(session: Session, people: Collection[str]) -> set[str]:
    """Those of the people whose flag is ours: an opt-out of the platform stands with the evidence that we set it, and
    no other opt-out does."""
    values: list[object] = []
    theirs = session.listed("TEXT", people, values)
    rows = session.execute(
        "SELECT o.person_id FROM opt_out_origins o "
        f"WHERE o.cleared_at IS NULL AND o.person_id IN ({theirs}) GROUP BY o.person_id "
        "HAVING bool_or(o.origin = 'platform' AND o.flag_set) AND NOT bool_or(o.origin <> 'platform')",
        values,
    )
    return {person for (person,) in rows.fetchall()}


def flag_evidence(session: Session, people: Collection[str]) -> set[int]:
    """The writebacks for which the ledger shows that the platform's flag stands and that we set it."""
    rows = session.execute(
        "SELECT o.writeback_id FROM opt_out_origins o WHERE o.origin = 'platform' AND o.flag_set "
        "AND o.cleared_at IS NULL AND o.person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    ).fetchall()
    return {id_ for (id_,) in rows}


def take_back(
    session: Session,
    people: Collection[str],
    undone: Collection[int],
    later: Sequence[OriginChange],
    flag_is_ours: Collection[str],
) -> None:
    """Take what these writebacks did out of the ledger of the people; see `without`. `desired_flag` follows.

    `later` are the changes that count again now; `flag_is_ours` those who go on showing a flag that we set.
    """
    known: dict[str, list[OptOut]] = {person: [] for person in people}
    for opt_out in _opt_outs(session, people):
        known[opt_out.person_id].append(opt_out)
    after = [
        opt_out
        for person, theirs in known.items()
        for opt_out in without(
            theirs,
            undone,
            [change for change in later if change.person_id == person],
            flag_is_ours=person in flag_is_ours,
        )
    ]
    before = {opt_out.id: opt_out for theirs in known.values() for opt_out in theirs}
    session.execute(
        "DELETE FROM opt_out_origins WHERE id IN (SELECT unnest($1::BIGINT[]))",
        [list(before.keys() - {opt_out.id for opt_out in after})],
    )
    _update(session, [opt_out for opt_out in after if opt_out != before[opt_out.id]])
    session.execute(
        "UPDATE people SET desired_flag = (SELECT bool_or(o.cleared_at IS NULL) FROM opt_out_origins o "
        "WHERE o.person_id = people.person_id) WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    )


def without(
    opt_outs: Sequence[OptOut], undone: Collection[int], later: Sequence[OriginChange], *, flag_is_ours: bool
) -> list[OptOut]:
    """A person's opt-outs once those writebacks are taken back: what they had ended stands again, unless
    `later` ends it.

    A flag of ours that Salesforce goes on showing needs somebody to answer for it: the newest opt-out of the platform
    that stands or, where there is no other, the newest of those taken back, which stays for that.
    """
    left = [
        o._replace(cleared_at=None, cleared_by=None, flag_set=flag_is_ours and o.flag_set)
        if o.cleared_by in undone
        else o
        for o in opt_outs
        if o.writeback_id not in undone
    ]
    left = with_changes(left, later)
    if not flag_is_ours:
        return left
    standing = [o for o in left if o.origin == _PLATFORM and o.cleared_at is None]
    standing = standing or [o for o in opt_outs if o.writeback_id in undone and o.cleared_at is None]
    if not standing:
        return left
    answers = max(standing, key=lambda o: (o.since, o.writeback_id or 0))
    return [*(o for o in left if o.id != answers.id), answers._replace(flag_set=True)]


def _opt_outs(session: Session, people: Collection[str]) -> list[OptOut]:
    values: list[object] = []
    theirs = session.listed("TEXT", people, values)
    rows = session.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM opt_out_origins WHERE person_id IN ({theirs})", values
    ).fetchall()
    return [
        OptOut(id_, person, origin, in_utc(since), flag_set, writeback_id, in_utc(cleared_at), cleared_by)
        for id_, person, origin, since, flag_set, writeback_id, cleared_at, cleared_by in rows
    ]


def with_changes(known: Iterable[OptOut], changes: Iterable[OriginChange]) -> list[OptOut]:
    """All the opt-outs of some people, as they are after the changes."""
    by_evidence = {(o.person_id, o.origin, o.writeback_id): o for o in known}
    ends: dict[tuple[str, str], list[tuple[datetime, int | None]]] = defaultdict(list)
    for opt_out in by_evidence.values():
        if opt_out.cleared_at is not None:
            ends[opt_out.person_id, opt_out.origin].append((opt_out.cleared_at, opt_out.cleared_by))
    for change in changes:
        key = (change.person_id, change.origin.value, change.writeback_id)
        if not change.opted_out:
            ends[key[:2]].append((change.at, change.writeback_id))
        elif key in by_evidence:
            entry = by_evidence[key]
            by_evidence[key] = entry._replace(flag_set=entry.flag_set or change.flag_set)
        else:
            by_evidence[key] = OptOut(None, *key[:2], change.at, change.flag_set, change.writeback_id)
    return [_ended(opt_out, ends[opt_out.person_id, opt_out.origin]) for opt_out in by_evidence.values()]


def _ended(opt_out: OptOut, ends: Iterable[tuple[datetime, int | None]]) -> OptOut:
    """With the first end after it. At one and the same instant the opt-out has the last word."""
    later = [end for end in ends if end[0] > opt_out.since]
    if opt_out.cleared_at is not None or not later:
        return opt_out
    cleared_at, cleared_by = min(later, key=lambda end: end[0])
    return opt_out._replace(cleared_at=cleared_at, cleared_by=cleared_by)


def _insert(session: Session, opt_outs: Sequence[OptOut]) -> None:
    if not opt_outs:
        return
    columns = {name: type_ for name, type_ in _COLUMNS.items() if name != "id"}
    rows, bound = session.selected(columns, [opt_out[1:] for opt_out in opt_outs])
    into = f"INSERT INTO opt_out_origins ({', '.join(columns)}, id)"
    session.execute(f"{into} SELECT n.*, nextval('origin_ids') FROM ({rows}) n", bound)


def _update(session: Session, opt_outs: Sequence[OptOut]) -> None:
    if not opt_outs:
        return
    rows, bound = session.selected(_COLUMNS, opt_outs)
    session.execute(
        "UPDATE opt_out_origins SET flag_set = n.flag_set, cleared_at = n.cleared_at, cleared_by = n.cleared_by "
        f"FROM ({rows}) n WHERE opt_out_origins.id = n.id",
        bound,
    )
