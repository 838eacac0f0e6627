"""Taking a run back: what can be undone for a person or a window, which writes that takes, and why the rest is left.

Pure. A plan is the same for a dry run and for the real thing. In doubt nothing is changed: a flag that anything else
has to do with stays as it is, and nobody who stands opted out by another event is ever opted in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from writeback_pipeline.domain.opt_outs import Flag, OptOutEvent, decide
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.planning import OPT_OUT_FIELD
from writeback_pipeline.domain.records import Answer, Held, Live, Moved, Operation, RowResult, RowWrite
from writeback_pipeline.domain.writebacks import FlagResult, Status, Writeback, record_key, utc_text

UNDONE = "UNDONE"
"""Error code of a writeback that was taken back; only a retry sends it again."""

NOTE_UNDONE = "NOTE_UNDONE"
"""Error code of a writeback whose Note was taken back and whose flag, which another run wrote, stands: it counts."""

INCOMPLETE = "UNDO_INCOMPLETE"
"""Error code of a writeback of which a part could not be taken back."""

TAKEN_BACK = (UNDONE, NOTE_UNDONE, INCOMPLETE)
"""Nothing of them is sent again but by a retry that names the row."""

KEY_RECORD = "Writeback__c"
"""The object of key records; `salesforce_package` brings it."""

_GONE_ALREADY = ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND")
_BOX = {True: "checked", False: "unchecked", None: "not read"}
_OBJECTS = {"002": "Note", "069": "ContentNote", "00T": "Task"}
_SETTLED = (Status.WRITTEN, Status.FAILED)


class NotUndoable(LookupError):
    """The run cannot be undone at all: nobody knows it, it wrote nothing, or it is an undo itself."""


@dataclass(frozen=True, slots=True)
class Undo:
    """An undo as it is recorded: its own id, the run it takes back, by whom and when."""

    id: str
    run_id: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RunRow:
    """A writeback of the run, with the ids of the Notes and Tasks that the run created for it.

    `revised` are Tasks that another run has made or revised too. `noted_by` is the other run whose Note it has,
    `flagged_by` the other run whose write of the flag for it was the last; `whole_before` when another run had done
    everything and this one only wrote its flag again.
    """

    writeback: Writeback
    created: tuple[str, ...]
    revised: tuple[str, ...] = ()
    noted_by: str | None = None
    flagged_by: str | None = None
    whole_before: bool = False


@dataclass(frozen=True, slots=True)
class RunFlag:
    """The flag before the run and as the run left it; `overtaken` when another run has written it since.

    `writeback_id` is the event that the run's last flag write followed.
    """

    writeback_id: int
    before: bool
    written: bool
    overtaken: bool


@dataclass(frozen=True, slots=True)
class ToUndo:
    """One person, or one window of activity (then without `person`), leased for the undoing.

    `stands_elsewhere` when an opt-out stands that no writeback of the platform made; `flag_is_ours` when the ledger
    shows that we set the flag that stands. `verify_after` is set while an older flag write may still land.
    """

    lease_key: str
    epoch: int
    lease_until: datetime
    person: PersonRef | None
    rows: tuple[RunRow, ...]
    flag: RunFlag | None = None
    events: tuple[OptOutEvent, ...] = ()
    stands_elsewhere: bool = False
    flag_is_ours: bool = False
    verify_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class UndoWrite:
    """One row write of an undo and the writeback it is for; `flag_before` is what Salesforce shows now."""

    writeback_id: int
    write: RowWrite
    flag_before: bool | None = None


@dataclass(frozen=True, slots=True)
class UndoPlan:
    """What is to be done for one person or window. `left` has the reason by writeback, `flag_left` that of the flag."""

    subject: ToUndo
    rows: tuple[RunRow, ...]
    writes: tuple[UndoWrite, ...]
    left: dict[int, str]
    flag_now: bool | None = None
    flag_goal: bool | None = None
    flag_left: str | None = None


@dataclass(frozen=True, slots=True)
class UndoneRow:
    """A writeback's new state: what of it is gone, and the code and words that say so. The ids are those left.

    `counts` when its event still decides the flag. `flag_is_ours` when Salesforce goes on showing a flag that we set:
    then somebody's opt-out has to bear the evidence for it.
    """

    writeback_id: int
    complete: bool
    note_id: str | None
    task_id: str | None
    flag_result: FlagResult | None
    counts: bool
    flag_is_ours: bool
    error_code: str
    error_message: str
    advice: str


def plan_undo(
    subject: ToUndo, held: Held | None, key_records: Mapping[str, str], *, suppressed: bool, now: datetime
) -> UndoPlan:
    """The plan for one person, of whom Salesforce holds that, or for a window of activity.

    `key_records` are the ids of the Notes' key records, by record key: they go with their Notes.
    """
    if subject.person and subject.verify_after is not None and subject.verify_after > now:
        return _all_left(
            subject,
            f"an earlier write may still arrive in Salesforce; undo again after {utc_text(subject.verify_after)}",
        )
    if isinstance(held, Moved):
        return _all_left(subject, "the record became another one: undo again after the next sync has joined the two")
    left = {row.writeback.id: reason for row in subject.rows if (reason := _why_left(row))}
    rows = tuple(row for row in subject.rows if row.writeback.id not in left)
    writes = [_deletion(row.writeback.id, id_) for row in rows for id_ in row.created]
    writes += [
        UndoWrite(row.writeback.id, RowWrite(Operation.DELETE_KEY_RECORD, KEY_RECORD, {}, record_id=record_id))
        for row in rows
        if row.created and (record_id := key_records.get(record_key(row.writeback))) is not None
    ]
    now_set = held.opted_out if isinstance(held, Live) else None
    goal, flag_left = _flag_goal(subject, rows, held, suppressed=suppressed)
    if goal is not None and subject.person is not None and subject.flag is not None:
        operation = Operation.SET_FLAG if goal else Operation.CLEAR_FLAG
        person = subject.person
        write = RowWrite(operation, person.object_type.value, {OPT_OUT_FIELD: goal}, record_id=person.salesforce_id)
        writes.append(UndoWrite(subject.flag.writeback_id, write, flag_before=now_set))
    return UndoPlan(subject, rows, tuple(writes), left, now_set, goal, flag_left)


def _all_left(subject: ToUndo, reason: str) -> UndoPlan:
    return UndoPlan(subject, (), (), {row.writeback.id: reason for row in subject.rows})


def left_for_now(plan: UndoPlan, reason: str) -> UndoPlan:
    """The plan that leaves everything as it is, for that reason."""
    left = {row.writeback.id: reason for row in plan.rows} | plan.left
    return UndoPlan(plan.subject, (), (), left, plan.flag_now)


def settle_undo(plan: UndoPlan, results: Sequence[RowResult], by: str, at: datetime) -> list[UndoneRow]:
    """The new states of the plan's writebacks, from the answers to its writes in their order.

    A writeback of which nothing was sent stays as it is.
    """
    answers = list(zip(plan.writes, results, strict=True))
    sent = {each.writeback_id for each, result in answers if result.answer is not Answer.NOT_SENT}
    untouched = {each.writeback_id for each, _ in answers} - sent
    return [_settled(plan, row, answers, by, at) for row in plan.rows if row.writeback.id not in untouched]


def is_taken_back(status: Status, error_code: str | None) -> bool:
    """Whether a writeback of this status and error code was taken back on purpose, all of it: nobody has to act."""
    return status is Status.FAILED and error_code == UNDONE


def is_undone(result: RowResult) -> bool:
    """Whether the answer says that it is done, or that somebody else had deleted the record already."""
    return result.answer is Answer.OK or (result.answer is Answer.REJECTED and result.code in _GONE_ALREADY)


def _why_left(row: RunRow) -> str | None:
    status = row.writeback.status
    if status not in _SETTLED:
        return f"it is {status}: what it has come to is not settled; undo again once it is"
    if row.whole_before:
        return (
            f"run {row.noted_by} had written it, and this one only wrote its flag again: it stands; undo that run too"
        )
    if row.revised:
        return f"its Task {', '.join(row.revised)} was made or revised by another run as well: undo the later run first"
    return None


def _flag_goal(
    subject: ToUndo, rows: Sequence[RunRow], held: Held | None, *, suppressed: bool
) -> tuple[bool | None, str | None]:
    """The value to write, or why the flag is left; neither when the run left the flag alone or it is so already."""
    flag = subject.flag
    if flag is None:
        return None, None
    if not isinstance(held, Live):
        return None, "the record is deleted"
    if suppressed:
        return None, "suppress_opt_out_flag is on"
    if flag.overtaken:
        return None, "another run has written it since"
    goal = _what_must_stand(subject, {row.writeback.id for row in rows}, before=flag.before)
    if goal == held.opted_out:
        return None, "another opt-out stands" if goal and flag.written and not flag.before else None
    if held.opted_out != flag.written:
        return None, "somebody has changed it in Salesforce since"
    return goal, None


def _what_must_stand(subject: ToUndo, undone: set[int], *, before: bool) -> bool:
    """The fold of the events that remain; the before-image where they say nothing."""
    remaining = [event for event in subject.events if event.id not in undone]
    desired = decide(remaining, frozenset(), Flag(opted_out=True, ours=True), suppressed=False).desired
    return subject.stands_elsewhere or (before if desired is None else desired)


def _deletion(writeback_id: int, record_id: str) -> UndoWrite:
    sobject = _OBJECTS[record_id[:3]]
    operation = Operation.DELETE_TASK if sobject == "Task" else Operation.DELETE_NOTE
    return UndoWrite(writeback_id, RowWrite(operation, sobject, {}, record_id=record_id))


def _settled(
    plan: UndoPlan, row: RunRow, answers: Sequence[tuple[UndoWrite, RowResult]], by: str, at: datetime
) -> UndoneRow:
    mine = [(each.write, result) for each, result in answers if each.writeback_id == row.writeback.id]
    gone = {write.record_id for write, result in mine if is_undone(result)}
    trouble = next((result for _, result in mine if not is_undone(result)), None)
    told = _what_was_undone(plan, row, gone)
    note_id, task_id = (None if id_ in gone else id_ for id_ in (row.writeback.note_id, row.writeback.task_id))
    counts = row.flagged_by is not None
    done = UndoneRow(
        writeback_id=row.writeback.id,
        complete=trouble is None,
        note_id=note_id,
        task_id=task_id,
        flag_result=row.writeback.flag_result if counts else None,
        counts=counts,
        flag_is_ours=_flag_is_ours(plan, answers),
        error_code=NOTE_UNDONE if counts else UNDONE,
        error_message=told,
        advice=_advice(row, by, at),
    )
    if trouble is None:
        return done
    advice = f"{_who(by, at)}, but not all of it: mend what the message says, then undo the run again."
    told = f"{told}; {trouble.code or 'no answer'}: {trouble.message or ''}"
    return replace(done, error_code=NOTE_UNDONE if counts else INCOMPLETE, error_message=told, advice=advice)


def _who(by: str, at: datetime) -> str:
    return f"Undone by {by} at {utc_text(at.replace(microsecond=0))}"


def _advice(row: RunRow, by: str, at: datetime) -> str:
    again = f"`writebacks retry {row.writeback.id}` sends it again."
    if row.flagged_by is None:
        return f"{_who(by, at)}. It is not sent again by itself; {again}"
    return f"{_who(by, at)}, but for the flag, which run {row.flagged_by} wrote: `writebacks undo {row.flagged_by}`."


def _flag_is_ours(plan: UndoPlan, answers: Iterable[tuple[UndoWrite, RowResult]]) -> bool:
    """Whether Salesforce may show a flag that we set, after the plan's answers. What was not answered may be done."""
    for each, result in answers:
        if each.write.operation is Operation.SET_FLAG and result.answer in (Answer.OK, Answer.UNKNOWN):
            return True
        if each.write.operation is Operation.CLEAR_FLAG and result.answer is Answer.OK:
            return False
    return plan.subject.flag_is_ours and plan.flag_now is not False


def _what_was_undone(plan: UndoPlan, row: RunRow, gone: set[str | None]) -> str:
    parts = [f"{_OBJECTS[id_[:3]]} {id_} deleted" for id_ in row.created if id_ in gone]
    if row.noted_by is not None and row.writeback.note_id is not None:
        object_ = _OBJECTS[row.writeback.note_id[:3]]
        parts.append(f"{object_} {row.writeback.note_id} left (run {row.noted_by} wrote it: undo that run too)")
    flag = plan.subject.flag
    if row.flagged_by is not None:
        parts.append(f"Email Opt Out left {_BOX[plan.flag_now]} (run {row.flagged_by} wrote it: undo that run too)")
    elif flag is not None and flag.writeback_id == row.writeback.id:
        why = f" ({plan.flag_left})" if plan.flag_left else ""
        changed = plan.flag_goal is not None and plan.subject.lease_key in gone
        parts.append(
            f"Email Opt Out {_BOX[plan.flag_goal]} again"
            if changed
            else f"Email Opt Out left {_BOX[plan.flag_now]}{why}"
        )
    return "; ".join(parts) or "nothing of it was in Salesforce any more"
