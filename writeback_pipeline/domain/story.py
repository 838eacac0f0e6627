"""One person's story: everything the ledger knows of them, in the order in which it happened, in words.

Pure: facts in, sentences out. Which facts belong to a person, through conversions and merges, is found by the store.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from writeback_pipeline.domain.ledger import Attempt
from writeback_pipeline.domain.people import PersonRef, object_type_of
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.undoing import INCOMPLETE, UNDONE, Undo, is_taken_back
from writeback_pipeline.domain.writebacks import (
    MISDATED,
    FlagResult,
    Kind,
    Status,
    Writeback,
    utc_text,
)


@dataclass(frozen=True, slots=True)
class OptOutRecord:
    """An opt-out in the origin ledger: in which system, since when, on what evidence, and what ended it.

    `actor` is the Salesforce user who changed the record last, where it was read there.
    """

    id: int
    origin: str
    since: datetime
    flag_set: bool
    writeback_id: int | None
    cleared_at: datetime | None
    cleared_by: int | None
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A conversion or merge that the ledger followed, one hop, when it learned of it."""

    person: PersonRef
    to: PersonRef
    at: datetime


@dataclass(frozen=True, slots=True)
class OverruledClear:
    """A flag of ours that somebody cleared in Salesforce while our opt-out stood; `actor` changed the record last."""

    at: datetime
    actor: str | None


@dataclass(frozen=True, slots=True)
class Undone:
    """A writeback as it was before an undo, and in words what that did to it. `run_id` is the run that had written it,
    None of the rest where it never was."""

    writeback_id: int
    undo_id: str
    at: datetime
    told: str
    run_id: str | None
    written_at: datetime | None
    flag_result: FlagResult | None
    record: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger holds of one person.

    `people` are all their records, where they are now first; empty for somebody without a Salesforce record.
    `read_back` are the instants at which Salesforce was asked what became of an attempt, by attempt id; `settled_at`
    those at which a writeback came to where it is. `undos` are those of runs that wrote something of theirs, `undone`
    what they took back.
    """

    people: tuple[PersonRef, ...]
    writebacks: tuple[Writeback, ...]
    attempts: tuple[Attempt, ...]
    read_back: dict[int, datetime]
    opt_outs: tuple[OptOutRecord, ...]
    moves: tuple[Move, ...]
    undos: tuple[Undo, ...] = ()
    undone: tuple[Undone, ...] = ()
    settled_at: Mapping[int, datetime] = field(default_factory=dict)
    verify_after: datetime | None = None
    overruled: tuple[OverruledClear, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened; `kind` is one of KINDS."""

    at: datetime
    kind: str
    told: str
    writeback_id: int | None = None
    attempt_id: int | None = None
    run_id: str | None = None


KINDS = (
    "event", "queued", "moved", "undo", "call", "answer", "read_back", "opt_out", "written", "undone", "settled",
)  # fmt: skip
"""What can happen, in the order in which it is told: what comes first of several things at one instant."""

_EVENTS = {
    Kind.UNSUBSCRIBE: "Unsubscribed on the platform",
    Kind.RESUBSCRIBE: "Resubscribed on the platform",
    Kind.SENT: "Last of the mailings sent in a window",
    Kind.OPENED: "Last of the mailings opened in a window",
}
_CALLS = {
    Operation.SET_FLAG: "Ticking Email Opt Out on {target}",
    Operation.CLEAR_FLAG: "Clearing Email Opt Out on {target}",
    Operation.CREATE_NOTE: "Writing a Note to {target}",
    Operation.UPSERT_TASK: "Writing the Task of {target}",
    Operation.DELETE_NOTE: "Deleting the Note {target}",
    Operation.DELETE_TASK: "Deleting the Task {target}",
    Operation.DELETE_KEY_RECORD: "Deleting the key record {target}",
}
_WRITES = {
    Operation.SET_FLAG: "the tick",
    Operation.CLEAR_FLAG: "the cleared tick",
    Operation.CREATE_NOTE: "the Note",
    Operation.UPSERT_TASK: "the Task",
    Operation.DELETE_NOTE: "the deletion of the Note",
    Operation.DELETE_TASK: "the deletion of the Task",
    Operation.DELETE_KEY_RECORD: "the deletion of the key record",
}
_FLAGS = {
    FlagResult.SET: "Email Opt Out was ticked",
    FlagResult.CLEARED: "Email Opt Out was cleared",
    FlagResult.UNCHANGED: "Email Opt Out was that already",
    FlagResult.SUPPRESSED: "Email Opt Out was left alone, by the setting suppress_opt_out_flag",
    FlagResult.SUPERSEDED: "a later event decided Email Opt Out",
}
_STANDING = {
    Status.PENDING: "is queued",
    Status.SENDING: "is being sent",
    Status.WAITING: "waits to be tried again",
    Status.UNKNOWN: "was sent and not answered; what became of it is read back",
    Status.WRITTEN: "is written",
    Status.FAILED: "needs a person",
    Status.REFUSED: "was refused",
    Status.NO_RECIPIENT: "has nobody in Salesforce to be written to",
}


