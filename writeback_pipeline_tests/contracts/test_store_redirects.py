"""What every store promises about people whose record was converted or merged."""

from writeback_pipeline.domain.ledger import MAX_HOPS, QUIET, WritebackFilter
from writeback_pipeline.domain.records import Operation
from writeback_pipeline.domain.writebacks import Kind, Status
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
    resubscribe,
    settled,
    statuses,
    unsubscribe,
    written,
)


def test_open_rows_follow_the_person_and_say_where_they_came_from(store: Store) -> None:
    store.enqueue([unsubscribe(lead(1))], NOW)
    assert store.redirect({lead(1).salesforce_id: contact(2)}, NOW) == {}
    claim = claim_one(store)
    assert claim.person == contact(2)
    (row,) = claim.taken
    assert (row.object_type, row.salesforce_id) == (contact(2).object_type, contact(2).salesforce_id)
    assert row.redirected_from == lead(1).salesforce_id


def test_two_who_became_one_are_folded_together(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1), NOW - 9 * MINUTE)], NOW)
    written(store, claim_one(store))
    store.enqueue([unsubscribe(contact(2), NOW - 5 * MINUTE), resubscribe(contact(1), NOW)], NOW)
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    claim = claim_one(store)
    assert claim.person == contact(2)
    assert [event.kind for event in claim.events] == [Kind.UNSUBSCRIBE, Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE]
    assert [row.redirected_from for row in claim.taken] == [None, contact(1).salesforce_id]
    assert claim.flag_is_ours
    assert store.claim("second", NOW, limit=9) == []


def test_a_row_that_is_written_keeps_the_id_it_was_written_to(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    written(store, claim_one(store))
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    (row,) = everything(store)
    assert (row.salesforce_id, row.redirected_from) == (contact(1).salesforce_id, None)
    assert store.writebacks(WritebackFilter(person=contact(2).salesforce_id)) == [row]


def test_a_failed_row_follows_too_for_when_it_is_retried(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    store.record([], [settled(claim_one(store), Status.FAILED)], [], NOW, release=True)
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    store.retry(statuses=[Status.FAILED])
    assert claim_one(store).taken[0].salesforce_id == contact(2).salesforce_id


def test_chains_are_followed_to_their_end_and_the_first_origin_is_kept(store: Store) -> None:
    store.enqueue([unsubscribe(lead(1)), unsubscribe(contact(2), NOW - MINUTE)], NOW)
    moves = {lead(1).salesforce_id: contact(2), contact(2).salesforce_id: contact(3)}
    assert store.redirect(moves, NOW) == {}
    assert store.redirect({contact(3).salesforce_id: contact(4)}, NOW) == {}
    claim = claim_one(store)
    assert claim.person == contact(4)
    assert [row.redirected_from for row in claim.taken] == [contact(2).salesforce_id, lead(1).salesforce_id]


def test_what_is_queued_later_goes_where_the_person_went(store: Store) -> None:
    store.enqueue([unsubscribe(lead(1)), unsubscribe(contact(2), NOW + MINUTE)], NOW)
    store.redirect({lead(1).salesforce_id: contact(2)}, NOW)
    store.redirect({contact(2).salesforce_id: contact(3)}, NOW)
    store.enqueue([resubscribe(lead(1), NOW + 2 * MINUTE)], NOW)
    claim = claim_one(store)
    assert claim.person == contact(3)
    assert len(claim.taken) == 3
    assert (claim.taken[2].salesforce_id, claim.taken[2].redirected_from) == (
        contact(3).salesforce_id,
        lead(1).salesforce_id,
    )
    assert store.enqueue([resubscribe(lead(1), NOW + 2 * MINUTE)], NOW).known == 1


def test_a_person_is_found_by_the_id_before_and_after(store: Store) -> None:
    store.enqueue([unsubscribe(lead(1))], NOW)
    store.redirect({lead(1).salesforce_id: contact(2)}, NOW)
    rows = everything(store)
    assert store.writebacks(WritebackFilter(person=lead(1).salesforce_id)) == rows
    assert store.writebacks(WritebackFilter(person=contact(2).salesforce_id[:15])) == rows


def test_a_circle_is_not_followed_and_its_stations_are_named(store: Store) -> None:
    one, two, three = (contact(n).salesforce_id for n in (1, 2, 3))
    store.enqueue([unsubscribe(contact(n), NOW - n * MINUTE) for n in (1, 2, 3)], NOW)
    store.redirect({one: contact(2)}, NOW)
    lost = store.redirect({two: contact(1), three: contact(2)}, NOW)
    assert lost.keys() == {two, three}
    assert f"{two} -> {one} -> {two}" in lost[two]
    claim = claim_one(store)
    assert claim.person == contact(3)
    assert store.redirect({three: contact(3)}, NOW).keys() == {three}


def test_one_circle_does_not_stop_the_others(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in (1, 2)], NOW)
    moves = {contact(1).salesforce_id: contact(1), contact(2).salesforce_id: contact(9)}
    assert store.redirect(moves, NOW).keys() == {contact(1).salesforce_id}
    assert {claim.person for claim in store.claim("worker", NOW, limit=9)} == {contact(1), contact(9)}


def test_a_chain_of_the_longest_allowed_length_is_followed_and_no_longer_one(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(MAX_HOPS + 1)], NOW)
    for number in range(1, MAX_HOPS + 1):
        assert store.redirect({contact(number).salesforce_id: contact(number + 1)}, NOW) == {}
    lost = store.redirect({contact(0).salesforce_id: contact(1)}, NOW)
    assert lost.keys() == {contact(0).salesforce_id}
    assert "more than 5 redirects" in lost[contact(0).salesforce_id]
    assert {claim.person for claim in store.claim("worker", NOW, limit=9)} == {contact(0), contact(MAX_HOPS + 1)}


