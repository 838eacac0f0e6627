"""Writebacks without an answer, with what a read-back has to know: what was sent of them, and which Notes are known.

What the read-back proves is decided in the domain; turning sends into unknowns is `recovery`'s and `settling`'s work.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from writeback_pipeline.domain.ledger import QUIET, Doubt
from writeback_pipeline.domain.records import Operation
from writeback_pipeline.domain.writebacks import Writeback
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session


class Sent(NamedTuple):
    """An attempt, as far as its doubt is concerned; `settled` once it was answered or read back."""

    operation: str
    target_id: str
    title: str | None
    send_deadline: datetime
    flag_before: bool | None
    settled: bool
    note_id: str | None = None


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
        "SELECT a.writeback_id, a.operation, a.target_id, a.title, a.send_deadline, a.flag_before, "
        "coalesce(a.outcome, 'unknown') <> 'unknown' OR a.read_back_at IS NOT NULL, "
        "CASE WHEN a.operation = 'create_note' THEN a.record_id END FROM delivery_attempts a "
        "WHERE a.writeback_id IN (SELECT unnest($1::BIGINT[])) ORDER BY a.id",
        [list(writeback_ids)],
    ).fetchall():
        attempts[id_].append(Sent(*sent))
    return {row.id: doubt(row, attempts[row.id]) for row in writebacks_from(rows)}


def doubt(row: Writeback, attempts: list[Sent]) -> Doubt:
    """What the attempts of a row without an answer, in the order of the journal, leave open."""
    open_ = [sent for sent in attempts if not sent.settled]
    flags = [
        value
        for sent in open_
        if (value := _FLAGS.get(Operation(sent.operation))) is not None and sent.flag_before is not value
    ]
    deadlines = [sent.send_deadline.replace(tzinfo=UTC) + QUIET for sent in open_]
    # Its worker may have ended between two calls: the answer is in the journal, and not in the row.
    note_id = next((sent.note_id for sent in attempts if sent.note_id is not None), None)
    return Doubt(
        replace(row, note_id=row.note_id or note_id),
        titles=frozenset(sent.title for sent in attempts if sent.title is not None),
        targets=frozenset(sent.target_id for sent in attempts),
        readable_at=max([*deadlines, row.next_attempt_at or row.created_at]),  # a restore lost some of the attempts
        flag=flags[-1] if flags else None,
    )


def known_notes(session: Session, people: Mapping[str, object]) -> dict[str, frozenset[str]]:
    """By person, the ids of the Notes that the ledger has recorded for their writebacks, deleted ones included."""
    if not people:
        return {}
    rows = session.execute(
        "SELECT w.person_id, w.note_id, a.record_id FROM writebacks w LEFT JOIN delivery_attempts a "
        "ON a.writeback_id = w.id AND a.operation = 'create_note' AND a.record_id IS NOT NULL "
        "WHERE w.kind IN ('unsubscribe', 'resubscribe') AND w.person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    ).fetchall()
    notes: dict[str, set[str]] = defaultdict(set)
    for person, *ids in rows:
        notes[person] |= {id_ for id_ in ids if id_ is not None}
    return {person: frozenset(ids) for person, ids in notes.items()}
