"""What every store promises about leases: who is served by whom, for how long, and what a dead worker leaves behind."""

from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.domain.ledger import ALONE_AFTER, LEASE, QUIET, SUSPECT_AFTER
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status
from writeback_pipeline.store.recovery import WORKER_LOST
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
    lead,
    opted_out,
    resubscribe,
    settled,
    statuses,
    unsubscribe,
    written,
)

LATER = NOW + LEASE + timedelta(seconds=1)


def test_a_claim_carries_everything_known_of_the_person(store: Store) -> None:
    person = lead(1)
    store.enqueue([unsubscribe(person, NOW - 9 * MINUTE)], NOW)
    written(store, claim_one(store))
    store.enqueue([unsubscribe(person, NOW - MINUTE), resubscribe(person, NOW - 5 * MINUTE)], NOW)
    claim = claim_one(store)
    assert claim.person == person
    assert claim.lease_until == NOW + LEASE
    assert [row.kind for row in claim.taken] == [Kind.RESUBSCRIBE, Kind.UNSUBSCRIBE]
    assert [(event.kind, event.status) for event in claim.events] == [
        (Kind.UNSUBSCRIBE, Status.WRITTEN),
        (Kind.RESUBSCRIBE, Status.PENDING),
        (Kind.UNSUBSCRIBE, Status.PENDING),
    ]
    assert claim.flag_is_ours
    assert claim.verify_after is None


def test_the_limit_counts_people_and_the_oldest_event_goes_first(store: Store) -> None:
    changes = [unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2, 3)]
    store.enqueue([*changes, unsubscribe(contact(3)), unsubscribe(contact(3), NOW - MINUTE)], NOW)
    first, second = store.claim("worker", NOW, limit=2)
    assert (first.person, len(first.taken)) == (contact(3), 3)
    assert (second.person, len(second.taken)) == (contact(2), 1)


def test_a_leased_person_is_nobody_elses_until_the_lease_runs_out(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    first = claim_one(store, owner="first")
    assert store.due(NOW) == 0
    assert store.claim("second", NOW + LEASE - timedelta(microseconds=1), limit=10) == []
    second = claim_one(store, NOW + LEASE, "second")
    assert second.epoch > first.epoch
    assert second.taken == first.taken


def test_released_people_can_be_claimed_at_once(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2))], NOW)
    leases = [claim.lease for claim in store.claim("first", NOW, limit=2)]
    store.release("somebody else", leases)
    assert store.claim("second", NOW, limit=2) == []
    store.release("first", leases)
    assert len(store.claim("second", NOW, limit=2)) == 2
    store.release("first", leases)
    assert store.claim("third", NOW, limit=2) == []


def test_only_leases_that_still_run_are_extended(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2)], NOW)
    (two,) = store.claim("worker", NOW, limit=1, lease=MINUTE)
    (one,) = store.claim("worker", NOW, limit=1)
    soon = NOW + 2 * MINUTE
    assert store.extend("another", [one, two], soon) == []
    (extended,) = store.extend("worker", [one, two], soon)
    assert (extended.person, extended.lease_until) == (contact(1), soon + LEASE)
    assert [claim.person for claim in store.claim("second", NOW + LEASE + MINUTE, limit=9)] == [contact(2)]


def test_everybody_whose_lease_still_runs_is_kept_and_nobody_elses_worker_is_helped(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2, 3)], NOW)
    store.claim("worker", NOW, limit=1, lease=MINUTE)
    store.claim("worker", NOW, limit=1)
    store.claim("another", NOW, limit=1)
    store.keep("worker", NOW + 2 * MINUTE)
    after = NOW + LEASE + MINUTE
    assert {claim.person for claim in store.claim("next", after, limit=9)} == {contact(3), contact(1)}
    assert [claim.person for claim in store.claim("next", after + MINUTE, limit=9)] == [contact(2)]


