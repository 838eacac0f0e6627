"""What every store promises about the journal and about recording what came of it."""

from datetime import timedelta

import pytest

from writeback_pipeline.domain.ledger import QUIET, Claim, OriginChange
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import FlagResult, IllegalTransition, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    NOW,
    answered,
    claim_one,
    contact,
    everything,
    intent,
    journalled,
    opted_out,
    resubscribe,
    settled,
    statuses,
    unsubscribe,
    written,
)


def claimed(store: Store, people: int = 1) -> list[Claim]:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in range(people)], NOW)
    return store.claim("worker", NOW, limit=people)


def test_an_intent_is_kept_whole_and_its_row_is_sending(store: Store) -> None:
    (claim,) = claimed(store)
    wanted = [intent(claim, Operation.SET_FLAG, run_id="run-1"), intent(claim, Operation.CREATE_NOTE, run_id="run-1")]
    ids = journalled(store, wanted)
    assert ids == sorted(ids)
    attempts = store.attempts_of([claim.taken[0].id])
    assert [(attempt.id, attempt.intent, attempt.outcome) for attempt in attempts] == [
        (id_, each, None) for id_, each in zip(ids, wanted, strict=True)
    ]
    (row,) = everything(store)
    assert (row.status, row.run_id, row.attempts) == (Status.SENDING, "run-1", 0)


def test_a_person_who_is_no_longer_leased_gets_no_attempt_and_the_others_do(store: Store) -> None:
    mine, lost, ran_out = claimed(store, people=3)
    stale = intent(lost)._replace(epoch=lost.epoch - 1)
    late = intent(ran_out, at=ran_out.lease_until)
    ids = store.journal([intent(mine, Operation.SET_FLAG), stale, late, intent(mine)])
    assert [id_ is None for id_ in ids] == [False, True, True, False]
    rows = {row.salesforce_id: row.status for row in everything(store)}
    assert rows == {
        mine.person.salesforce_id: Status.SENDING,
        lost.person.salesforce_id: Status.PENDING,
        ran_out.person.salesforce_id: Status.PENDING,
    }
    assert store.attempts_of([lost.taken[0].id, ran_out.taken[0].id]) == []


def test_nothing_may_be_sent_after_the_lease_has_run_out(store: Store) -> None:
    (claim,) = claimed(store)
    too_long = intent(claim)._replace(send_deadline=claim.lease_until + timedelta(microseconds=1))
    assert store.journal([too_long]) == [None]


def test_a_note_is_not_journalled_for_a_row_that_is_written(store: Store) -> None:
    (first, other) = claimed(store, people=2)
    written(store, first)
    store.enqueue([unsubscribe(first.person, NOW + MINUTE)], NOW)
    again = claim_one(store)
    with pytest.raises(IllegalTransition, match="from written to sending"):
        store.journal([intent(other), intent(again, row=first.taken[0])])
    assert store.attempts_of([other.taken[0].id]) == []
    assert statuses(store).count(Status.SENDING) == 0


def test_a_flag_may_be_asserted_again_for_an_event_that_is_written(store: Store) -> None:
    (first,) = claimed(store)
    written(store, first)
    store.enqueue([unsubscribe(first.person, NOW + MINUTE)], NOW)
    again = claim_one(store)
    journalled(store, [intent(again, Operation.SET_FLAG, row=first.taken[0])])
    assert statuses(store) == [Status.WRITTEN, Status.PENDING]


def test_answers_and_settlements_are_recorded_together(store: Store) -> None:
    claim, refused = claimed(store, people=2)
    ids = journalled(store, [intent(claim, Operation.SET_FLAG), intent(claim), intent(refused)])
    done = settled(claim)._replace(flag_result=FlagResult.SET, note_id="002000000000001AAA", run_id="run-1")
    failed = settled(refused, Status.FAILED)._replace(
        error_code="FIELD_CUSTOM_VALIDATION_EXCEPTION",
        error_message="Ungültig: \ud83d\ude00 cut in the middle \ud83d",
        advice="Satisfy the rule.",
    )
    outcomes = [
        answered(ids[0]),
        answered(ids[1], record_id="002000000000001AAA"),
        answered(ids[2], Answer.REJECTED, code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="nul \0"),
    ]
    assert store.record(outcomes, [done, failed], [opted_out(claim)], NOW, release=True) == 0
    rows = {row.salesforce_id: row for row in everything(store)}
    row = rows[claim.person.salesforce_id]
    assert (row.status, row.flag_result, row.note_id) == (Status.WRITTEN, FlagResult.SET, "002000000000001AAA")
    assert (row.attempts, row.run_id, row.written_at) == (1, "run-1", NOW)
    row = rows[refused.person.salesforce_id]
    assert (row.status, row.error_code, row.advice) == (Status.FAILED, failed.error_code, "Satisfy the rule.")
    assert row.error_message == "Ungültig: 😀 cut in the middle \ufffd"
    answers = [attempt.outcome for attempt in store.attempts_of([claim.taken[0].id, refused.taken[0].id])]
    assert answers == [*outcomes[:2], outcomes[2]._replace(message="nul \ufffd")]


