"""One person's plan, and what the answers to it mean."""

import random
from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from writeback_pipeline.domain.ledger import Claim, Doubt
from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.planning import (
    MAX_ATTEMPTS,
    PersonPlan,
    Results,
    in_sending_order,
    origin_changes,
    payload_hash,
    plan_person,
    retry_at,
    settle_person,
)
from writeback_pipeline.domain.records import Answer, Gone, Live, Operation, RowResult
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERSON = PersonRef(ObjectType.CONTACT, "003dM00001wBXYDQA4")
SETTINGS = WritebackSettings()
JITTER = random.Random(1)
OK = RowResult(Answer.OK, record_id="002dM00001wBXYDQA4")
FLAG, NOTE = Operation.SET_FLAG, Operation.CREATE_NOTE


def row(id_: int, kind: Kind, *, status: Status = Status.PENDING, attempts: int = 0, **more: Any) -> Writeback:
    values: dict[str, object] = dict.fromkeys(Writeback._fields)
    values |= {
        "id": id_,
        "kind": kind,
        "object_type": PERSON.object_type,
        "salesforce_id": PERSON.salesforce_id,
        "occurred_at": NOW + timedelta(minutes=id_),
        "delivery_key": str(id_),
        "status": status,
        "attempts": attempts,
        "created_at": NOW,
    }
    return Writeback(**(values | more))  # type: ignore[arg-type]


def claim(*taken: Writeback, past: tuple[OptOutEvent, ...] = (), ours: bool = False) -> Claim:
    events = tuple(OptOutEvent(r.id, r.kind, r.occurred_at, r.status) for r in taken)
    return Claim(PERSON, 1, NOW + timedelta(minutes=3), taken, past + events, ours, None)


def unsubscribed(**more: Any) -> PersonPlan:
    return plan_person(claim(row(1, Kind.UNSUBSCRIBE, **more)), Live(opted_out=False), SETTINGS, NOW)


def settled(plan: PersonPlan, results: Results) -> tuple[Status, FlagResult | None, str | None]:
    (settlement,) = settle_person(plan, results, NOW, JITTER)
    return settlement.status, settlement.flag_result, settlement.error_code


def test_an_unsubscribe_is_a_flag_and_a_note() -> None:
    plan = unsubscribed(reason="Bad Email")
    flag, note = plan.writes
    assert (flag.write.sobject, flag.write.record_id) == ("Contact", PERSON.salesforce_id)
    assert dict(flag.write.fields) == {"HasOptedOutOfEmail": True}
    assert flag.flag_before is False
    assert dict(note.write.fields) == {
        "ParentId": PERSON.salesforce_id,
        "Title": "Contact unsubscribed from Informz on 11/23/26 12:01:00 PM",
        "Body": "Contact unsubscribed from Informz on 11/23/26 12:01:00 PM\nReason: Bad Email",
    }


def test_an_enhanced_note_hangs_on_the_person_by_a_link() -> None:
    settings = replace(SETTINGS, note_object=NoteObject.CONTENT_NOTE)
    taken = row(1, Kind.UNSUBSCRIBE, reason="Bad <Email>")
    note = plan_person(claim(taken), Live(opted_out=False), settings, NOW).writes[1]
    title = "Contact unsubscribed from Informz on 11/23/26 12:01:00 PM"
    assert (note.title, note.write.fields["Title"], note.key) == (title, title, (1, NOTE))
    assert (note.write.sobject, note.write.linked_to) == ("ContentNote", PERSON.salesforce_id)
    assert b64decode(note.write.fields["Content"]).decode() == f"<p>{title}<br>Reason: Bad &lt;Email&gt;</p>"
    assert "ParentId" not in note.write.fields