def test_what_waits_is_due_at_its_time_and_not_before(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    store.record([], [settled(claim_one(store), Status.WAITING)], [], NOW, release=True)
    in_time = NOW + 10 * MINUTE
    assert store.due(in_time - timedelta(microseconds=1)) == 0
    assert store.claim("worker", in_time - timedelta(microseconds=1), limit=9) == []
    assert store.due(in_time) == 1
    assert claim_one(store, in_time).taken[0].status is Status.WAITING


def test_what_waits_is_taken_along_so_that_nothing_overtakes_it(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - MINUTE)], NOW)
    store.record([], [settled(claim_one(store), Status.WAITING)], [], NOW, release=True)
    store.enqueue([resubscribe(contact(1))], NOW)
    assert [row.status for row in claim_one(store).taken] == [Status.WAITING, Status.PENDING]


def test_what_is_unknown_is_to_be_read_back_and_what_failed_stays_in_the_history(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - n * MINUTE) for n in (3, 2)], NOW)
    claim = claim_one(store)
    first, second = claim.taken
    journalled(store, [intent(claim, row=first)])
    outcomes = [settled(claim, Status.UNKNOWN, first), settled(claim, Status.FAILED, second)]
    store.record([], outcomes, [], NOW, release=True)
    assert store.claim("worker", NOW + 9 * MINUTE, limit=9) == []
    store.enqueue([resubscribe(contact(1))], NOW)
    claim = claim_one(store, NOW + 10 * MINUTE)
    assert [row.kind for row in claim.taken] == [Kind.RESUBSCRIBE]
    assert [doubt.writeback.id for doubt in claim.doubts] == [first.id]
    assert [event.status for event in claim.events] == [Status.UNKNOWN, Status.FAILED, Status.PENDING]


def test_a_preview_shows_what_a_claim_would_take_and_changes_nothing(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2, 3)], NOW)
    previewed = store.preview(NOW, limit=2)
    claimed = store.claim("worker", NOW, limit=2)
    assert [(c.person, c.taken, c.events) for c in previewed] == [(c.person, c.taken, c.events) for c in claimed]
    assert [claim.person for claim in store.preview(NOW, limit=9)] == [contact(1)]


