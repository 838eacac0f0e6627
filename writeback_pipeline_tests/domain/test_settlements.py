"""What is recorded of one writeback, whole: every field of its settlement, for each way that it can end or go on."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from writeback_pipeline.domain.ledger import QUIET, Claim, Doubt, OriginChange, Settlement
from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.outcomes import classify
from writeback_pipeline.domain.planning import (
    MAX_ATTEMPTS,
    PersonPlan,
    cannot_follow,
    foreseen_refusals,
    has_resubscribes,
    lost_flag,
    payload_hash,
    plan_person,
    reopened,
    retry_at,
    settle_person,
)
from writeback_pipeline.domain.reading_back import read_back, record_keys
from writeback_pipeline.domain.records import Answer, FoundNote, Gone, Live, Operation, RowResult, RowWrite
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback, record_key
from writeback_pipeline_tests.domain.test_planning import NOTE, NOW, OK, PERSON, SETTINGS, claim, row

FLAG = Operation.SET_FLAG
LEASE_END = NOW + timedelta(minutes=3)
READABLE = NOW + timedelta(minutes=14)
NOT_SENT = RowResult(Answer.NOT_SENT, code="SERVER_UNAVAILABLE", message="out of order")
LOST = RowResult(Answer.UNKNOWN, code="NO_ANSWER", message="no answer in time")
READ_BACK = "Salesforce gave no answer. What it holds is read back before anything is sent again."


class Half(random.Random):
    """Chance that always falls in the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def told(status: Status, id_: int = 1, **more: Any) -> Settlement:
    return Settlement(id_, PERSON.salesforce_id, 1, status, person=PERSON)._replace(**more)


def doubted(*taken: Writeback, kind: Kind = Kind.UNSUBSCRIBE, flag: bool | None = None, **more: Any) -> Claim:
    """A claim with an event 9 of which nobody knows what became."""
    unknown = row(9, kind, status=Status.UNKNOWN, attempts=1, error_code="NO_ANSWER", error_message="late", **more)
    before = claim(*taken)
    event = OptOutEvent(9, kind, unknown.occurred_at, Status.UNKNOWN)
    return before._replace(
        events=(*before.events, event), doubts=(Doubt(unknown, frozenset(), frozenset(), READABLE, flag),)
    )


def planned(claimed: Claim, *, opted_out: bool = False, settings: WritebackSettings = SETTINGS) -> PersonPlan:
    return plan_person(claimed, Live(opted_out), settings, NOW)


def ended(plan: PersonPlan, flag: RowResult, note: RowResult = OK) -> Settlement:
    (settlement,) = settle_person(plan, {(1, FLAG): flag, (1, NOTE): note}, NOW, Half())
    return settlement


@pytest.mark.parametrize(
    ("code", "message"),
    [("ENTITY_IS_DELETED", "entity is deleted"), ("NOT_FOUND", "no such record in Salesforce")],
)
def test_of_a_record_that_is_gone(code: str, message: str) -> None:
    plan = plan_person(doubted(row(1, Kind.UNSUBSCRIBE)), Gone(code), SETTINGS, NOW)
    assert plan == PersonPlan(plan.claim, None, None, (), plan.settled)
    assert plan.settled == (
        told(
            Status.FAILED, error_code=code, error_message=message, advice=classify(code).advice, attempted=True
        ),
        told(
            Status.UNKNOWN, 9, next_attempt_at=READABLE, error_code="NO_ANSWER", error_message="late", advice=READ_BACK
        ),
    )  # fmt: skip
    assert settle_person(plan, {}, NOW, Half()) == []


def test_of_a_person_who_cannot_be_followed() -> None:
    later = max(READABLE, NOW + QUIET)
    assert cannot_follow(doubted(row(1, Kind.RESUBSCRIBE), note_id="002"), "round in a circle", NOW) == [
        told(
            Status.UNKNOWN,
            9,
            note_id="002",
            next_attempt_at=later,
            error_code="NO_ANSWER",
            error_message="late",
            advice=READ_BACK,
        ),
        told(
            Status.FAILED,
            error_code="REDIRECT_LOST",
            error_message="round in a circle",
            advice="Correct the person's Salesforce id on the platform and queue the change again, under a new key.",
        ),
    ]
    soon = doubted()._replace(doubts=(replace(doubted().doubts[0], readable_at=NOW),))
    assert [each.next_attempt_at for each in cannot_follow(soon, "lost", NOW)] == [NOW + QUIET]


def test_of_a_resubscribe_that_waits_for_an_older_write() -> None:
    plan = planned(claim(row(1, Kind.RESUBSCRIBE))._replace(verify_after=READABLE), opted_out=True)
    assert plan.settled == (
        told(
            Status.WAITING,
            next_attempt_at=READABLE,
            error_code="OLDER_WRITE_IN_DOUBT",
            advice="An earlier write for this person may still arrive in Salesforce; the flag is cleared after that.",
        ),
    )
    assert plan.writes == ()


