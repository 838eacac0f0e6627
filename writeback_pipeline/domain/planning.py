"""From what is owed and what Salesforce holds to the row writes of one person, and from their answers to statuses.

Pure. A plan is the same for a dry run and for the real thing. How rows share calls is the gateway's knowledge; which
flag must stand is decided in `opt_outs`.
"""

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from writeback_pipeline.domain.ledger import QUIET, Claim, Doubt, OriginChange, Settlement
from writeback_pipeline.domain.notes import content_note, note_body, note_title
from writeback_pipeline.domain.opt_outs import Decision, Flag, Refusal, decide, in_order
from writeback_pipeline.domain.outcomes import OF_THE_OBJECT, UNLISTED, Action, classify
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import (
    Answer,
    Gone,
    Live,
    Operation,
    OrganisationUnavailable,
    RowResult,
    RowWrite,
)
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback, record_key

OPT_OUT_FIELD = "HasOptedOutOfEmail"

MAX_ATTEMPTS = 8
"""Tries of one writeback before a person has to look; with the back-off below they span about a day and a half."""

_NOT_SENT = "It was not sent, so nothing happened in Salesforce; it is tried again by itself."
_READ_BACK = "Salesforce gave no answer. What it holds is read back before anything is sent again."
_WRITTEN_BEFORE = "DUPLICATE_VALUE"
_HAS_A_KEY = "Its key record is in Salesforce already: its Note is read back."
_FLAG_FIELDS = {value: {OPT_OUT_FIELD: value} for value in (True, False)}  # one for all: they are many
_FIRST_RETRY = timedelta(seconds=30)
_LEFT_TO_A_PERSON_FOR = timedelta(hours=1)
_LAST_RETRY = timedelta(hours=8)


WriteKey = tuple[int, Operation]
Results = Mapping[WriteKey, RowResult]
"""Answers by writeback and operation."""


class PlannedWrite(NamedTuple):
    """One row write of a plan and the writeback it is for; `flag_before` is the flag's before-image."""

    writeback_id: int
    write: RowWrite
    flag_before: bool | None = None

    @property
    def key(self) -> WriteKey:
        """What identifies the write: a writeback has at most one of each operation."""
        return self.writeback_id, self.write.operation

    @property
    def is_note(self) -> bool:
        """Whether it makes a note; else it sets or clears the flag."""
        return self.write.operation is Operation.CREATE_NOTE

    @property
    def title(self) -> str | None:
        """The note's title, by which a read-back finds it."""
        return self.write.fields["Title"] if self.is_note else None


class PersonPlan(NamedTuple):
    """What is to be done for one person: writes to send, and settlements that need none."""

    claim: Claim
    flag_before: bool | None
    decision: Decision | None
    writes: tuple[PlannedWrite, ...]
    settled: tuple[Settlement, ...]


def plan_person(claim: Claim, held: Live | Gone, settings: WritebackSettings, now: datetime) -> PersonPlan:
    """The plan for a claimed person whose record is where `claim.person` says.

    While an older write may still land no resubscribe is decided: it waits, and so it does while an unsubscribe that
    may have set the flag is left to a person. An unsubscribe never waits: its flag is set even while it is not known
    what became of its note. Never raises: a person of whom no plan can be made, by a mistake of ours, is that person's
    trouble and keeps nobody else waiting.
    """
    try:
        return _planned(claim, held, settings, now)
    except Exception as error:
        return PersonPlan(claim, None, None, (), _without_plan(claim, error))


def _planned(claim: Claim, held: Live | Gone, settings: WritebackSettings, now: datetime) -> PersonPlan:
    if isinstance(held, Gone):
        return PersonPlan(claim, None, None, (), _all_gone(claim, held))
    taken = {row.id: row for row in claim.taken}
    doubt_until = in_doubt_until(claim)
    settled: list[Settlement] = []
    resubscribes = [row for row in claim.taken if row.kind is Kind.RESUBSCRIBE]
    if doubt_until is not None:
        settled += [_waits_for_older_write(claim, taken.pop(row.id), doubt_until) for row in resubscribes]
    elif claim.left and not claim.flag_is_ours:
        settled += [_waits_for_a_person(claim, taken.pop(row.id), now) for row in resubscribes]
    decision = _decide(claim, frozenset(taken), held, settings)
    settled += [_refused(claim, taken[id_], refusal, settings) for id_, refusal in decision.refusals.items()]
    writes = [_note(claim.person, taken[id_], settings) for id_ in decision.flag_results if not taken[id_].note_id]
    if decision.write is not None:
        assert decision.decided_by is not None
        writes.insert(0, _flag(claim.person, decision.decided_by, decision.write, before=held.opted_out))
    written_to = {write.writeback_id for write in writes}
    settled += [
        _written(claim, taken[id_], decision.flag_results[id_], now)
        for id_ in decision.flag_results
        if id_ not in written_to
    ]
    settled += [
        _still_unknown(claim, doubt, doubt.readable_at)
        for doubt in claim.doubts
        if doubt.writeback.id not in written_to
    ]
    return PersonPlan(claim, held.opted_out, decision, tuple(writes), tuple(settled))