def test_both_answers_make_it_written() -> None:
    plan = unsubscribed()
    (settlement,) = settle_person(plan, {(1, FLAG): OK, (1, NOTE): OK}, NOW, JITTER)
    assert (settlement.status, settlement.flag_result, settlement.written_at) == (Status.WRITTEN, FlagResult.SET, NOW)
    assert settlement.note_id == OK.record_id
    assert settlement.attempted


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (RowResult(Answer.REJECTED, code="UNABLE_TO_LOCK_ROW", message="busy"), Status.WAITING),
        (RowResult(Answer.REJECTED, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no"), Status.FAILED),
        (RowResult(Answer.REJECTED, code="NEVER_HEARD_OF", message="?"), Status.FAILED),
        (RowResult(Answer.REJECTED, code="INVALID_FIELD", message="No such column"), Status.WAITING),
        (RowResult(Answer.NOT_SENT, code="REQUEST_LIMIT_EXCEEDED", message="quota"), Status.WAITING),
        (RowResult(Answer.NOT_SENT, code="NEVER_HEARD_OF", message="?"), Status.WAITING),
        (RowResult(Answer.UNKNOWN, code="TIMEOUT", message="no answer"), Status.UNKNOWN),
    ],
)
def test_a_flag_that_was_not_confirmed_is_settled_by_its_own_answer(answer: RowResult, status: Status) -> None:
    assert settled(unsubscribed(), {(1, FLAG): answer, (1, NOTE): OK}) == (status, None, answer.code)


def test_a_rejected_note_keeps_what_the_flag_achieved() -> None:
    rejected = RowResult(Answer.REJECTED, code="INSUFFICIENT_ACCESS_OR_READONLY", message="no")
    assert settled(unsubscribed(), {(1, FLAG): OK, (1, NOTE): rejected})[:2] == (Status.FAILED, FlagResult.SET)


def test_the_second_try_sends_only_what_is_missing_and_remembers_the_rest() -> None:
    with_note = plan_person(claim(row(1, Kind.UNSUBSCRIBE, note_id="002")), Live(opted_out=False), SETTINGS, NOW)
    assert [write.write.operation for write in with_note.writes] == [FLAG]
    with_flag = plan_person(
        claim(row(1, Kind.UNSUBSCRIBE, flag_result=FlagResult.SET), ours=True), Live(opted_out=True), SETTINGS, NOW
    )
    assert [write.write.operation for write in with_flag.writes] == [NOTE]
    assert settled(with_flag, {(1, NOTE): OK})[:2] == (Status.WRITTEN, FlagResult.SET)


def test_what_salesforce_holds_already_is_settled_without_a_call() -> None:
    plan = plan_person(
        claim(row(1, Kind.UNSUBSCRIBE, note_id="002", flag_result=FlagResult.SET)), Live(opted_out=True), SETTINGS, NOW
    )
    assert plan.writes == ()
    assert [s.status for s in plan.settled] == [Status.WRITTEN]


def test_retries_are_bounded() -> None:
    busy = RowResult(Answer.REJECTED, code="UNABLE_TO_LOCK_ROW", message="busy")
    assert settled(unsubscribed(attempts=MAX_ATTEMPTS - 2), {(1, FLAG): busy, (1, NOTE): OK})[0] is Status.WAITING
    assert settled(unsubscribed(attempts=MAX_ATTEMPTS - 1), {(1, FLAG): busy, (1, NOTE): OK})[0] is Status.FAILED


def test_a_try_that_never_left_burns_no_attempt() -> None:
    not_sent = RowResult(Answer.NOT_SENT, code="REQUEST_LIMIT_EXCEEDED", message="quota")
    (settlement,) = settle_person(unsubscribed(), {(1, FLAG): not_sent, (1, NOTE): not_sent}, NOW, JITTER)
    assert not settlement.attempted
    assert settlement.next_attempt_at is not None
    assert settlement.next_attempt_at > NOW


@pytest.mark.parametrize("code", ["ENTITY_IS_DELETED", "NOT_FOUND"])
def test_a_record_that_is_gone_fails_with_what_to_do(code: str) -> None:
    plan = plan_person(claim(row(1, Kind.UNSUBSCRIBE)), Gone(code), SETTINGS, NOW)
    (settlement,) = plan.settled
    assert (settlement.status, settlement.error_code) == (Status.FAILED, code)
    assert settlement.advice