def test_of_what_needs_no_write() -> None:
    done = row(1, Kind.UNSUBSCRIBE, note_id="002", flag_result=FlagResult.SET)
    plan = planned(claim(done, ours=True), opted_out=True)
    assert plan.settled == (told(Status.WRITTEN, flag_result=FlagResult.SET, written_at=NOW),)


def test_of_what_was_confirmed() -> None:
    written = told(
        Status.WRITTEN, flag_result=FlagResult.SET, note_id=OK.record_id, written_at=NOW, attempted=True
    )  # fmt: skip
    assert ended(planned(claim(row(1, Kind.UNSUBSCRIBE))), OK) == written


def test_of_what_got_no_answer() -> None:
    assert ended(planned(claim(row(1, Kind.UNSUBSCRIBE))), OK, LOST) == told(
        Status.UNKNOWN,
        flag_result=FlagResult.SET,
        next_attempt_at=NOW + timedelta(seconds=22.5),
        error_code="NO_ANSWER",
        error_message="no answer in time",
        advice=READ_BACK,
        attempted=True,
    )


def test_of_a_note_whose_key_is_there_already() -> None:
    taken = RowResult(Answer.REJECTED, code="DUPLICATE_VALUE", message="duplicate")
    settlement = ended(planned(claim(row(1, Kind.UNSUBSCRIBE))), OK, taken)
    assert settlement == told(
        Status.UNKNOWN,
        flag_result=FlagResult.SET,
        next_attempt_at=NOW,
        error_code="DUPLICATE_VALUE",
        advice="Its key record is in Salesforce already: its Note is read back.",
        attempted=True,
    )
    last = planned(claim(row(1, Kind.UNSUBSCRIBE, attempts=MAX_ATTEMPTS - 1)))
    assert ended(last, OK, taken).status is Status.FAILED


def test_of_what_was_not_sent() -> None:
    base = told(
        Status.WAITING,
        next_attempt_at=NOW + timedelta(seconds=22.5),
        error_code="SERVER_UNAVAILABLE",
        error_message="out of order",
        advice=classify("SERVER_UNAVAILABLE").advice,
    )
    assert ended(planned(claim(row(1, Kind.UNSUBSCRIBE))), NOT_SENT, NOT_SENT) == base
    unheard_of = NOT_SENT._replace(code="NEVER_HEARD_OF")
    assert ended(planned(claim(row(1, Kind.UNSUBSCRIBE))), unheard_of, unheard_of) == base._replace(
        error_code="NEVER_HEARD_OF",
        advice="It was not sent, so nothing happened in Salesforce; it is tried again by itself.",
    )