def lost_flag(claim: Claim, held: Live | Gone, settings: WritebackSettings) -> int | None:
    """The id of the dealt-with unsubscribe that Salesforce's flag no longer shows, though it should; None for none."""
    if isinstance(held, Gone) or len(claim.events) == len(claim.taken) + len(claim.doubts):  # all are in hand
        return None
    in_hand = {row.id for row in claim.taken} | {doubt.writeback.id for doubt in claim.doubts}
    decision = _decide(claim, frozenset(row.id for row in claim.taken), held, settings)
    return decision.decided_by if decision.write and decision.decided_by not in in_hand else None


def foreseen_refusals(claim: Claim, settings: WritebackSettings, *, elsewhere: bool) -> list[tuple[Writeback, str]]:
    """The resubscribes that would be refused if Salesforce held what the ledger knows, each with its advice.

    `elsewhere` when an opt-out of another origin than the platform stands.
    """
    held = Live(opted_out=elsewhere or claim.flag_is_ours)
    refusals = _decide(claim, frozenset(row.id for row in claim.taken), held, settings).refusals
    return [(row, _advice(claim, refusals[row.id], settings)) for row in claim.taken if row.id in refusals]


def has_resubscribes(claim: Claim) -> bool:
    """Whether a resubscribe is to be decided, or may be once what is in doubt is settled."""
    for row in claim.taken:  # asked of very many: a generator would take longer than the look
        if row.kind is Kind.RESUBSCRIBE:
            return True
    return any(doubt.writeback.kind is Kind.RESUBSCRIBE for doubt in claim.doubts)


def reopened(claim: Claim, row: Writeback) -> Claim:
    """The claim with that event taken again."""
    events = tuple(event._replace(status=row.status) if event.id == row.id else event for event in claim.events)
    return claim._replace(taken=(*claim.taken, row), events=events)


def in_sending_order(plans: Sequence[PersonPlan]) -> list[tuple[Claim, PlannedWrite]]:
    """Everybody's flags before anybody's notes: the flag is what the law asks for."""
    writes = [(plan.claim, write, write.is_note) for plan in plans for write in plan.writes]
    flags = [(claim, write) for claim, write, is_note in writes if not is_note]
    return flags + [(claim, write) for claim, write, is_note in writes if is_note]


def cannot_follow(claim: Claim, reason: str, now: datetime) -> list[Settlement]:
    """Failures for a person whose record moved somewhere that cannot be followed, such as round in a circle; what is in
    doubt stays so and is looked at again after a while."""
    advice = "Correct the person's Salesforce id on the platform and queue the change again, under a new key."
    doubted = [_still_unknown(claim, doubt, max(doubt.readable_at, now + QUIET)) for doubt in claim.doubts]
    return doubted + [
        _settlement(claim, row, Status.FAILED)._replace(error_code="REDIRECT_LOST", error_message=reason, advice=advice)
        for row in claim.taken
    ]


def settle_person(plan: PersonPlan, results: Results, now: datetime, jitter: random.Random) -> list[Settlement]:
    """The new states of the writebacks that had rows to write, each by the answers to its own rows."""
    if plan.decision is None:
        return []
    settlements = []
    for row in plan.claim.taken:
        answers = _answers(plan, results, row.id)
        if answers:
            flag_result = plan.decision.flag_results[row.id]
            settlements.append(_settle(plan.claim, row, flag_result, answers, now, jitter))
    for doubt in plan.claim.doubts:
        answers = _answers(plan, results, doubt.writeback.id)
        if answers:
            settlements.append(_flag_of_unknown(plan.claim, doubt, answers, now, jitter))
    return settlements