def test_a_preview_of_named_people_shows_them_due_or_not(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    written(store, claim_one(store))
    people = [contact(1).salesforce_id, contact(2).salesforce_id]
    (known,) = store.preview(NOW, limit=2, people=people)
    assert (known.person, known.taken, len(known.events), known.flag_is_ours) == (contact(1), (), 1, True)


def test_what_a_dead_worker_sent_becomes_unknown_and_is_to_be_read_back(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    (attempt,) = journalled(store, [intent(claim, Operation.SET_FLAG)])
    assert store.claim("second", claim.lease_until - MINUTE, limit=9) == []
    assert statuses(store) == [Status.SENDING]
    assert store.due(LATER) == 1
    (doubt,) = claim_one(store, LATER, "second").doubts
    assert (doubt.titles, doubt.targets) == (
        frozenset({"Contact unsubscribed"}),
        frozenset({claim.person.salesforce_id}),
    )
    assert doubt.flag is True
    assert doubt.readable_at == claim.lease_until + QUIET  # until then it may still arrive
    (row,) = everything(store)
    assert row.status is Status.UNKNOWN
    assert "read back" in (row.advice or "")
    (recovered,) = store.attempts_of([row.id])
    assert recovered.outcome is not None
    assert (recovered.id, recovered.outcome.answer) == (attempt, Answer.UNKNOWN)


def test_a_worker_that_died_between_two_calls_leaves_nothing_stuck_in_sending(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    (attempt,) = journalled(store, [intent(claim, Operation.SET_FLAG)])
    store.record([answered(attempt)], [], [], NOW, release=False)
    store.claim("second", LATER, limit=9)
    assert statuses(store) == [Status.UNKNOWN]


def test_a_note_that_was_confirmed_before_its_worker_died_is_known_by_its_id(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    note, _ = journalled(store, [intent(claim), intent(claim, Operation.SET_FLAG)])
    store.record([answered(note, record_id="002000000000001AAA")], [], [], NOW, release=False)
    (doubt,) = claim_one(store, LATER, "second").doubts
    assert doubt.writeback.note_id == "002000000000001AAA"


def test_a_flag_that_was_confirmed_before_its_worker_died_is_known(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - MINUTE)], NOW)
    written(store, claim_one(store))
    store.enqueue([resubscribe(contact(1))], NOW)
    flag, _ = journalled(store, [intent(claim := claim_one(store), Operation.CLEAR_FLAG), intent(claim)])
    store.record([answered(flag)], [], [opted_out(claim)], NOW, release=False)
    (doubt,) = claim_one(store, LATER, "second").doubts
    assert doubt.writeback.flag_result is FlagResult.CLEARED


def test_between_two_calls_a_flag_stays_in_doubt_till_the_last_of_them_is_recorded(store: Store) -> None:
    store.enqueue([unsubscribe(contact(each), NOW - MINUTE) for each in (1, 2)], NOW)
    first, second = store.claim("first", NOW, limit=9)
    flags = journalled(store, [intent(claim, Operation.SET_FLAG) for claim in (first, second)])
    origins = [opted_out(claim) for claim in (first, second)]
    store.record([answered(flag) for flag in flags], [], origins, NOW, release=False, in_between=True)
    store.record([], [settled(first)], [], NOW, release=True, seen=[first.lease])
    store.enqueue([resubscribe(contact(1), NOW)], NOW)
    known = claim_one(store)
    assert (known.person, known.verify_after, known.flag_is_ours) == (first.person, None, True)
    lost = claim_one(store, LATER, "second")
    assert (lost.person, lost.flag_is_ours) == (second.person, True)
    assert lost.verify_after is not None, "its worker ended before it could say that nothing is left to verify"


def test_what_a_dead_worker_had_not_sent_is_simply_claimed_again(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim_one(store)
    assert claim_one(store, LATER).taken[0].status is Status.PENDING


def test_a_worker_that_comes_back_late_changes_nothing(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    late = claim_one(store)
    (attempt,) = journalled(store, [intent(late)])
    store.claim("second", LATER, limit=9)
    before = everything(store)
    assert store.journal([intent(late)]) == [None]
    assert store.record([answered(attempt)], [settled(late)], [], LATER, release=True) == 1
    assert store.extend("worker", [late], NOW) == []
    assert everything(store) == before


def test_a_doubt_about_the_flag_is_told_with_the_claim_until_it_is_over(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    journalled(store, [intent(claim, Operation.SET_FLAG)])
    doubtful = claim_one(store, LATER)
    assert doubtful.verify_after == claim.lease_until + QUIET
    store.release("worker", [doubtful.lease])
    assert claim_one(store, claim.lease_until + QUIET).verify_after is None


def test_a_note_in_doubt_does_not_put_the_flag_in_doubt(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    journalled(store, [intent(claim_one(store), Operation.CREATE_NOTE)])
    claim = claim_one(store, LATER)
    assert (claim.verify_after, claim.doubts[0].flag) == (None, None)


def test_a_flag_that_a_late_write_may_have_changed_is_verified_once_that_is_over(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    (attempt,) = journalled(store, [intent(claim, Operation.SET_FLAG)])
    store.record([answered(attempt, Answer.UNKNOWN)], [settled(claim, Status.UNKNOWN)], [], NOW, release=True)
    again = claim_one(store, NOW + 10 * MINUTE)
    store.record([], [settled(again, Status.WAITING, again.doubts[0].writeback)], [], NOW, release=False)
    store.record([], [settled(again, row=again.doubts[0].writeback)], [], NOW, release=True, seen=[again.lease])
    over = claim.lease_until + QUIET
    assert (store.due(over - MINUTE), store.due(over)) == (0, 1)
    verifying = claim_one(store, over)
    assert (verifying.taken, verifying.doubts, verifying.verify_after) == ((), (), None)
    store.record([], [], [], over, release=True, seen=[verifying.lease])
    assert store.due(over + MINUTE) == 0


def test_a_verification_that_was_cut_short_is_owed_still(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    written(store, claim_one(store))
    assert store.question(NOW - MINUTE, NOW) == 1
    claim = claim_one(store)
    store.release("worker", [claim.lease])
    assert store.due(NOW) == 1


def test_only_whom_something_was_written_to_is_questioned(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2), NOW + MINUTE)], NOW)
    written(store, claim_one(store))
    assert store.question(NOW, NOW) == 0
    assert store.question(NOW - MINUTE, NOW) == 1


def test_whose_flag_was_left_alone_is_questioned_once_when_the_policy_ends(store: Store) -> None:
    store.change_settings({"suppress_opt_out_flag": "true"}, "tester", NOW)
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2))], NOW)
    left, set_ = store.claim("worker", NOW, limit=2)
    for claim, result in ((left, FlagResult.SUPPRESSED), (set_, FlagResult.SET)):
        done = settled(claim, Status.WRITTEN)._replace(flag_result=result)
        store.record([], [done], [], NOW, release=True, seen=[claim.lease])
    assert store.question_suppressed(NOW) == 0
    store.change_settings({"suppress_opt_out_flag": "false"}, "tester", NOW)
    assert [store.question_suppressed(NOW) for _ in range(2)] == [1, 0]
    assert claim_one(store).person == left.person


def test_an_unsubscribe_whose_flag_is_gone_is_owed_again_under_the_lease_of_its_person(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    done = claim_one(store)
    written(store, done)
    store.question(NOW - MINUTE, NOW)
    claim = claim_one(store)
    id_, person = done.taken[0].id, claim.person.salesforce_id
    assert store.reopen([(id_, person, claim.epoch - 1)], NOW) == []
    assert statuses(store) == [Status.WRITTEN]
    (row,) = store.reopen([(id_, person, claim.epoch)], NOW)
    assert (row.id, row.status, row.error_code) == (id_, Status.PENDING, "FLAG_LOST")
    journalled(store, [intent(claim, Operation.SET_FLAG, row)])
    assert statuses(store) == [Status.SENDING]


def test_an_event_whose_time_cannot_be_true_happened_when_it_was_queued(store: Store) -> None:
    first, near, absurd = datetime(1, 1, 1, tzinfo=UTC), NOW + timedelta(minutes=30), NOW + timedelta(days=900)
    store.enqueue([unsubscribe(contact(1), at) for at in (absurd, near, first)], NOW)
    claim = claim_one(store)
    assert [event.occurred_at for event in claim.events] == [NOW, near, NOW]
    assert [row.occurred_at for row in claim.taken] == [first, near, absurd]


def test_whose_workers_end_again_and_again_goes_with_few_then_alone_then_to_a_person(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2, 3)], NOW)
    now = NOW
    for _ in range(SUSPECT_AFTER):
        assert len(store.claim("dies", now, limit=9)) == 3
        now += LEASE
    assert store.claim("worker", now, limit=9) == []
    assert store.due(now) == len(store.preview(now, limit=9)) == 3  # they are passed over, not forgotten
    assert len(store.claim_suspects("dies", now, limit=9)) == 3
    now += LEASE
    (alone,) = store.claim_suspects("dies", now, limit=9)
    assert alone.person == contact(3)
    journalled(store, [intent(alone)])
    now += LEASE
    assert store.claim("worker", now, limit=9) == []
    others = [store.claim_suspects("worker", now, limit=9) for _ in range(3)]
    assert [[claim.person for claim in each] for each in others] == [[contact(2)], [contact(1)], []]
    (row,) = [row for row in everything(store) if row.status is Status.FAILED]
    assert (row.salesforce_id, row.error_code) == (alone.person.salesforce_id, WORKER_LOST)
    assert alone.person.salesforce_id in (row.error_message or "")