def test_what_a_settlement_leaves_out_keeps_its_earlier_value(store: Store) -> None:
    (claim,) = claimed(store)
    half = settled(claim, Status.WAITING)._replace(flag_result=FlagResult.SET, error_code="UNABLE_TO_LOCK_ROW")
    store.record([], [half], [], NOW, release=True)
    again = claim_one(store, NOW + 10 * MINUTE)
    assert again.taken[0].flag_result is FlagResult.SET
    store.record([], [settled(again)._replace(note_id="002000000000001AAA")], [], NOW, release=True)
    (row,) = everything(store)
    assert (row.flag_result, row.note_id) == (FlagResult.SET, "002000000000001AAA")
    assert (row.error_code, row.next_attempt_at, row.attempts) == (None, None, 2)


def test_an_outcome_is_recorded_once(store: Store) -> None:
    (claim,) = claimed(store)
    (attempt,) = journalled(store, [intent(claim)])
    store.record([answered(attempt, code="FIRST")], [], [], NOW, release=False)
    store.record([answered(attempt, Answer.REJECTED, code="SECOND")], [], [], NOW, release=False)
    (kept,) = store.attempts_of([claim.taken[0].id])
    assert kept.outcome == answered(attempt, code="FIRST")


def test_a_settlement_under_an_older_epoch_writes_nothing_and_is_counted(store: Store) -> None:
    mine, lost = claimed(store, people=2)
    stale = settled(lost)._replace(epoch=lost.epoch - 1)
    change = opted_out(mine)._replace(person_id=lost.person.salesforce_id)
    assert store.record([], [settled(mine), stale], [change], NOW, release=True) == 1
    assert sorted(statuses(store)) == [Status.PENDING, Status.WRITTEN]
    assert store.claim("second", NOW, limit=9) == []
    (theirs,) = store.preview(NOW, limit=1, people=[lost.person.salesforce_id])
    assert not theirs.flag_is_ours


def test_an_illegal_status_undoes_the_whole_call(store: Store) -> None:
    one, two = claimed(store, people=2)
    with pytest.raises(IllegalTransition, match="from pending to pending"):
        store.record([], [settled(one), settled(two, Status.PENDING)], [opted_out(one)], NOW, release=True)
    assert statuses(store) == [Status.PENDING] * 2
    assert store.claim("second", NOW, limit=9) == []


def test_what_waits_may_go_on_waiting(store: Store) -> None:
    (claim,) = claimed(store)
    store.record([], [settled(claim, Status.WAITING)], [], NOW, release=True)
    again = claim_one(store, NOW + 10 * MINUTE)
    until = NOW + 60 * MINUTE
    store.record([], [settled(again, Status.WAITING)._replace(next_attempt_at=until)], [], NOW, release=True)
    assert everything(store)[0].next_attempt_at == until


def test_leases_are_kept_until_they_are_released(store: Store) -> None:
    (claim,) = claimed(store)
    store.enqueue([resubscribe(claim.person)], NOW)
    (attempt,) = journalled(store, [intent(claim)])
    store.record([answered(attempt)], [], [], NOW, release=False)
    assert store.claim("second", NOW, limit=9) == []
    store.record([], [settled(claim)], [], NOW, release=True)
    assert claim_one(store, owner="second").taken[0].kind is Kind.RESUBSCRIBE


def test_a_settlement_can_move_a_row_to_where_the_person_is(store: Store) -> None:
    (claim,) = claimed(store)
    store.record([], [settled(claim)._replace(person=contact(50))], [], NOW, release=True)
    (row,) = everything(store)
    assert (row.object_type, row.salesforce_id) == (ObjectType.CONTACT, contact(50).salesforce_id)
    assert row.redirected_from == claim.person.salesforce_id