_ENDED = {
    Status.FAILED: "could not be written and needs a person",
    Status.REFUSED: "was refused",
    Status.NO_RECIPIENT: "was found to have nobody in Salesforce to be written to",
}


def heading(facts: Facts) -> str:
    """Who the story is of: the record that the person is now, and those that they were before."""
    now, *before = [_ref(person) for person in facts.people] or ["Nobody in Salesforce"]
    return now + (f", once {', '.join(before)}" if before else "")


def moments(facts: Facts) -> list[Moment]:
    """Everything that happened, in time order."""
    told = [
        *(moment for row in facts.writebacks for moment in _of_writeback(row, facts.settled_at.get(row.id))),
        *(moment for each in facts.undone for moment in _of_undone(each)),
        *(moment for attempt in facts.attempts for moment in _of_attempt(attempt, facts.read_back)),
        *(moment for opt_out in facts.opt_outs for moment in _of_opt_out(opt_out)),
        *(_of_overruled(clear) for clear in facts.overruled),
        *(_of_move(move) for move in facts.moves),
        *(_of_undo(undo) for undo in facts.undos),
    ]
    return sorted(
        told, key=lambda each: (each.at, KINDS.index(each.kind), each.writeback_id or 0, each.attempt_id or 0)
    )


def standing(facts: Facts) -> list[str]:
    """Where everything stands now: the opt-outs first, then what is not simply written."""
    undone = {row.id for row in facts.writebacks if row.error_code in (UNDONE, INCOMPLETE)}
    lines = [
        f"Email Opt Out is left ticked as writeback {each.writeback_id} had ticked it, which was undone."
        if each.writeback_id in undone
        else f"Opted out {_where(each.origin)} since {utc_text(each.since)}."
        for each in _open(facts.opt_outs)
    ]
    if not lines and facts.opt_outs:
        lines.append("No opt-out stands.")
    if facts.verify_after is not None:
        lines.append(f"Email Opt Out is compared with the ledger once more after {utc_text(facts.verify_after)}.")
    return lines + [_state(row) for row in facts.writebacks if row.status is not Status.WRITTEN]


def _of_writeback(row: Writeback, settled_at: datetime | None) -> Iterator[Moment]:
    who = f" ({_named(row)})" if row.salesforce_id or row.subscriber_id or row.email else ""
    window = f" from {utc_text(row.window_start)}" if row.window_start else ""
    reason = f" Reason: {row.reason}" if row.reason else ""
    misdated = f" {MISDATED}" if row.is_misdated else ""
    yield Moment(row.occurred_at, "event", f"{_EVENTS[row.kind]}{window}{who}.{reason}{misdated}", row.id)
    yield Moment(row.created_at, "queued", f"Queued as writeback {row.id} ({row.kind}).", row.id)
    if row.written_at is not None:
        yield _written(row.id, row.written_at, _record(row.note_id, row.task_id), row.flag_result, row.run_id)
    elif settled_at is not None and row.status in _ENDED:
        code = f" {row.error_code}." if row.error_code else ""
        told = f"Writeback {row.id} {_ENDED[row.status]}.{code}"
        yield Moment(settled_at, "settled", told, row.id, run_id=row.run_id)


def _written(id_: int, at: datetime, record: str | None, flag_result: FlagResult | None, run_id: str | None) -> Moment:
    flag = f"; {_FLAGS[flag_result]}" if flag_result else ""
    named = f", {record}" if record else ""
    return Moment(at, "written", f"Writeback {id_} was written{named}{flag}.", id_, run_id=run_id)


def _of_undone(undone: Undone) -> Iterator[Moment]:
    id_ = undone.writeback_id
    if undone.written_at is not None:
        yield _written(id_, undone.written_at, undone.record, undone.flag_result, undone.run_id)
    yield Moment(undone.at, "undone", f"Writeback {id_} was undone: {undone.told}.", id_, run_id=undone.undo_id)