def test_only_who_was_served_to_the_end_is_no_suspect_any_more(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2, 3)], NOW)
    now = NOW
    for _ in range(SUSPECT_AFTER):
        store.claim("dies", now, limit=9)
        now += LEASE
    given_back, waits, done = store.claim_suspects("worker", now, limit=9)
    journalled(store, [intent(done)])
    store.record([], [settled(waits, Status.WAITING), settled(done)], [], now, release=True)
    store.release("worker", [given_back.lease])
    later = now + 10 * MINUTE
    store.enqueue([resubscribe(person, now) for person in (contact(1), contact(2), contact(3))], later)
    assert [claim.person for claim in store.claim("worker", later, limit=9)] == [done.person]
    suspects = store.claim_suspects("worker", later, limit=9)
    assert [claim.person for claim in suspects] == [given_back.person, waits.person]


@pytest.mark.parametrize(("sent", "may_be_set"), [(Operation.SET_FLAG, True), (Operation.CREATE_NOTE, False)])
def test_an_unsubscribe_that_failed_with_its_worker_and_may_have_set_the_flag_is_told_with_a_claim(
    store: Store, sent: Operation, may_be_set: bool
) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    now = worker_killer(store, NOW, sent)
    assert statuses(store) == [Status.FAILED]
    store.enqueue([resubscribe(contact(1), now)], now)
    (claim,) = store.claim("worker", now, limit=9) or store.claim_suspects("worker", now, limit=9)
    assert claim.left == tuple(event.id for event in claim.events if may_be_set and event.kind is Kind.UNSUBSCRIBE)