def test_a_refused_resubscribe_writes_nothing_and_names_the_place() -> None:
    plan = plan_person(claim(row(1, Kind.RESUBSCRIBE)), Live(opted_out=True), SETTINGS, NOW)
    (settlement,) = plan.settled
    assert plan.writes == ()
    assert settlement.status is Status.REFUSED
    assert "clear Email Opt Out on the Contact in Salesforce" in (settlement.advice or "")


def test_a_resubscribe_waits_while_an_older_write_may_still_land() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN),)
    waiting = claim(row(2, Kind.RESUBSCRIBE), past=past, ours=True)._replace(verify_after=NOW + timedelta(minutes=1))
    plan = plan_person(waiting, Live(opted_out=True), SETTINGS, NOW)
    assert plan.writes == ()
    assert [(s.status, s.next_attempt_at) for s in plan.settled] == [(Status.WAITING, NOW + timedelta(minutes=1))]
    late = plan_person(waiting, Live(opted_out=True), SETTINGS, NOW + timedelta(minutes=2))
    assert late.writes == ()  # the flag was looked at before the time was over
    cleared = plan_person(waiting._replace(verify_after=None), Live(opted_out=True), SETTINGS, NOW)
    assert cleared.writes[0].write.fields == {"HasOptedOutOfEmail": False}


def test_the_flag_is_not_set_behind_a_resubscribe_that_waits_and_is_half_done() -> None:
    taken = (
        row(1, Kind.UNSUBSCRIBE),
        row(2, Kind.RESUBSCRIBE, status=Status.WAITING, occurred_at=NOW + timedelta(hours=1)),
    )
    both = claim(*taken)._replace(verify_after=NOW + timedelta(minutes=1))
    alone = plan_person(both, Live(opted_out=False), SETTINGS, NOW)
    assert [write.write.operation for write in alone.writes] == [FLAG, Operation.CREATE_NOTE]
    noted = tuple(event._replace(noted=event.id == 2) for event in both.events)
    begun = plan_person(both._replace(events=noted), Live(opted_out=False), SETTINGS, NOW)
    assert [write.write.operation for write in begun.writes] == [Operation.CREATE_NOTE]
    assert [each.status for each in begun.settled] == [Status.WAITING]


def test_a_resubscribe_is_not_refused_while_nobody_knows_whether_our_unsubscribe_arrived() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.UNKNOWN),)
    until = NOW + timedelta(minutes=10)
    doubt = Doubt(row(1, Kind.UNSUBSCRIBE), frozenset(), frozenset(), until)
    for held in (Live(opted_out=True), Live(opted_out=False)):
        plan = plan_person(claim(row(2, Kind.RESUBSCRIBE), past=past)._replace(doubts=(doubt,)), held, SETTINGS, NOW)
        assert all(write.write.operation is FLAG for write in plan.writes)  # to opt out is always right
        assert plan.settled[0].status is Status.WAITING
        settlements = [*plan.settled, *settle_person(plan, {write.key: OK for write in plan.writes}, NOW, JITTER)]
        assert [(each.status, each.next_attempt_at) for each in settlements] == [
            (Status.WAITING, until),
            (Status.UNKNOWN, until),
        ]


def test_a_resubscribe_waits_while_an_unsubscribe_that_may_have_set_the_flag_is_left_to_a_person() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.FAILED),)
    left = claim(row(2, Kind.RESUBSCRIBE), past=past)._replace(left=(1,))
    plan = plan_person(left, Live(opted_out=True), SETTINGS, NOW)
    assert plan.writes == ()
    assert [(each.status, each.error_code) for each in plan.settled] == [(Status.WAITING, "UNSUBSCRIBE_LEFT")]
    assert "writeback 1" in (plan.settled[0].advice or "")
    ours = plan_person(left._replace(flag_is_ours=True), Live(opted_out=True), SETTINGS, NOW)
    assert [write.write.operation for write in ours.writes] == [Operation.CLEAR_FLAG, Operation.CREATE_NOTE]


def test_of_two_resubscribes_none_is_decided_while_an_older_write_may_still_land() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN),)
    two = claim(row(2, Kind.RESUBSCRIBE), row(3, Kind.RESUBSCRIBE), past=past, ours=True)
    doubtful = two._replace(verify_after=NOW + timedelta(minutes=1))
    plan = plan_person(doubtful, Live(opted_out=True), SETTINGS, NOW)
    assert plan.writes == ()
    assert [settlement.status for settlement in plan.settled] == [Status.WAITING] * 2