def _of_attempt(attempt: Attempt, read_back: dict[int, datetime]) -> Iterator[Moment]:
    intent, outcome = attempt.intent, attempt.outcome
    ids = (intent.writeback_id, attempt.id, intent.run_id)
    before = {True: ", ticked before", False: ", not ticked before", None: ""}[intent.flag_before]
    title = f": {intent.title}" if intent.title else ""
    what = _CALLS[intent.operation].format(target=intent.target_id)
    yield Moment(intent.intent_at, "call", f"{what}{before} ({intent.lane} lane){title}.", *ids)
    if outcome is not None:
        code = ": ".join(filter(None, (outcome.code, outcome.message)))
        it = _WRITES[intent.operation]
        made = f" {outcome.record_id}" if outcome.record_id and outcome.record_id != intent.target_id else ""
        told = {
            Answer.OK: f"Salesforce confirmed {it}{made}.",
            Answer.REJECTED: f"Salesforce refused {it}. {code}",
            Answer.NOT_SENT: f"Nothing of {it} was sent. {code}",
            Answer.UNKNOWN: f"No answer about {it} came that could be read. {code}",
        }[outcome.answer]
        yield Moment(outcome.answered_at, "answer", told.rstrip(), *ids)
    if attempt.id in read_back:
        yield Moment(
            read_back[attempt.id],
            "read_back",
            f"Salesforce was asked what had become of {_WRITES[intent.operation]}.",
            *ids,
        )


def _of_opt_out(opt_out: OptOutRecord) -> Iterator[Moment]:
    evidence = f" Evidence: writeback {opt_out.writeback_id}." if opt_out.writeback_id else ""
    ours = " We ticked Email Opt Out for it." if opt_out.flag_set else ""
    actor = f" The record was last changed by {opt_out.actor}." if opt_out.actor else ""
    yield Moment(
        opt_out.since, "opt_out", f"Opted out {_where(opt_out.origin)}.{evidence}{ours}{actor}", opt_out.writeback_id
    )
    if opt_out.cleared_at is not None:
        by = f"by writeback {opt_out.cleared_by}" if opt_out.cleared_by else "where it was made"
        told = f"The opt-out {_where(opt_out.origin)} of {utc_text(opt_out.since)} was taken back {by}."
        yield Moment(opt_out.cleared_at, "opt_out", told, opt_out.cleared_by)


def _of_overruled(clear: OverruledClear) -> Moment:
    actor = f" The record was last changed by {clear.actor}." if clear.actor else ""
    told = f"Email Opt Out was cleared in Salesforce while the platform's opt-out stood: it is set again.{actor}"
    return Moment(clear.at, "opt_out", told)


def _of_move(move: Move) -> Moment:
    how = "converted" if move.person.object_type is not move.to.object_type else "merged"
    told = f"{_ref(move.person)} turned out to be {how}: everything goes on with {_ref(move.to)}."
    return Moment(move.at, "moved", told)


def _of_undo(undo: Undo) -> Moment:
    return Moment(undo.at, "undo", f"What run {undo.run_id} wrote was taken back by {undo.by}.", run_id=undo.id)


def _open(opt_outs: Iterable[OptOutRecord]) -> list[OptOutRecord]:
    return [opt_out for opt_out in opt_outs if opt_out.cleared_at is None]


def _state(row: Writeback) -> str:
    next_try = f" at {utc_text(row.next_attempt_at)}" if row.next_attempt_at else ""
    code = f" {row.error_code}." if row.error_code else ""
    advice = f" {row.advice}" if row.advice else ""
    stands = "was taken back on purpose" if is_taken_back(row.status, row.error_code) else _STANDING[row.status]
    return f"Writeback {row.id} ({row.kind}) {stands}{next_try}.{code}{advice}"


def _named(row: Writeback) -> str:
    named = row.redirected_from or row.salesforce_id
    record = f"{object_type_of(named)} {named}" if named else ""
    subscriber = f"subscriber {row.subscriber_id}" if row.subscriber_id else ""
    return ", ".join(filter(None, (record, subscriber, row.email)))


def _record(note_id: str | None, task_id: str | None) -> str | None:
    return f"Note {note_id}" if note_id else task_id and f"Task {task_id}"


def _where(origin: str) -> str:
    return {"platform": "on the platform", "salesforce": "in Salesforce", "import": "by import"}.get(
        origin, f"in {origin}"
    )


def _ref(person: PersonRef) -> str:
    return f"{person.object_type} {person.salesforce_id}"