def test_a_redirect_ends_the_lease_and_fences_what_was_done_under_it(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    before = claim_one(store)
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    after = claim_one(store, owner="second")
    assert after.person == contact(2)
    assert store.journal([intent(before)]) == [None]
    assert store.record([], [settled(before)], [], NOW, release=True) == 1
    assert statuses(store) == [Status.PENDING]


def test_an_answer_that_comes_after_the_redirect_decides_nothing(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    (attempt,) = journalled(store, [intent(claim)])
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    store.record([answered(attempt)], [], [], NOW, release=False)
    (kept,) = store.attempts_of([claim.taken[0].id])
    assert kept.outcome is None
    assert len(claim_one(store, owner="second").doubts) == 1
    assert statuses(store) == [Status.UNKNOWN]


def test_only_moves_away_from_people_who_are_known_and_have_not_followed_are_unjoined(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(lead(3))], NOW)
    to_two, to_nine = {contact(1).salesforce_id: contact(2)}, {contact(8).salesforce_id: contact(9)}
    through_a_stranger = {lead(3).salesforce_id: contact(8), **to_nine}
    assert store.unjoined(to_two | to_nine) == to_two
    assert store.unjoined(through_a_stranger) == through_a_stranger
    store.redirect(to_two | through_a_stranger, NOW)
    assert store.unjoined(to_two | through_a_stranger) == {}


def test_a_doubt_about_the_flag_moves_along(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1)), unsubscribe(contact(2), NOW + MINUTE)], NOW)
    claim = claim_one(store)
    journalled(store, [intent(claim, Operation.SET_FLAG)])
    target = claim_one(store)
    store.redirect({contact(1).salesforce_id: contact(2)}, NOW)
    (attempt,) = journalled(store, [intent(target, Operation.SET_FLAG)])
    store.record([answered(attempt)], [settled(target)], [], NOW, release=True)
    store.enqueue([resubscribe(contact(2), NOW + 2 * MINUTE)], NOW)
    again = claim_one(store)
    assert again.verify_after == claim.lease_until + QUIET
    assert sorted(statuses(store)) == [Status.PENDING, Status.UNKNOWN, Status.WRITTEN]