def test_a_flag_asserted_again_for_an_older_event_is_evidence_too() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW + timedelta(hours=1), Status.WRITTEN),)
    plan = plan_person(claim(row(2, Kind.UNSUBSCRIBE), past=past), Live(opted_out=False), SETTINGS, NOW)
    changes = origin_changes(plan, {write.key: OK for write in plan.writes})
    assert {(change.writeback_id, change.flag_set) for change in changes} == {(1, True), (2, False)}


def test_a_suppressed_resubscribe_does_not_take_the_evidence_away_that_the_flag_is_ours() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN),)
    suppressed = WritebackSettings(suppress_opt_out_flag=True)
    plan = plan_person(claim(row(2, Kind.RESUBSCRIBE), past=past, ours=True), Live(opted_out=True), suppressed, NOW)
    assert origin_changes(plan, {write.key: OK for write in plan.writes}) == []


def test_an_unsubscribe_never_waits_for_an_older_write() -> None:
    urgent = claim(row(1, Kind.UNSUBSCRIBE))._replace(verify_after=NOW + timedelta(minutes=1))
    assert plan_person(urgent, Live(opted_out=False), SETTINGS, NOW).writes[0].write.operation is FLAG


def test_everybodys_flags_go_before_anybodys_notes() -> None:
    writes = in_sending_order([unsubscribed(), unsubscribed()])
    assert [write.write.operation for _, write in writes] == [FLAG, FLAG, NOTE, NOTE]


def test_the_origin_ledger_learns_only_what_was_confirmed() -> None:
    plan = unsubscribed()
    lost = RowResult(Answer.UNKNOWN)
    assert origin_changes(plan, {}) == []
    assert origin_changes(plan, {(1, FLAG): lost, (1, NOTE): OK}) == []
    (change,) = origin_changes(plan, {(1, FLAG): OK, (1, NOTE): lost})
    assert (change.opted_out, change.flag_set, change.at) == (True, True, NOW + timedelta(minutes=1))


def test_a_cleared_flag_ends_the_opt_out_even_if_the_note_is_still_owed() -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN),)
    plan = plan_person(claim(row(2, Kind.RESUBSCRIBE), past=past, ours=True), Live(opted_out=True), SETTINGS, NOW)
    (change,) = origin_changes(plan, {(2, Operation.CLEAR_FLAG): OK, (2, NOTE): RowResult(Answer.UNKNOWN)})
    assert not change.opted_out


@pytest.mark.parametrize("flag", [RowResult(Answer.UNKNOWN), RowResult(Answer.REJECTED, code="UNABLE_TO_LOCK_ROW")])
def test_a_superseded_resubscribe_ends_no_opt_out_while_the_flag_that_we_set_is_not_cleared(flag: RowResult) -> None:
    past = (OptOutEvent(1, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN),)
    both = claim(row(2, Kind.RESUBSCRIBE), row(3, Kind.RESUBSCRIBE), past=past, ours=True)
    plan = plan_person(both, Live(opted_out=True), SETTINGS, NOW)
    assert origin_changes(plan, {(3, Operation.CLEAR_FLAG): flag, (2, NOTE): OK, (3, NOTE): OK}) == []


def test_the_back_off_grows_and_stays_within_its_bounds() -> None:
    waits = [(retry_at(attempts, NOW, JITTER) - NOW).total_seconds() for attempts in range(1, MAX_ATTEMPTS + 1)]
    assert 15 <= waits[0] <= 30
    assert max(waits) <= 8 * 3600
    assert 12 * 3600 <= sum(waits) <= 36 * 3600


def test_the_payload_hash_is_of_what_is_sent() -> None:
    one, other = unsubscribed().writes[1].write, unsubscribed(reason="Bad Email").writes[1].write
    assert payload_hash(one) == payload_hash(unsubscribed().writes[1].write) != payload_hash(other)
    assert payload_hash(one._replace(linked_to="003")) != payload_hash(one._replace(linked_to="00Q"))