def test_a_retry_of_whom_workers_ended_of_reads_back_first_and_goes_alone(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    now = worker_killer(store, NOW)
    assert statuses(store) == [Status.FAILED]
    store.retry(statuses=[Status.FAILED])
    store.enqueue([unsubscribe(contact(2))], now)
    assert [claim.person for claim in store.claim("worker", now, limit=9)] == [contact(2)]
    (again,) = store.claim_suspects("worker", now, limit=9)
    (doubt,) = again.doubts
    assert doubt.readable_at > now  # what the last worker sent may still arrive


def test_an_unsubscribe_of_which_workers_ended_is_read_back_before_it_is_taken_again(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    now = worker_killer(store, NOW)
    store.enqueue([unsubscribe(contact(1), NOW - MINUTE)], now)
    (claim,) = store.claim("worker", now, limit=9) or store.claim_suspects("worker", now, limit=9)
    (put_back,) = store.reopen([(claim.events[-1].id, *claim.lease)], now)
    assert put_back.status is Status.UNKNOWN
    assert statuses(store) == [Status.UNKNOWN, Status.PENDING]
    store.release("worker", [claim.lease])
    (again,) = store.claim("worker", now, limit=9) or store.claim_suspects("worker", now, limit=9)
    (doubt,) = again.doubts
    assert doubt.readable_at > now, "its Note may still arrive"


def test_whose_flag_is_only_looked_at_when_the_worker_ends_is_shown_by_the_last_unsubscribe(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    written(store, claim_one(store))
    store.question(NOW - MINUTE, NOW)
    now = worker_killer(store, NOW)
    assert [(row.status, row.error_code) for row in everything(store)] == [(Status.FAILED, WORKER_LOST)]
    assert (store.due(now), store.claim_suspects("worker", now, limit=9)) == (0, [])


def worker_killer(store: Store, now: datetime, sent: Operation = Operation.CREATE_NOTE) -> datetime:
    """Let workers end of the only person, each after it has sent what it had; when that is over."""
    for _ in range(ALONE_AFTER + 1):
        (claim,) = store.claim("dies", now, limit=9) or store.claim_suspects("dies", now, limit=9)
        journalled(store, [intent(claim, sent, row=row) for row in claim.taken])
        now += LEASE
    assert store.claim("worker", now, limit=9) == []
    return now