@pytest.mark.parametrize("operation", [Operation.SET_FLAG, Operation.CLEAR_FLAG])
@pytest.mark.parametrize(
    ("answer", "in_doubt"),
    [(Answer.OK, False), (Answer.REJECTED, False), (Answer.NOT_SENT, False), (Answer.UNKNOWN, True)],
)
def test_only_a_flag_write_without_an_answer_leaves_the_flag_in_doubt(
    store: Store, operation: Operation, answer: Answer, in_doubt: bool
) -> None:
    (claim,) = claimed(store)
    (attempt,) = journalled(store, [intent(claim, operation)])
    store.record([answered(attempt, answer)], [settled(claim, Status.WAITING)], [], NOW, release=True)
    again = claim_one(store, NOW + 10 * MINUTE)
    assert again.verify_after == (claim.lease_until + QUIET if in_doubt else None)


def test_a_confirmed_write_does_not_end_the_doubt_about_an_older_one(store: Store) -> None:
    (claim,) = claimed(store)
    (attempt,) = journalled(store, [intent(claim, Operation.SET_FLAG)])
    store.record([answered(attempt, Answer.UNKNOWN)], [settled(claim, Status.UNKNOWN)], [], NOW, release=True)
    store.enqueue([unsubscribe(claim.person, NOW + MINUTE)], NOW)
    second = claim_one(store, NOW + MINUTE)
    (attempt,) = journalled(store, [intent(second, Operation.SET_FLAG)])
    store.record([answered(attempt)], [settled(second)], [], NOW + MINUTE, release=True)
    store.enqueue([resubscribe(claim.person, NOW + 2 * MINUTE)], NOW)
    assert claim_one(store, NOW + 2 * MINUTE).verify_after == claim.lease_until + QUIET


def test_the_flag_is_ours_while_an_opt_out_stands_that_set_it(store: Store) -> None:
    (claim,) = claimed(store)
    written(store, claim)
    store.enqueue([unsubscribe(claim.person, NOW + MINUTE)], NOW)
    found_set = claim_one(store)
    store.record([], [settled(found_set)], [opted_out(found_set, flag_set=False)], NOW, release=True)
    store.enqueue([resubscribe(claim.person, NOW + 2 * MINUTE)], NOW)
    undoing = claim_one(store)
    assert undoing.flag_is_ours
    written(store, undoing)
    store.enqueue([unsubscribe(claim.person, NOW + 3 * MINUTE)], NOW)
    assert not claim_one(store).flag_is_ours


def test_event_times_decide_what_stands_not_the_order_of_recording(store: Store) -> None:
    person = contact(1)
    store.enqueue([unsubscribe(person, NOW - 9 * MINUTE), resubscribe(person, NOW)], NOW)
    written(store, claim_one(store))
    store.enqueue([unsubscribe(person, NOW - 5 * MINUTE)], NOW)  # older than the resubscribe, and late
    written(store, claim_one(store))
    (known,) = store.preview(NOW, limit=1, people=[person.salesforce_id])
    assert not known.flag_is_ours
    store.enqueue([unsubscribe(person, NOW, key="same instant")], NOW)
    written(store, claim_one(store))
    (known,) = store.preview(NOW, limit=1, people=[person.salesforce_id])
    assert known.flag_is_ours


def test_recording_an_origin_twice_changes_nothing(store: Store) -> None:
    person = contact(1)
    store.enqueue([unsubscribe(person, NOW - 9 * MINUTE), resubscribe(person, NOW - MINUTE)], NOW)
    claim = claim_one(store)
    first, second = claim.taken
    origins = [opted_out(claim, row=first), opted_out(claim, row=second)]
    attempt, other = journalled(store, [intent(claim, row=first), intent(claim, row=second)])
    store.record([answered(attempt)], [], origins, NOW, release=False)
    store.record([answered(other)], [settled(claim, row=row) for row in claim.taken], origins, NOW, release=True)
    (known,) = store.preview(NOW, limit=1, people=[person.salesforce_id])
    assert not known.flag_is_ours


def test_the_evidence_of_a_flag_we_set_outlives_a_second_try_for_the_note(store: Store) -> None:
    (claim,) = claimed(store)
    store.record([], [settled(claim, Status.WAITING)], [opted_out(claim, flag_set=True)], NOW, release=True)
    again = claim_one(store, NOW + 10 * MINUTE)
    store.record([], [settled(again)], [opted_out(again, flag_set=False)], NOW, release=True)
    (known,) = store.preview(NOW, limit=1, people=[claim.person.salesforce_id])
    assert known.flag_is_ours


def test_an_origin_counts_only_with_an_outcome_or_settlement_of_its_person(store: Store) -> None:
    (claim,) = claimed(store)
    alone = OriginChange(claim.person.salesforce_id, True, NOW, claim.taken[0].id, flag_set=True)
    store.record([], [], [alone], NOW, release=False)
    (known,) = store.preview(NOW, limit=1, people=[claim.person.salesforce_id])
    assert not known.flag_is_ours
