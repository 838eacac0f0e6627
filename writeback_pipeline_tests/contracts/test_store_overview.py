"""The ledger at a glance: every row counted once, on the day it was queued; nothing owed, spent or failed is missed."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from writeback_pipeline.domain.alerts import Severity, Sighting
from writeback_pipeline.domain.budget import ASSUMED_LIMIT, Caller, Purpose
from writeback_pipeline.domain.overview import CALL_HOURS, DAYS, Tally, Trouble
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    NOW,
    answered,
    claim_one,
    contact,
    intent,
    journalled,
    settled,
    unsubscribe,
)
from writeback_pipeline_tests.contracts.test_store_activity import leased, owe, summary

pytestmark = pytest.mark.parametrize("store", ["duckdb", "postgresql"], indirect=True)  # the one in memory has none
DAY = timedelta(days=1)


def failed(store: Store, code: str | None) -> None:
    how = settled(claim_one(store), Status.FAILED)._replace(error_code=code, advice=code and f"Advice on {code}.")
    store.record([], [how], [], NOW, release=True)


def test_a_new_ledger_has_nothing_but_days(store: Store) -> None:
    seen = store.overview(NOW)
    assert [each.day for each in seen.days] == [date(2026, 11, 23) - n * DAY for n in reversed(range(DAYS))]
    assert {each.opt_outs for each in seen.days} | {each.activity for each in seen.days} == {Tally()}
    assert (seen.opt_outs, seen.activity, seen.latency, seen.troubles) == (Tally(), Tally(), {}, ())
    assert (seen.oldest_opt_out, seen.last_attempt, seen.organisation_id) == (None, None, None)
    assert (len(seen.calls), set(seen.calls.values()), seen.calls_made) == (CALL_HOURS, {0}, 0)
    assert (seen.opt_outs_hold, seen.activity_hold) == (None, None)
    assert (seen.incidents, seen.heartbeats) == ((), {})


def test_each_change_counts_on_the_day_it_was_queued_by_what_became_of_it(store: Store) -> None:
    outcomes = [Status.WRITTEN, Status.WAITING, Status.UNKNOWN, Status.FAILED, Status.REFUSED, Status.NO_RECIPIENT]
    for day, count in ((DAYS - 1, len(outcomes)), (0, 2)):
        at = NOW - day * DAY
        store.enqueue([unsubscribe(contact(100 * day + n), at - 30 * DAY) for n in range(count)], at)
    for status in outcomes:
        at = NOW - (DAYS - 1) * DAY
        claim = claim_one(store, at)
        store.record([], [settled(claim, status)], [], at, release=True)
    seen = store.overview(NOW)
    oldest, *between, today = seen.days
    assert oldest.opt_outs == Tally(written=1, waiting=2, failed=1, nothing_to_write=2)
    assert today.opt_outs == Tally(waiting=2)
    assert {each.opt_outs for each in between} == {Tally()}
    assert seen.opt_outs == oldest.opt_outs + today.opt_outs
    assert seen.oldest_opt_out == NOW - (DAYS - 1) * DAY


def test_what_is_older_than_the_days_counts_in_the_sum_only(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW - DAYS * DAY)
    seen = store.overview(NOW)
    assert seen.opt_outs == Tally(waiting=1)
    assert Counter(each.opt_outs.all for each in seen.days) == {0: DAYS}
    assert seen.oldest_opt_out == NOW - DAYS * DAY


def test_activity_is_counted_apart_from_opt_outs(store: Store) -> None:
    held = leased(store)
    owe(store, held, summary(contact(1)), summary(contact(2)))
    seen = store.overview(NOW)
    assert (seen.activity, seen.opt_outs) == (Tally(waiting=2), Tally())
    assert seen.days[-1].activity == Tally(waiting=2)
    assert seen.oldest_opt_out is None


def test_what_needs_a_person_is_grouped_by_code_most_first(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(4)], NOW)
    for code in ("RARE", "COMMON", "COMMON", None):
        failed(store, code)
    assert store.overview(NOW).troubles == (
        Trouble("COMMON", "Advice on COMMON.", 2, NOW),
        Trouble("", "", 1, NOW),
        Trouble("RARE", "Advice on RARE.", 1, NOW),
    )


def test_what_was_undone_on_purpose_needs_nobody(store: Store) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(3)], NOW)
    for code in ("UNDONE", "NOTE_UNDONE", "UNDO_INCOMPLETE"):
        failed(store, code)
    seen = store.overview(NOW)
    assert seen.opt_outs == seen.days[-1].opt_outs == Tally(failed=2, nothing_to_write=1)
    assert [trouble.code for trouble in seen.troubles] == ["NOTE_UNDONE", "UNDO_INCOMPLETE"]


def test_calls_are_told_hour_by_hour_and_held_against_our_share(store: Store) -> None:
    caller = Caller("caller", Purpose.OPT_OUTS, WritebackSettings())
    for at, calls in ((NOW - timedelta(hours=30), 5), (NOW - timedelta(hours=1), 3), (NOW, 2)):
        store.admit(caller, ApiUsage(0), at, calls=calls)
    seen = store.overview(NOW)
    assert list(seen.calls) == [NOW - timedelta(hours=n) for n in reversed(range(CALL_HOURS))]
    assert {hour: calls for hour, calls in seen.calls.items() if calls} == {
        NOW - timedelta(hours=30): 5,
        NOW - timedelta(hours=1): 3,
        NOW: 2,
    }
    assert (seen.calls_made, seen.calls_ours) == (5, ASSUMED_LIMIT // 2)
    store.admit(caller, ApiUsage(0, 100, 100), NOW, calls=0)
    seen = store.overview(NOW)
    assert seen.opt_outs_hold is not None
    assert seen.opt_outs_hold.code == "API_LIMIT_REACHED"


def test_the_last_write_and_the_organisation_are_told(store: Store) -> None:
    store.pin_organisation("00D000000000001AAA")
    store.enqueue([unsubscribe(contact(1))], NOW)
    claim = claim_one(store)
    [attempt] = journalled(store, [intent(claim, at=NOW)])
    store.record([answered(attempt)], [settled(claim)], [], NOW, release=True)
    seen = store.overview(NOW + DAY)
    assert (seen.last_attempt, seen.organisation_id) == (NOW, "00D000000000001AAA")
    assert seen.latency[datetime(2026, 11, 23, tzinfo=UTC).date()].written == 1


def test_what_ticks_and_what_is_wrong_is_told_until_it_is_over(store: Store) -> None:
    wrong = Sighting("key", "rows-need-a-person", Severity.WARNING, "Two rows need a person.")
    store.beat("opt_out_queue_sensor", timedelta(seconds=30), NOW)
    store.enter_incidents([wrong], {"rows-need-a-person"}, NOW)
    seen = store.overview(NOW)
    assert [(each.key, each.words, each.opened_at) for each in seen.incidents] == [("key", wrong.words, NOW)]
    assert seen.heartbeats["opt_out_queue_sensor"].at == NOW
    store.enter_incidents([], {"rows-need-a-person"}, NOW + DAY)
    assert store.overview(NOW + DAY).incidents == ()