def not_set_up_for_notes(results: Results) -> OrganisationUnavailable | None:
    """The trouble, if Notes were refused for how the organisation is set up: the same for every Note, no flag's."""
    for (_, operation), result in results.items():
        if operation is Operation.CREATE_NOTE and result.answer is Answer.REJECTED and result.code in OF_THE_OBJECT:
            advice = f"{classify(result.code).advice} Flags are written all the same."
            return OrganisationUnavailable(result.code, result.message or "", advice, passing=False)
    return None


def _answers(plan: PersonPlan, results: Results, writeback_id: int) -> dict[Operation, RowResult]:
    keys = [write.key for write in plan.writes if write.writeback_id == writeback_id]
    return {key[1]: results[key] for key in keys}


def evidence(claim: Claim, write: PlannedWrite) -> OriginChange | None:
    """What the ledger knows of the flag once that write is confirmed, whatever becomes of the rest; None for a note."""
    if write.is_note:
        return None
    [event] = [event for event in claim.events if event.id == write.writeback_id]
    is_set = write.write.operation is Operation.SET_FLAG
    return OriginChange(claim.person.salesforce_id, is_set, event.occurred_at, event.id, flag_set=is_set)


def origin_changes(plan: PersonPlan, results: Results) -> list[OriginChange]:
    """Entries of the origin ledger that the answers prove.

    An opt-out stands once its event is dealt with, with the evidence that we set the flag; the platform's opt-outs
    end once an allowed resubscribe is dealt with or has cleared the flag. A flag of ours that stays set stands from
    then on for the event that decides it: the resubscribes in between end only what came before them.
    """
    if plan.decision is None:
        return []
    decision = plan.decision
    kept_set = plan.claim.flag_is_ours and plan.flag_before and decision.desired and decision.write is None
    flag_shows: set[int] = set()
    undone: set[int] = set()
    for write in plan.writes:
        result = results.get(write.key)
        if result is None or result.answer is not Answer.OK:
            undone.add(write.writeback_id)
        elif not write.is_note:
            flag_shows.add(write.writeback_id)
    if kept_set and decision.decided_by is not None:
        flag_shows.add(decision.decided_by)
    done = {row.id for row in plan.claim.taken if row.id in decision.flag_results and row.id not in undone}
    # While the flag is not cleared, an opt-out for which we had set it stands, or nobody would know whose it is.
    is_cleared = decision.write is False and decision.decided_by in flag_shows
    still_set = plan.flag_before and not kept_set and not is_cleared

    def ends(id_: int) -> bool:
        suppressed = decision.flag_results[id_] is FlagResult.SUPPRESSED
        return not (plan.claim.flag_is_ours and (still_set or suppressed))

    return [
        OriginChange(
            plan.claim.person.salesforce_id,
            opted_out=event.kind is Kind.UNSUBSCRIBE,
            at=event.occurred_at,
            writeback_id=event.id,
            flag_set=event.kind is Kind.UNSUBSCRIBE and event.id in flag_shows,
        )
        for event in in_order(plan.claim.events)
        if event.id in flag_shows or (event.id in done and (event.kind is Kind.UNSUBSCRIBE or ends(event.id)))
    ]


def retry_at(attempts: int, now: datetime, jitter: random.Random) -> datetime:
    """The next try after that many: from 30 s to 8 h, four times longer each time, half of it by chance."""
    delay = min(_FIRST_RETRY * (1 << 2 * max(attempts - 1, 0)), _LAST_RETRY)
    return now + delay * jitter.uniform(0.5, 1.0)


def payload_hash(write: RowWrite) -> str:
    """Hex SHA-256 of exactly what is sent for a row, whatever the order of its fields."""
    fields = sorted(write.fields.items())
    payload = ascii((write.sobject, write.record_id, write.external_id, write.linked_to, write.record_key, fields))
    return hashlib.sha256(payload.encode()).hexdigest()


def in_doubt_until(claim: Claim) -> datetime | None:
    """Until when an older flag write of ours may still land, or an unsubscribe of ours is not known to have: what the
    flag showed, and whose it is, says nothing till then. None when nothing is in doubt.

    What was in doubt when people were looked at still is when they are planned, though its time may be over by then.
    """
    if not claim.doubts:
        return claim.verify_after
    doubts = [doubt.readable_at for doubt in claim.doubts if doubt.writeback.kind is Kind.UNSUBSCRIBE]
    return max([*doubts, *filter(None, [claim.verify_after])], default=None)


