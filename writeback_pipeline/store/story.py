"""Everything that is kept of one person, found by any name they go by and followed through conversions and merges.

Reads only. The words are `domain.story`'s.
"""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from writeback_pipeline.domain.people import InvalidSalesforceId, PersonRef, normalise_id, object_type_of
from writeback_pipeline.domain.story import Facts, Move, OptOutRecord, OverruledClear, Undone
from writeback_pipeline.domain.undoing import Undo
from writeback_pipeline.domain.writebacks import FlagResult, Writeback
from writeback_pipeline.store import journal
from writeback_pipeline.store.redirects import where_they_went
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session, in_utc, storable

_BY_NAME = "(w.subscriber_id = $1 OR lower(w.email) = lower($1))"


def facts(session: Session, who: str) -> list[Facts]:
    """What is kept of everybody of that record id, e-mail address or subscriber; somebody without a record last.

    An e-mail address may be several people's. Empty when nobody is known by it.
    """
    who = storable(who.strip()) or ""
    found = [_of_person(session, end) for end in sorted(ends(session, who))]
    known = [each for each in found if each.writebacks or each.opt_outs or each.moves]
    told = {row.id for each in known for row in each.writebacks}
    nameless = _writebacks(session, f"w.salesforce_id IS NULL AND {_BY_NAME}", who)
    rest = tuple(row for row in nameless if row.id not in told)
    return [*known, Facts((), rest, (), {}, (), ())] if rest else known


def ends(session: Session, who: str) -> set[str]:
    """The records that those people are now."""
    people = {
        person
        for (person,) in session.execute(
            # The person of a row of activity is its window: only an opt-out's is kept up with moves.
            "SELECT DISTINCT CASE WHEN w.kind IN ('sent', 'opened') THEN w.salesforce_id ELSE w.person_id END "
            f"FROM writebacks w WHERE w.salesforce_id IS NOT NULL AND {_BY_NAME}",
            [who],
        ).fetchall()
    }
    with suppress(InvalidSalesforceId):
        people.add(normalise_id(who))
    moved = where_they_went(session, people)
    return {moved[person].salesforce_id if person in moved else person for person in people}


def _of_person(session: Session, end: str) -> Facts:
    ids = stations(session, end)
    listed = "(SELECT unnest($1::TEXT[]))"
    rows = _writebacks(
        session, f"(w.person_id IN {listed} OR w.salesforce_id IN {listed} OR w.redirected_from IN {listed})", ids
    )
    subscribers = sorted({row.subscriber_id for row in rows if row.subscriber_id})
    rows += _writebacks(session, f"w.salesforce_id IS NULL AND w.subscriber_id IN {listed}", subscribers)
    rows.sort(key=lambda row: (row.occurred_at, row.id))
    writeback_ids = [row.id for row in rows]
    return Facts(
        people=tuple(ref for each in ids if (ref := _ref(each))),
        writebacks=tuple(rows),
        attempts=tuple(journal.attempts_of(session, writeback_ids)),
        read_back=read_back_of(session, writeback_ids),
        opt_outs=_opt_outs(session, ids),
        moves=moves_of(session, ids),
        undos=_undos(session, writeback_ids),
        undone=_undone(session, writeback_ids),
        settled_at=_settled_at(session, writeback_ids),
        verify_after=_verify_after(session, end),
        overruled=_overruled(session, ids),
    )


def stations(session: Session, end: str) -> list[str]:
    """Every record that the person has been, as they are now first."""
    ids = [end]
    newest = [end]
    while newest:
        earlier = session.execute(
            "SELECT p.person_id FROM people p WHERE p.moved_to_id IN (SELECT unnest($1::TEXT[])) ORDER BY 1", [newest]
        ).fetchall()
        newest = [person for (person,) in earlier if person not in ids]
        ids += newest
    return ids


def _writebacks(session: Session, condition: str, value: object) -> list[Writeback]:
    return writebacks_from(
        session.execute(
            f"SELECT {WRITEBACK} FROM writebacks w WHERE {condition} ORDER BY w.occurred_at, w.id", [value]
        ).fetchall()
    )


def read_back_of(session: Session, writeback_ids: Collection[int]) -> dict[int, datetime]:
    """When it was read back what became of the attempts of these writebacks, by attempt id."""
    rows = session.execute(
        "SELECT a.id, a.read_back_at FROM delivery_attempts a "
        "WHERE a.read_back_at IS NOT NULL AND a.writeback_id IN (SELECT unnest($1::BIGINT[]))",
        [list(writeback_ids)],
    ).fetchall()
    return {id_: in_utc(at) for id_, at in rows}


