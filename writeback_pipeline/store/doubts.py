"""Writebacks without an answer, with what a read-back has to know: what was sent of them, and which Notes are known.

What the read-back proves is decided in the domain; turning sends into unknowns is `recovery`'s and `settling`'s work.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from writeback_pipeline.domain.ledger import QUIET, Doubt
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import FlagResult, Writeback
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session


class Sent(NamedTuple):
    """An attempt, as far as its doubt is concerned; `outcome` None while it has no answer."""

    operation: str
    target_id: str
    title: str | None
    send_deadline: datetime
    flag_before: bool | None
    outcome: str | None
    record_id: str | None
    read_back: bool


_FLAGS = {Operation.SET_FLAG: True, Operation.CLEAR_FLAG: False}


def doubts(session: Session, writeback_ids: Collection[int]) -> dict[int, Doubt]:
    """Those writebacks by id, with what their attempts say."""
    if not writeback_ids:
        return {}
    rows = session.execute(
        f"SELECT {WRITEBACK} FROM writebacks w WHERE w.id IN (SELECT unnest($1::BIGINT[]))", [list(writeback_ids)]
    ).fetchall()
    attempts: dict[int, list[Sent]] = defaultdict(list)
    for id_, *sent in session.execute(
        "SELECT a.writeback_id, a.operation, a.target_id, a.title, a.send_deadline, a.flag_before, a.outcome, "
        "a.record_id, a.read_back_at IS NOT NULL FROM delivery_attempts a "
        "WHERE a.writeback_id IN (SELECT unnest($1::BIGINT[])) AND NOT EXISTS (SELECT 1 FROM delivery_attempts u "
        "WHERE u.writeback_id = a.writeback_id AND u.id >= a.id AND u.run_id IN (SELECT id FROM undos)) ORDER BY a.id",
        [list(writeback_ids)],
    ).fetchall():  # what an undo has taken back proves nothing any more
        attempts[id_].append(Sent(*sent))
    return {row.id: doubt(row, attempts[row.id]) for row in writebacks_from(rows)}


def doubt(row: Writeback, attempts: list[Sent]) -> Doubt:
    """What the attempts of a row without an answer, in the order of the journal, leave open."""
    open_ = [sent for sent in attempts if sent.outcome in (None, Answer.UNKNOWN) and not sent.read_back]
    flags = [
        value
        for sent in open_
        if (value := _FLAGS.get(Operation(sent.operation))) is not None and sent.flag_before is not value
    ]
    deadlines = [sent.send_deadline.replace(tzinfo=UTC) + QUIET for sent in open_]
    return Doubt(
        _with_confirmed(row, [sent for sent in attempts if sent.outcome == Answer.OK]),
        titles=frozenset(sent.title for sent in attempts if sent.title is not None),
        targets=frozenset(sent.target_id for sent in attempts),
        readable_at=max([*deadlines, row.next_attempt_at or row.created_at]),  # a restore lost some of the attempts
        flag=flags[-1] if flags else None,
    )


def _with_confirmed(row: Writeback, attempts: Iterable[Sent]) -> Writeback:
    """A worker that ended between two calls left answers in the journal of which the row does not know."""
    for sent in attempts:
        if sent.operation == Operation.CREATE_NOTE:
            row = row._replace(note_id=row.note_id or sent.record_id)
        elif (value := _FLAGS.get(Operation(sent.operation))) is not None:
            row = row._replace(flag_result=FlagResult.SET if value else FlagResult.CLEARED)
    return row


def known_notes(session: Session, people: Mapping[str, object]) -> dict[str, frozenset[str]]:
    """By person, the ids of the Notes that the ledger has recorded for their writebacks, deleted ones included."""
    if not people:
        return {}
    rows = session.execute(
        "SELECT w.person_id, w.note_id, a.record_id FROM writebacks w LEFT JOIN delivery_attempts a "
        "ON a.writeback_id = w.id AND a.operation IN ('create_note', 'delete_note') AND a.record_id IS NOT NULL "
        "WHERE w.kind IN ('unsubscribe', 'resubscribe') AND w.person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    ).fetchall()
    notes: dict[str, set[str]] = defaultdict(set)
    for person, *ids in rows:
        notes[person] |= {id_ for id_ in ids if id_ is not None}
    return {person: frozenset(ids) for person, ids in notes.items()}


def notes_known(session: Session, ids: Collection[str]) -> set[str]:
    """Those of the Notes that are a writeback's already, whosever it is."""
    rows = session.execute(
        "SELECT w.note_id FROM writebacks w WHERE w.note_id IN (SELECT unnest($1::TEXT[]))", [list(ids)]
    ).fetchall()
    return {note_id for (note_id,) in rows}
