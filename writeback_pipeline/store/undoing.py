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
from writeback_pipeline.domain.undoing import NOTE_UNDONE, UNDONE, NotUndoable, RunFlag, RunRow, ToUndo, Undo, UndoneRow
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Kind, Status, Writeback
from writeback_pipeline.store import claims
from writeback_pipeline.store.journal import FLAG_OPERATIONS
from writeback_pipeline.store.origins import flag_evidence, take_back
from writeback_pipeline.store.rows import WRITEBACK, writebacks_from
from writeback_pipeline.store.session import Session, as_columns, storable, unnested
from writeback_pipeline.store.settling import record

_CREATING = (Operation.CREATE_NOTE, Operation.UPSERT_TASK)
_DONE = (Answer.OK, Answer.UNKNOWN)
_UNDONE = {
    "id": "BIGINT",
    "note_id": "TEXT",
    "task_id": "TEXT",
    "flag_result": "TEXT",
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
    leases = [(subject.lease_key, subject.epoch) for subject in ours]
    record(session, outcomes, [], [], now, release=False, seen=leases)
    mine = {row.writeback.id for subject in ours for row in subject.rows}
    settled = [row for row in rows if row.writeback_id in mine]
    _remember(session, undo, settled, now)
    _settle(session, undo, settled, now)
    _take_back_origins(session, ours, settled)
    session.execute(
        "UPDATE people SET lease_owner = NULL, lease_until = NULL WHERE person_id IN (SELECT unnest($1::TEXT[]))",
        [[subject.lease_key for subject in ours]],
    )
    return len(subjects) - len(ours)


def _subjects(session: Session, run_id: str, epochs: Mapping[str, int], now: datetime, until: datetime) -> list[ToUndo]:
    rows = _rows(session, run_id, epochs)
    people = [key for key, theirs in rows.items() if theirs[0].kind in OPT_OUT_KINDS]
    attempts = _attempts(session, [row.id for theirs in rows.values() for row in theirs], people)
    undos = dict(session.execute("SELECT id, run_id FROM undos").fetchall())
    undoing = {id_ for id_, undone in undos.items() if undone == run_id}
    evidence = flag_evidence(session, people)
    by_person = {claim.person.salesforce_id: claim for claim in claims.preview(session, now, len(people), people)}
    elsewhere = _opted_out_elsewhere(session, people)
    subjects = []
    for key, theirs in rows.items():
        concerned = tuple(
            written
            for row in theirs
            if _is_left(
                written := _run_row(row, attempts.by_writeback[row.id], run_id, undos),
                {run_id, *undoing},
                flag_is_the_runs=_last_flag_run(attempts.by_writeback[row.id]) == run_id,
                flag_stands=row.id in evidence,
            )
        )
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
        flag_is_ours=claim.flag_is_ours,
        verify_after=claim.verify_after,
        flag=_run_flag(flags, run_id, undoing),
    )


def _rows(session: Session, run_id: str, keys: Collection[str]) -> dict[str, list[Writeback]]:
    """By lease key, the writebacks that the run may have written something for."""
    found = session.execute(
        f"SELECT w.person_id, {WRITEBACK} FROM writebacks w WHERE w.person_id IN (SELECT unnest($2::TEXT[])) "
        "AND EXISTS (SELECT 1 FROM delivery_attempts a "
        "WHERE a.writeback_id = w.id AND a.run_id = $1 AND a.outcome IN ('ok', 'unknown')) "
        "ORDER BY w.person_id, w.occurred_at, w.id",
        [run_id, list(keys)],
    ).fetchall()
    rows: dict[str, list[Writeback]] = defaultdict(list)
    for (key, *_), writeback in zip(found, writebacks_from(row[1:] for row in found), strict=True):
        rows[key].append(writeback)
    return rows


class _Attempts(NamedTuple):
    by_writeback: dict[int, list[_Attempt]]
    flags: dict[str, list[_Attempt]]


def _attempts(session: Session, writeback_ids: Collection[int], people: Collection[str]) -> _Attempts:
    """Every attempt of the writebacks, in the order of the journal; and, by the person as it is now, the writes of the
    flag that may have changed it."""
    found = session.execute(
        "SELECT a.id, a.writeback_id, w.person_id, a.operation, a.outcome, a.record_id, a.flag_before, a.run_id "
        "FROM delivery_attempts a JOIN writebacks w ON w.id = a.writeback_id "
        "WHERE w.id IN (SELECT unnest($1::BIGINT[])) OR w.person_id IN (SELECT unnest($2::TEXT[])) ORDER BY a.id",
        [list(writeback_ids), list(people)],
    ).fetchall()
    by_writeback: dict[int, list[_Attempt]] = defaultdict(list)
    flags: dict[str, list[_Attempt]] = defaultdict(list)
    for id_, writeback_id, person, operation, outcome, *rest in found:
        attempt = _Attempt(id_, writeback_id, person, Operation(operation), outcome and Answer(outcome), *rest)
        by_writeback[writeback_id].append(attempt)
        if attempt.operation in FLAG_OPERATIONS and attempt.outcome in _DONE:
            flags[person].append(attempt)
    return _Attempts(by_writeback, flags)