def _decide(claim: Claim, taken: frozenset[int], held: Live, settings: WritebackSettings) -> Decision:
    flag = Flag(held.opted_out, ours=claim.flag_is_ours)
    return decide(claim.events, taken, flag, suppressed=settings.suppress_opt_out_flag)


def _flag(person: PersonRef, writeback_id: int, value: bool, *, before: bool) -> PlannedWrite:
    operation = Operation.SET_FLAG if value else Operation.CLEAR_FLAG
    write = RowWrite(operation, person.object_type.value, _FLAG_FIELDS[value], record_id=person.salesforce_id)
    return PlannedWrite(writeback_id, write, flag_before=before)


def _note(person: PersonRef, row: Writeback, settings: WritebackSettings) -> PlannedWrite:
    title = note_title(row.kind, person.object_type, row.occurred_at, settings.zone, settings.platform_name)
    body, parent = note_body(title, row.reason), person.salesforce_id
    key = record_key(row) if settings.key_records else None
    if settings.note_object is NoteObject.CONTENT_NOTE:
        fields = {"Title": title, "Content": content_note(body)}
        write = RowWrite(Operation.CREATE_NOTE, settings.note_object.value, fields, linked_to=parent, record_key=key)
    else:
        fields = {"ParentId": parent, "Title": title, "Body": body}
        write = RowWrite(Operation.CREATE_NOTE, settings.note_object.value, fields, record_key=key)
    return PlannedWrite(row.id, write)


def _settlement(claim: Claim, row: Writeback, status: Status) -> Settlement:
    return Settlement(row.id, claim.person.salesforce_id, claim.epoch, status, person=claim.person)


def _all_gone(claim: Claim, held: Gone) -> tuple[Settlement, ...]:
    """Nothing can be written to the record; what is in doubt still arrived there or did not."""
    failed = [_gone(claim, row, held) for row in claim.taken]
    return (*failed, *(_still_unknown(claim, doubt, doubt.readable_at) for doubt in claim.doubts))


def _without_plan(claim: Claim, error: Exception) -> tuple[Settlement, ...]:
    told, advice = (
        f"{type(error).__name__}: {error}",
        "Nothing was sent. Report this with the writeback's id, then retry.",
    )
    failed = [
        _settlement(claim, row, Status.FAILED)._replace(error_code="NO_PLAN", error_message=told, advice=advice)
        for row in claim.taken
    ]
    return (*failed, *(_still_unknown(claim, doubt, doubt.readable_at) for doubt in claim.doubts))


def _still_unknown(claim: Claim, doubt: Doubt, until: datetime) -> Settlement:
    return _settlement(claim, doubt.writeback, Status.UNKNOWN)._replace(
        note_id=doubt.writeback.note_id,
        next_attempt_at=until,
        error_code=doubt.writeback.error_code,
        error_message=doubt.writeback.error_message,
        advice=_READ_BACK,
    )


def _flag_of_unknown(
    claim: Claim, doubt: Doubt, answers: Mapping[Operation, RowResult], now: datetime, jitter: random.Random
) -> Settlement:
    """The flag of an unsubscribe was set without waiting for what became of its note, which stays unknown."""
    row = doubt.writeback
    [result] = answers.values()
    written = result.answer is Answer.OK
    readable_at = claim.lease_until + QUIET if result.answer is Answer.UNKNOWN else doubt.readable_at
    until = readable_at if written else min(retry_at(row.attempts + 1, now, jitter), readable_at)
    return _still_unknown(claim, doubt, until)._replace(flag_result=FlagResult.SET if written else None, attempted=True)


def _gone(claim: Claim, row: Writeback, held: Gone) -> Settlement:
    return _settlement(claim, row, Status.FAILED)._replace(
        error_code=held.code,
        error_message="entity is deleted" if held.code == "ENTITY_IS_DELETED" else "no such record in Salesforce",
        advice=classify(held.code).advice,
        attempted=True,
    )


def _advice(claim: Claim, refusal: Refusal, settings: WritebackSettings) -> str:
    return refusal.value.format(object_type=claim.person.object_type.value, platform=settings.platform_name)


