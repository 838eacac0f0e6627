"""What a run wrote, as the journal has it, leased to be taken back; and the ledger of what was taken back, and by whom.

The writebacks stay in the list, failed with the code UNDONE. Which writes undo a run is decided in `domain.undoing`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from writeback_pipeline.domain.ledger import AttemptOutcome, Claim, OriginChange
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.undoing import UNDONE, NotUndoable, RunFlag, RunRow, ToUndo, Undo, UndoneRow
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Kind, Status, Writeback
from writeback_pipeline.store import claims
from writeback_pipeline.store.journal import FLAG_OPERATIONS
from writeback_pipeline.store.origins import record_origins
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session, as_columns, storable, unnested
from writeback_pipeline.store.settling import record

_CREATING = (Operation.CREATE_NOTE, Operation.UPSERT_TASK)
_DONE = (Answer.OK, Answer.UNKNOWN)
_UNDONE = {
    "id": "BIGINT",
    "note_id": "TEXT",
    "task_id": "TEXT",
    "error_code": "TEXT",
    "error_message": "TEXT",
    "advice": "TEXT",
}


class _Attempt(NamedTuple):
    id: int
    writeback_id: int
    person_id: str
    operation: Operation
    outcome: Answer | None
    record_id: str | None
    flag_before: bool | None
    run_id: str | None


def begin(session: Session, undo: Undo) -> list[str]:
    """Enter the undo; the lease keys, people and windows, of everything that the run wrote. Raises NotUndoable."""
    keys = keys_of(session, undo.run_id)
    session.execute(
        "INSERT INTO undos (id, run_id, undone_by, undone_at) VALUES ($1, $2, $3, $4::TIMESTAMP)",
        [undo.id, undo.run_id, undo.by, undo.at],
    )
    return keys


def keys_of(session: Session, run_id: str) -> list[str]:
    """Whom and which windows the run concerned, in a fixed order. Raises NotUndoable."""
    run_id = storable(run_id) or ""
    if session.execute("SELECT 1 FROM undos WHERE id = $1", [run_id]).fetchall():
        raise NotUndoable(
            f"{run_id} is an undo itself. To send again what it took back: writebacks retry, with the ids that "
            "writebacks list --status failed shows as UNDONE."
        )
    rows = session.execute(
        "SELECT DISTINCT w.person_id FROM delivery_attempts a JOIN writebacks w ON w.id = a.writeback_id "
        "WHERE a.run_id = $1 ORDER BY w.person_id",
        [run_id],
    ).fetchall()
    if not rows:
        raise NotUndoable(f"no run {run_id} has written anything. writebacks list --format json shows the run ids.")
    return [key for (key,) in rows]


def lease(
    session: Session, run_id: str, keys: Collection[str], owner: str | None, now: datetime, length: timedelta
) -> list[ToUndo]:
    """What the run wrote for these people and windows, each leased; without an owner nothing is leased.

    Those whom another worker holds are missing.
    """
    until = now + length if owner else now
    if owner:
        session.execute(
            "UPDATE people SET lease_owner = $2, lease_until = $3::TIMESTAMP, epoch = epoch + 1, "
            "verify_after_at_claim = verify_after WHERE person_id IN (SELECT unnest($4::TEXT[])) "
            "AND (lease_until IS NULL OR lease_until <= $1::TIMESTAMP)",
            [now, owner, until, list(keys)],
        )
    leased = session.execute(
        "SELECT p.person_id, p.epoch FROM people p WHERE p.person_id IN (SELECT unnest($1::TEXT[])) "
        "AND ($2::TEXT IS NULL OR (p.lease_owner = $2 AND p.lease_until = $3::TIMESTAMP)) ORDER BY p.person_id",
        [list(keys), owner, until],
    ).fetchall()
    return _subjects(session, run_id, dict(leased), now, until)


def finish(
    session: Session,
    undo: Undo,
    subjects: Sequence[ToUndo],
    outcomes: Sequence[AttemptOutcome],
    rows: Sequence[UndoneRow],
    now: datetime,
) -> int:
    """Record the answers and what they lead to, and give the leases back; how many subjects were fenced off."""
    current = claims.leases_of(session, [(subject.lease_key, subject.epoch) for subject in subjects]).keys()
    ours = [subject for subject in subjects if (subject.lease_key, subject.epoch) in current]
    record(session, outcomes, [], [], now, release=False)
    mine = {row.writeback.id for subject in ours for row in subject.rows}
    settled = [row for row in rows if row.writeback_id in mine]
    _settle(session, undo, settled)
    _take_back_origins(session, ours, {row.writeback_id for row in settled if row.complete})
    session.execute(
        "UPDATE people SET lease_owner = NULL, lease_until = NULL WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [[subject.lease_key for subject in ours]],
    )
    return len(subjects) - len(ours)


def _subjects(session: Session, run_id: str, epochs: Mapping[str, int], now: datetime, until: datetime) -> list[ToUndo]:
    rows = _rows(session, run_id, epochs)
    people = [key for key, theirs in rows.items() if theirs[0].kind in OPT_OUT_KINDS]
    attempts = _attempts(session, [row.id for theirs in rows.values() for row in theirs], people)
    undoing = {id_ for (id_,) in session.execute("SELECT id FROM undos WHERE run_id = $1", [run_id]).fetchall()}
    runs = {run_id, *undoing}
    by_person = {claim.person.salesforce_id: claim for claim in claims.preview(session, now, len(people), people)}
    elsewhere = _opted_out_elsewhere(session, people)
    subjects = []
    for key, theirs in rows.items():
        written = [_run_row(row, attempts.by_writeback[row.id], run_id) for row in theirs]
        concerned = tuple(row for row in written if row.created or row.revised or row.writeback.run_id in runs)
        if not concerned:
            continue
        subject = ToUndo(key, epochs[key], until, None, concerned)
        if key in by_person:
            subject = _of_a_person(subject, by_person[key], attempts.flags[key], run_id, undoing)
            subject = replace(subject, stands_elsewhere=key in elsewhere)
        subjects.append(subject)
    return subjects


def _of_a_person(
    subject: ToUndo, claim: Claim, flags: Sequence[_Attempt], run_id: str, undoing: Collection[str]
) -> ToUndo:
    return replace(
        subject,
        person=claim.person,
        events=claim.events,
        verify_after=claim.verify_after,
        flag=_run_flag(flags, run_id, undoing),
    )


def _rows(session: Session, run_id: str, keys: Collection[str]) -> dict[str, list[Writeback]]:
    """By lease key, the writebacks that the run may have written something for and that nobody has taken back yet."""
    found = session.execute(
        f"SELECT w.person_id, {WRITEBACK} FROM writebacks w WHERE w.person_id IN (SELECT unnest($2::TEXT[])) "
        "AND coalesce(w.error_code, '') <> $3 AND EXISTS (SELECT 1 FROM delivery_attempts a "
        "WHERE a.writeback_id = w.id AND a.run_id = $1 AND a.outcome IN ('ok', 'unknown')) "
        "ORDER BY w.person_id, w.occurred_at, w.id",
        [run_id, list(keys), UNDONE],
    ).fetchall()
    rows: dict[str, list[Writeback]] = defaultdict(list)
    for (key, *_), writeback in zip(found, writebacks_from(row[1:] for row in found), strict=True):
        rows[key].append(writeback)
    return rows


class _Attempts(NamedTuple):
    by_writeback: dict[int, list[_Attempt]]
    flags: dict[str, list[_Attempt]]


def _attempts(session: Session, writeback_ids: Collection[int], people: Collection[str]) -> _Attempts:
    """Everything that may have changed Salesforce, in the order of the journal; flags by the person as it is now."""
    found = session.execute(
        "SELECT a.id, a.writeback_id, w.person_id, a.operation, a.outcome, a.record_id, a.flag_before, a.run_id "
        "FROM delivery_attempts a JOIN writebacks w ON w.id = a.writeback_id WHERE a.outcome IN ('ok', 'unknown') "
        "AND (w.id IN (SELECT unnest($1::BIGINT[])) OR w.person_id IN (SELECT unnest($2::TEXT[]))) ORDER BY a.id",
        [list(writeback_ids), list(people)],
    ).fetchall()
    by_writeback: dict[int, list[_Attempt]] = defaultdict(list)
    flags: dict[str, list[_Attempt]] = defaultdict(list)
    for id_, writeback_id, person, operation, outcome, *rest in found:
        attempt = _Attempt(id_, writeback_id, person, Operation(operation), Answer(outcome), *rest)
        by_writeback[writeback_id].append(attempt)
        if attempt.operation in FLAG_OPERATIONS:
            flags[person].append(attempt)
    return _Attempts(by_writeback, flags)


def _run_row(row: Writeback, attempts: Sequence[_Attempt], run_id: str) -> RunRow:
    """With what the run created; a write whose answer was lost counts once the row has the id of what it made."""
    made = [attempt for attempt in attempts if attempt.operation in _CREATING]
    theirs = {attempt.record_id for attempt in made if attempt.run_id != run_id}
    mine = {
        attempt.record_id or row.note_id or row.task_id
        for attempt in made
        if attempt.run_id == run_id and attempt.outcome in _DONE
    } & {row.note_id, row.task_id}
    noted_before = row.kind in OPT_OUT_KINDS and row.note_id is not None and row.note_id in theirs - mine
    return RunRow(row, tuple(filter(None, mine - theirs)), tuple(filter(None, mine & theirs)), noted_before)


def _run_flag(flags: Sequence[_Attempt], run_id: str, undoing: Collection[str]) -> RunFlag | None:
    mine = [attempt for attempt in flags if attempt.run_id == run_id]
    if not mine:
        return None
    last = mine[-1]
    overtaken = any(each.id > last.id and each.run_id not in (run_id, *undoing) for each in flags)
    return RunFlag(last.writeback_id, bool(mine[0].flag_before), last.operation is Operation.SET_FLAG, overtaken)


def _opted_out_elsewhere(session: Session, people: Collection[str]) -> set[str]:
    rows = session.execute(
        "SELECT DISTINCT o.person_id FROM opt_out_origins o WHERE o.origin <> 'platform' AND o.cleared_at IS NULL "
        "AND o.person_id IN (SELECT unnest($1::TEXT[]))",
        [list(people)],
    ).fetchall()
    return {person for (person,) in rows}


def _settle(session: Session, undo: Undo, rows: Iterable[UndoneRow]) -> None:
    values = [
        (row.writeback_id, row.note_id, row.task_id, row.error_code, storable(row.error_message), row.advice)
        for row in rows
    ]
    session.execute(
        f"UPDATE writebacks AS w SET status = '{Status.FAILED}', flag_result = NULL, revision = NULL, "
        "written_at = NULL, next_attempt_at = NULL, note_id = n.note_id, task_id = n.task_id, "
        "error_code = n.error_code, error_message = n.error_message, advice = n.advice, run_id = $7 "
        f"FROM ({unnested(_UNDONE)}) n WHERE w.id = n.id",
        [*as_columns(values, len(_UNDONE)), undo.id],
    )


def _take_back_origins(session: Session, subjects: Iterable[ToUndo], undone: Collection[int]) -> None:
    """An unsubscribe that was taken back no longer opts anybody out; what a resubscribe had ended stands again."""
    people = [subject.lease_key for subject in subjects if subject.person is not None]
    session.execute("DELETE FROM opt_out_origins WHERE writeback_id IN (SELECT unnest($1::BIGINT[]))", [list(undone)])
    session.execute(
        "UPDATE opt_out_origins SET cleared_at = NULL, cleared_by = NULL "
        "WHERE cleared_by IN (SELECT unnest($1::BIGINT[]))",
        [list(undone)],
    )
    later = [
        OriginChange(subject.lease_key, False, event.occurred_at, event.id)
        for subject in subjects
        for event in subject.events
        if event.kind is Kind.RESUBSCRIBE and event.status is Status.WRITTEN and event.id not in undone
    ]
    record_origins(session, later)
    session.execute(
        "UPDATE people SET desired_flag = (SELECT bool_or(o.cleared_at IS NULL) FROM opt_out_origins o "
        "WHERE o.person_id = people.person_id) WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [people],
    )