def _run_row(row: Writeback, attempts: Sequence[_Attempt], run_id: str, undos: Collection[str]) -> RunRow:
    """With what the run created; a write whose answer was lost counts once the row has the id of what it made."""
    made = [each for each in attempts if each.operation in _CREATING and each.outcome in _DONE]
    by_others = {each.record_id: each.run_id for each in made if each.run_id != run_id}
    mine = {each.record_id or row.note_id or row.task_id for each in made if each.run_id == run_id}
    mine &= {row.note_id, row.task_id}
    flags = [each for each in attempts if each.operation in FLAG_OPERATIONS]
    last = _last_flag_run(attempts)
    noted_by = by_others.get(row.note_id) if row.note_id is not None and row.note_id not in mine else None
    return RunRow(
        row,
        created=tuple(filter(None, mine - by_others.keys())),
        revised=tuple(filter(None, mine & by_others.keys())),
        noted_by=noted_by,
        flagged_by=last if last not in (run_id, *undos) else None,
        whole_before=noted_by is not None and _was_whole(flags, run_id),
    )


def _last_flag_run(attempts: Sequence[_Attempt]) -> str | None:
    """The run, or undo, that was the last to write the flag for a writeback."""
    writes = [each for each in attempts if each.operation in FLAG_OPERATIONS and each.outcome in _DONE]
    return writes[-1].run_id if writes else None


def _was_whole(flags: Sequence[_Attempt], run_id: str) -> bool:
    """Whether nothing of the flag was left to do before the run: none of what others had tried had been refused."""
    first = next((position for position, each in enumerate(flags) if each.run_id == run_id), len(flags))
    return not flags[:first] or any(each.outcome in (None, *_DONE) for each in flags[:first])


def _is_left(row: RunRow, runs: Collection[str], *, flag_is_the_runs: bool, flag_stands: bool) -> bool:
    """Whether anything of what the run wrote for the writeback may be left; `runs` are the run and its undos."""
    code = row.writeback.error_code
    return bool(
        row.created
        or row.revised
        or (flag_is_the_runs and (flag_stands or code != UNDONE))
        or (row.writeback.run_id in runs and code not in (UNDONE, NOTE_UNDONE))
    )


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


def _remember(session: Session, undo: Undo, rows: Iterable[UndoneRow], now: datetime) -> None:
    """Keep what the writebacks were before this undo, and what it did to them."""
    told = [(row.writeback_id, storable(row.error_message)) for row in rows]
    session.execute(
        "INSERT INTO undone_writebacks "
        "(undo_id, writeback_id, undone_at, run_id, written_at, flag_result, note_id, task_id, told) "
        "SELECT $3, w.id, $4::TIMESTAMP, w.run_id, w.written_at, w.flag_result, w.note_id, w.task_id, n.told "
        f"FROM writebacks w JOIN ({unnested({'id': 'BIGINT', 'told': 'TEXT'})}) n ON n.id = w.id",
        [*as_columns(told, 2), undo.id, now],
    )


def _settle(session: Session, undo: Undo, rows: Iterable[UndoneRow], now: datetime) -> None:
    values = [
        (
            row.writeback_id,
            row.note_id,
            row.task_id,
            row.flag_result,
            row.error_code,
            storable(row.error_message),
            row.advice,
        )
        for row in rows
    ]
    session.execute(
        f"UPDATE writebacks AS w SET status = '{Status.FAILED}', flag_result = n.flag_result, revision = NULL, "
        f"flag_left = FALSE, written_at = NULL, settled_at = ${len(_UNDONE) + 2}::TIMESTAMP, next_attempt_at = NULL, "
        "note_id = n.note_id, task_id = n.task_id, "
        "error_code = n.error_code, error_message = n.error_message, advice = n.advice, "
        f"run_id = ${len(_UNDONE) + 1} FROM ({unnested(_UNDONE)}) n WHERE w.id = n.id",
        [*as_columns(values, len(_UNDONE)), undo.id, now],
    )


def _take_back_origins(session: Session, subjects: Iterable[ToUndo], rows: Sequence[UndoneRow]) -> None:
    """An unsubscribe that was taken back opts nobody out any more; what a resubscribe had ended stands again."""
    undone = {row.writeback_id for row in rows if not row.counts}
    ours = {row.writeback_id for row in rows if row.flag_is_ours}
    people = [subject for subject in subjects if subject.person is not None]
    later = [
        OriginChange(subject.lease_key, False, event.occurred_at, event.id)
        for subject in people
        for event in subject.events
        if event.kind is Kind.RESUBSCRIBE and event.status is Status.WRITTEN and event.id not in undone
    ]
    flag_is_ours = {each.lease_key for each in people if any(row.writeback.id in ours for row in each.rows)}
    take_back(session, [each.lease_key for each in people], undone, later, flag_is_ours)