def _refused(claim: Claim, row: Writeback, refusal: Refusal, settings: WritebackSettings) -> Settlement:
    advice = _advice(claim, refusal, settings)
    return _settlement(claim, row, Status.REFUSED)._replace(error_code=f"ORIGIN_{refusal.name}", advice=advice)


def _waits_for_older_write(claim: Claim, row: Writeback, until: datetime) -> Settlement:
    return _settlement(claim, row, Status.WAITING)._replace(
        next_attempt_at=until,
        error_code="OLDER_WRITE_IN_DOUBT",
        advice="An earlier write for this person may still arrive in Salesforce; the flag is cleared after that.",
    )


def _waits_for_a_person(claim: Claim, row: Writeback, now: datetime) -> Settlement:
    left = ", ".join(f"writeback {id_}" for id_ in claim.left)
    return _settlement(claim, row, Status.WAITING)._replace(
        next_attempt_at=now + _LEFT_TO_A_PERSON_FOR,
        error_code="UNSUBSCRIBE_LEFT",
        advice=f"Retry {left} first: its worker was lost, and only what is read back then tells whether the flag is "
        "ours to clear.",
    )


def _written(claim: Claim, row: Writeback, flag_result: FlagResult, now: datetime) -> Settlement:
    result = _kept(row, flag_result)
    return _settlement(claim, row, Status.WRITTEN)._replace(flag_result=result, written_at=now)


def _kept(row: Writeback, flag_result: FlagResult) -> FlagResult:
    """What an earlier attempt of this writeback did to the flag is not forgotten by a later one."""
    did_something = (FlagResult.SET, FlagResult.CLEARED)
    return row.flag_result if row.flag_result in did_something and flag_result not in did_something else flag_result


def _settle(
    claim: Claim,
    row: Writeback,
    flag_result: FlagResult,
    answers: Mapping[Operation, RowResult],
    now: datetime,
    jitter: random.Random,
) -> Settlement:
    note = answers.get(Operation.CREATE_NOTE)
    trouble = [result for result in answers.values() if result.answer is not Answer.OK]
    flag_written = not trouble or all(
        result.answer is Answer.OK for operation, result in answers.items() if operation is not Operation.CREATE_NOTE
    )
    base = Settlement(
        row.id,
        claim.person.salesforce_id,
        claim.epoch,
        Status.WRITTEN,
        person=claim.person,
        written_at=None if trouble else now,
        note_id=note.record_id if note and note.answer is Answer.OK else row.note_id,
        flag_result=_kept(row, flag_result) if flag_written else None,
        attempted=not trouble or any(result.answer is not Answer.NOT_SENT for result in answers.values()),
    )
    if not trouble:
        return base
    if note is not None and note.code == _WRITTEN_BEFORE and row.attempts + 1 < MAX_ATTEMPTS:
        return base._replace(status=Status.UNKNOWN, next_attempt_at=now, error_code=note.code, advice=_HAS_A_KEY)
    unknown = next((result for result in trouble if result.answer is Answer.UNKNOWN), None)
    if unknown is not None:
        return base._replace(
            status=Status.UNKNOWN,
            next_attempt_at=retry_at(row.attempts + 1, now, jitter),
            error_code=unknown.code,
            error_message=unknown.message,
            advice=_READ_BACK,
        )
    return _try_again_or_fail(base, row, trouble, now, jitter)


def _try_again_or_fail(
    base: Settlement, row: Writeback, trouble: Sequence[RowResult], now: datetime, jitter: random.Random
) -> Settlement:
    judged = [(result, classify(result.code or "", result.message or "")) for result in trouble]
    for_a_person = [
        (result, outcome)
        for result, outcome in judged
        if result.answer is Answer.REJECTED and outcome.action is Action.PERSON
    ]
    result, outcome = (for_a_person or judged)[0]
    advice = _NOT_SENT if result.answer is Answer.NOT_SENT and outcome is UNLISTED else outcome.advice
    told = base._replace(error_code=result.code, error_message=result.message, advice=advice)
    counted = outcome.action in (Action.RETRY, Action.CONFIGURATION)
    exhausted = base.attempted and counted and row.attempts + 1 >= MAX_ATTEMPTS
    if for_a_person or exhausted:
        return told._replace(status=Status.FAILED)
    return told._replace(status=Status.WAITING, next_attempt_at=retry_at(row.attempts + 1, now, jitter))