def _opt_outs(session: Session, ids: Collection[str]) -> tuple[OptOutRecord, ...]:
    rows = session.execute(
        "SELECT o.id, o.origin, o.since, o.flag_set, o.writeback_id, o.cleared_at, o.cleared_by, o.actor "
        "FROM opt_out_origins o WHERE o.person_id IN (SELECT unnest($1::TEXT[])) ORDER BY o.since, o.id",
        [list(ids)],
    ).fetchall()
    return tuple(
        OptOutRecord(id_, origin, in_utc(since), flag_set, writeback_id, in_utc(cleared_at), cleared_by, actor)
        for id_, origin, since, flag_set, writeback_id, cleared_at, cleared_by, actor in rows
    )


def moves_of(session: Session, ids: Collection[str]) -> tuple[Move, ...]:
    """The hops that lead away from these records, in the order in which they were learned of."""
    rows = session.execute(
        "SELECT p.person_id, p.moved_to_id, p.moved_at FROM people p WHERE p.moved_to_id IS NOT NULL "
        "AND p.person_id IN (SELECT unnest($1::TEXT[])) ORDER BY p.moved_at",
        [list(ids)],
    ).fetchall()
    hops = [(_ref(person), _ref(to), in_utc(at)) for person, to, at in rows]
    return tuple(Move(person, to, at) for person, to, at in hops if person and to)


def _undos(session: Session, writeback_ids: Collection[int]) -> tuple[Undo, ...]:
    rows = session.execute(
        "SELECT DISTINCT u.id, u.run_id, u.undone_by, u.undone_at FROM undos u "
        "JOIN delivery_attempts a ON a.run_id = u.run_id "
        "WHERE a.writeback_id IN (SELECT unnest($1::BIGINT[])) ORDER BY u.undone_at, u.id",
        [list(writeback_ids)],
    ).fetchall()
    return tuple(Undo(id_, run_id, by, in_utc(at)) for id_, run_id, by, at in rows)


def _undone(session: Session, writeback_ids: Collection[int]) -> tuple[Undone, ...]:
    rows = session.execute(
        "SELECT u.writeback_id, u.undo_id, u.undone_at, u.told, u.run_id, u.written_at, u.flag_result, "
        "CASE WHEN u.note_id IS NOT NULL THEN 'Note ' || u.note_id ELSE 'Task ' || u.task_id END "
        "FROM undone_writebacks u WHERE u.writeback_id IN (SELECT unnest($1::BIGINT[])) "
        "ORDER BY u.undone_at, u.writeback_id",
        [list(writeback_ids)],
    ).fetchall()
    return tuple(
        Undone(id_, undo_id, in_utc(at), told, run_id, in_utc(written_at), flag and FlagResult(flag), record)
        for id_, undo_id, at, told, run_id, written_at, flag, record in rows
    )


def _settled_at(session: Session, writeback_ids: Collection[int]) -> dict[int, datetime]:
    rows = session.execute(
        # What an undo settled has its own moment.
        "SELECT w.id, w.settled_at FROM writebacks w "
        "WHERE w.settled_at IS NOT NULL AND w.id IN (SELECT unnest($1::BIGINT[])) "
        "AND NOT EXISTS (SELECT 1 FROM undone_writebacks u WHERE u.writeback_id = w.id AND u.undone_at = w.settled_at)",
        [list(writeback_ids)],
    ).fetchall()
    return {id_: in_utc(at) for id_, at in rows}


def _overruled(session: Session, ids: Collection[str]) -> tuple[OverruledClear, ...]:
    rows = session.execute(
        "SELECT c.cleared_at, c.actor FROM overruled_clears c WHERE c.person_id IN (SELECT unnest($1::TEXT[])) "
        "ORDER BY c.cleared_at",
        [list(ids)],
    ).fetchall()
    return tuple(OverruledClear(in_utc(at), actor) for at, actor in rows)


def _verify_after(session: Session, person: str) -> datetime | None:
    rows = session.execute("SELECT p.verify_after FROM people p WHERE p.person_id = $1", [person]).fetchall()
    return in_utc(rows[0][0]) if rows else None


def _ref(salesforce_id: str) -> PersonRef | None:
    object_type = object_type_of(salesforce_id)
    return PersonRef(object_type, salesforce_id) if object_type else None
