"""The fold: event order decides the flag, the origin rule which resubscribes count, and doubt opts nobody in."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.opt_outs import Decision, Flag, OptOutEvent, Refusal, decide, in_order
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status

T0 = datetime(2026, 11, 1, tzinfo=UTC)
U, R = Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE
CLEAR, OURS, THEIRS = Flag(False, False), Flag(True, True), Flag(True, False)


def events(*kinds: Kind, written: int = 0) -> list[OptOutEvent]:
    """Events a minute apart with ids from 1; the first `written` of them were delivered before."""
    return [
        OptOutEvent(i, kind, T0 + timedelta(minutes=i), Status.WRITTEN if i <= written else Status.PENDING)
        for i, kind in enumerate(kinds, 1)
    ]


def decided(past: list[OptOutEvent], flag: Flag, *, suppressed: bool = False) -> Decision:
    return decide(past, frozenset(e.id for e in past if e.status is Status.PENDING), flag, suppressed=suppressed)


def test_an_unsubscribe_sets_the_flag() -> None:
    decision = decided(events(U), CLEAR)
    assert (decision.write, decision.desired, decision.flag_results) == (True, True, {1: FlagResult.SET})


@pytest.mark.parametrize("flag", [OURS, THEIRS])
def test_a_flag_that_is_set_already_is_left_alone(flag: Flag) -> None:
    decision = decided(events(U), flag)
    assert (decision.write, decision.flag_results) == (None, {1: FlagResult.UNCHANGED})


def test_a_resubscribe_clears_the_flag_that_we_set() -> None:
    decision = decided(events(U, R, written=1), OURS)
    assert (decision.write, decision.flag_results, decision.refusals) == (False, {2: FlagResult.CLEARED}, {})


def test_a_resubscribe_that_was_begun_and_waits_keeps_what_came_before_it_from_setting_the_flag() -> None:
    unsubscribe, resubscribe = events(U, R)
    begun = resubscribe._replace(status=Status.WAITING, noted=True)
    decision = decided([unsubscribe, begun], CLEAR)
    assert (decision.write, decision.desired, decision.flag_results) == (None, False, {1: FlagResult.SUPERSEDED})
    for other in (begun._replace(noted=False), begun._replace(status=Status.FAILED)):
        assert decided([unsubscribe, other], CLEAR).write is True


def test_a_resubscribe_of_a_person_opted_out_in_salesforce_is_refused_and_names_salesforce() -> None:
    decision = decided(events(R), THEIRS)
    assert decision.refusals == {1: Refusal.SET_IN_SALESFORCE}
    assert decision.write is None
    assert "in Salesforce" in decision.refusals[1].value


def test_a_resubscribe_with_nothing_to_undo_is_refused() -> None:
    assert decided(events(R), CLEAR).refusals == {1: Refusal.NOTHING_TO_UNDO}


def test_an_unsubscribe_does_not_make_a_salesforce_opt_out_ours_to_clear() -> None:
    decision = decided(events(U, R), THEIRS)
    assert decision.refusals == {2: Refusal.SET_IN_SALESFORCE}
    assert decision.flag_results == {1: FlagResult.UNCHANGED}


def test_unsubscribe_then_resubscribe_in_one_poll_needs_no_flag_write() -> None:
    decision = decided(events(U, R), CLEAR)
    assert decision.write is None
    assert decision.flag_results == {1: FlagResult.SUPERSEDED, 2: FlagResult.UNCHANGED}


def test_resubscribe_then_unsubscribe_keeps_the_person_out() -> None:
    decision = decided(events(U, R, U, written=1), OURS)
    assert decision.write is None
    assert decision.flag_results == {2: FlagResult.SUPERSEDED, 3: FlagResult.UNCHANGED}


def test_at_the_same_instant_the_unsubscribe_wins() -> None:
    unsubscribe = OptOutEvent(1, U, T0, Status.PENDING)
    resubscribe = OptOutEvent(2, R, T0, Status.PENDING)
    assert in_order([unsubscribe, resubscribe]) == [resubscribe, unsubscribe]
    assert decided([unsubscribe, resubscribe], CLEAR).write is True


def test_an_older_event_that_arrives_late_never_moves_the_flag() -> None:
    late = OptOutEvent(3, U, T0, Status.PENDING)
    decision = decided([*events(U, R, written=2), late], CLEAR)
    assert (decision.write, decision.flag_results) == (None, {3: FlagResult.SUPERSEDED})


def test_suppression_leaves_the_flag_alone_in_both_directions() -> None:
    assert decided(events(U), CLEAR, suppressed=True).flag_results == {1: FlagResult.SUPPRESSED}
    resubscribed = decided(events(U, R, written=1), OURS, suppressed=True)
    assert (resubscribed.write, resubscribed.flag_results) == (None, {2: FlagResult.SUPPRESSED})


def test_a_failed_resubscribe_opts_nobody_in_and_does_not_stand_in_the_way_of_the_next() -> None:
    past = [
        OptOutEvent(1, U, T0, Status.WRITTEN),
        OptOutEvent(2, R, T0 + timedelta(minutes=1), Status.FAILED),
        OptOutEvent(3, R, T0 + timedelta(minutes=2), Status.PENDING),
    ]
    decision = decided(past, OURS)
    assert (decision.write, decision.flag_results) == (False, {3: FlagResult.CLEARED})
    assert decided(past[:2], OURS).write is None


@pytest.mark.parametrize("done", [{"noted": True}, {"flag_result": FlagResult.SUPERSEDED}])
def test_a_resubscribe_of_which_a_part_is_done_is_not_refused_afterwards(done: dict[str, Any]) -> None:
    (half_done,) = events(R)
    decision = decided([half_done._replace(**done)], CLEAR)
    assert (decision.refusals, decision.flag_results) == ({}, {half_done.id: FlagResult.UNCHANGED})


def test_an_opt_out_undone_in_salesforce_is_asserted_again_with_the_persons_next_event() -> None:
    late_resubscribe = OptOutEvent(5, R, T0 + timedelta(seconds=90), Status.PENDING)
    decision = decided([*events(U, U, written=2), late_resubscribe], CLEAR)
    assert (decision.write, decision.decided_by) == (True, 2)


HISTORIES = st.lists(
    st.builds(
        OptOutEvent,
        id=st.integers(1, 10_000),
        kind=st.sampled_from([U, R]),
        occurred_at=st.integers(0, 5).map(lambda m: T0 + timedelta(minutes=m)),
        status=st.sampled_from(list(Status)),
    ),
    max_size=8,
    unique_by=lambda e: e.id,
)
FLAGS = st.sampled_from([CLEAR, OURS, THEIRS])


@given(HISTORIES, FLAGS, st.booleans())
def test_the_flag_is_cleared_only_for_an_explicit_resubscribe_of_a_flag_that_is_ours(
    past: list[OptOutEvent], flag: Flag, suppressed: bool
) -> None:
    decision = decided(past, flag, suppressed=suppressed)
    if decision.write is False:
        by = next(e for e in past if e.id == decision.decided_by)
        assert (by.kind, by.status, flag) == (R, Status.PENDING, OURS)
        assert not any(
            e.kind is U and e.occurred_at >= by.occurred_at and e.status not in (Status.REFUSED, Status.NO_RECIPIENT)
            for e in past
        )


@given(HISTORIES, FLAGS)
def test_a_standing_unsubscribe_always_ends_with_the_flag_set(past: list[OptOutEvent], flag: Flag) -> None:
    decision = decided(past, flag)
    if decision.desired:
        assert decision.write is True or (decision.write is None and flag.opted_out)


@given(HISTORIES.flatmap(lambda past: st.tuples(st.just(past), st.permutations(past))), FLAGS, st.booleans())
def test_the_order_of_arrival_does_not_matter(
    histories: tuple[list[OptOutEvent], list[OptOutEvent]], flag: Flag, suppressed: bool
) -> None:
    past, shuffled = histories
    assert decided(shuffled, flag, suppressed=suppressed) == decided(past, flag, suppressed=suppressed)


@given(HISTORIES, FLAGS, st.booleans())
def test_everything_taken_gets_exactly_one_verdict(past: list[OptOutEvent], flag: Flag, suppressed: bool) -> None:
    decision = decided(past, flag, suppressed=suppressed)
    taken = {e.id for e in past if e.status is Status.PENDING}
    assert set(decision.flag_results) | set(decision.refusals) == taken
    assert not set(decision.flag_results) & set(decision.refusals)
    if suppressed:
        assert decision.write is None