def test_of_what_was_refused_the_trouble_that_needs_a_person_comes_first() -> None:
    busy = RowResult(Answer.REJECTED, code="UNABLE_TO_LOCK_ROW", message="busy")
    refused = RowResult(Answer.REJECTED, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no")
    plan = planned(claim(row(1, Kind.UNSUBSCRIBE, attempts=2)))
    assert ended(plan, busy, refused) == told(
        Status.FAILED,
        error_code=refused.code,
        error_message="no",
        advice=classify("FIELD_CUSTOM_VALIDATION_EXCEPTION").advice,
        attempted=True,
    )
    assert ended(plan, busy) == told(
        Status.WAITING,
        note_id=OK.record_id,
        next_attempt_at=retry_at(3, NOW, Half()),
        error_code="UNABLE_TO_LOCK_ROW",
        error_message="busy",
        advice=classify("UNABLE_TO_LOCK_ROW").advice,
        attempted=True,
    )
    of_nothing = RowResult(Answer.REJECTED)
    assert ended(plan, of_nothing).status is Status.FAILED


def test_of_an_unsubscribe_in_doubt_whose_flag_is_set_meanwhile() -> None:
    plan = planned(doubted())
    base = told(
        Status.UNKNOWN,
        9,
        flag_result=FlagResult.SET,
        next_attempt_at=READABLE,
        error_code="NO_ANSWER",
        error_message="late",
        advice=READ_BACK,
        attempted=True,
    )

    def after(answer: RowResult) -> list[Settlement]:
        return settle_person(plan, {(9, FLAG): answer}, NOW, Half())

    again = min(retry_at(2, NOW, Half()), READABLE)
    assert plan.settled == ()
    assert after(OK) == [base]
    assert after(LOST) == [base._replace(flag_result=None, next_attempt_at=min(again, LEASE_END + QUIET))]
    assert after(NOT_SENT) == [base._replace(flag_result=None, next_attempt_at=again)]


def test_an_unsubscribe_whose_flag_is_gone_is_taken_again() -> None:
    past = (OptOutEvent(7, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN, FlagResult.SET, True),)
    kept = claim(past=past, ours=True)
    assert lost_flag(kept, Live(opted_out=False), SETTINGS) == 7
    assert lost_flag(kept, Live(opted_out=True), SETTINGS) is None
    assert lost_flag(kept, Gone("NOT_FOUND"), SETTINGS) is None
    assert lost_flag(claim(row(1, Kind.UNSUBSCRIBE)), Live(opted_out=False), SETTINGS) is None
    assert lost_flag(doubted(), Live(opted_out=False), SETTINGS) is None
    taken = row(7, Kind.UNSUBSCRIBE)
    again = reopened(kept._replace(events=(*past, OptOutEvent(8, Kind.RESUBSCRIBE, NOW, Status.REFUSED))), taken)
    assert again.taken == (taken,)
    assert [(event.id, event.status) for event in again.events] == [(7, Status.PENDING), (8, Status.REFUSED)]


def test_refusals_that_can_be_foreseen_are_told_with_their_advice() -> None:
    resubscribe, unsubscribe = row(2, Kind.RESUBSCRIBE), row(1, Kind.UNSUBSCRIBE)
    ((foreseen, advice),) = foreseen_refusals(claim(resubscribe), SETTINGS, elsewhere=True)
    assert foreseen == resubscribe
    assert advice.startswith("The opt-out was made in Salesforce: clear Email Opt Out on the Contact")
    assert foreseen_refusals(claim(unsubscribe, resubscribe), SETTINGS, elsewhere=False) == []
    past = (OptOutEvent(7, Kind.UNSUBSCRIBE, NOW, Status.WRITTEN, FlagResult.SET, True),)
    assert foreseen_refusals(claim(resubscribe, past=past, ours=True), SETTINGS, elsewhere=False) == []


def test_a_resubscribe_counts_while_it_is_in_doubt_too() -> None:
    assert not has_resubscribes(doubted(row(1, Kind.UNSUBSCRIBE)))
    assert has_resubscribes(doubted(kind=Kind.RESUBSCRIBE))
    assert has_resubscribes(claim(row(1, Kind.RESUBSCRIBE)))


def test_a_payload_differs_in_every_part_that_is_sent() -> None:
    write = RowWrite(FLAG, "Contact", {"HasOptedOutOfEmail": True}, record_id="003")
    others = [
        write._replace(sobject="Lead"),
        write._replace(record_id="004"),
        write._replace(external_id=("Key__c", "1")),
        write._replace(linked_to="003"),
        write._replace(record_key="1"),
        write._replace(fields={"HasOptedOutOfEmail": False}),
    ]
    assert len({payload_hash(each) for each in (write, *others)}) == 7
    assert payload_hash(write) == payload_hash(write._replace(operation=Operation.CLEAR_FLAG))


@pytest.mark.parametrize("kind", [Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE])
@pytest.mark.parametrize("is_there", [True, False])
def test_of_what_was_read_back(kind: Kind, is_there: bool) -> None:
    wanted = kind is Kind.UNSUBSCRIBE
    before = doubted(row(1, Kind.UNSUBSCRIBE), kind=kind, flag=wanted)
    written = before.doubts[0].writeback
    keyed = {record_key(written): "002000000000001AAA"} if is_there else {}
    found = read_back(before, Live(wanted), {}, keyed, SETTINGS, READABLE)
    result = FlagResult.SET if wanted else FlagResult.CLEARED
    note_id = "002000000000001AAA" if is_there else None
    present, absent = (
        "Read back: its Note is in Salesforce; what else it needs is done next.",
        "Read back: it did not reach Salesforce, so it is sent again.",
    )
    assert found.settlements == (
        Settlement(
            9,
            PERSON.salesforce_id,
            1,
            Status.WAITING,
            flag_result=result,
            note_id=note_id,
            next_attempt_at=READABLE,
            error_code="NO_ANSWER",
            error_message="late",
            advice=present if is_there else absent,
        ),
    )
    assert found.origins == (
        OriginChange(PERSON.salesforce_id, opted_out=wanted, at=written.occurred_at, writeback_id=9, flag_set=wanted),
    )
    resolved = written._replace(
        status=Status.WAITING, flag_result=result, note_id=note_id, next_attempt_at=READABLE
    )  # fmt: skip
    event = OptOutEvent(9, kind, written.occurred_at, Status.WAITING, result, is_there)
    assert found.claim == before._replace(
        taken=(*before.taken, resolved),
        doubts=(),
        events=(before.events[0], event),
        flag_is_ours=wanted,
    )


def test_the_note_of_a_key_record_that_the_ledger_knows_was_deleted_by_an_undo() -> None:
    before = doubted()._replace(known_notes=frozenset({"002000000000001AAA"}))
    keyed = dict.fromkeys(record_keys(before), "002000000000001AAA")
    (settlement,) = read_back(before, Live(opted_out=False), {}, keyed, SETTINGS, READABLE).settlements
    assert settlement.note_id is None


def test_of_two_with_one_note_the_other_is_absent() -> None:
    one = row(1, Kind.UNSUBSCRIBE, status=Status.UNKNOWN)._replace(occurred_at=NOW)
    other = one._replace(id=2)
    title, where = "a title", PERSON.salesforce_id
    doubts = tuple(
        Doubt(each, frozenset({title}), frozenset({where}), NOW) for each in (other, one)
    )  # fmt: skip
    both = claim()._replace(doubts=doubts)
    notes = {(where, title): [FoundNote("002000000000005AAA", title)]}
    settlements = read_back(both, Live(opted_out=True), notes, {}, SETTINGS, NOW).settlements
    assert {each.writeback_id: each.note_id for each in settlements} == {1: "002000000000005AAA", 2: None}
