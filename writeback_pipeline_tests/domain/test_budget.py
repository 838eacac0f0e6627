"""How many calls are ours, for what, and when there are more of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.budget import (
    ASSUMED_LIMIT,
    Account,
    Purpose,
    calls_left,
    hour_of,
    oldest_hour,
    refusal,
)
from writeback_pipeline.domain.settings import WritebackSettings

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SETTINGS = WritebackSettings(api_budget_share=0.5, opt_out_reserve=0.2)


def account(calls: int = 0, hours_ago: int = 0, **more: int) -> Account:
    """An organisation with 1,000 requests, 500 of them ours."""
    return Account(
        {hour_of(NOW) - hours_ago * HOUR: calls}, limit=1_000, heard_at=NOW, used=more.pop("used", 0), **more
    )


@pytest.mark.parametrize(
    ("spent", "for_opt_outs", "for_activity"), [(0, 500, 400), (100, 400, 300), (400, 100, 0), (499, 1, 0), (500, 0, 0)]
)
def test_activity_leaves_the_reserve_and_opt_outs_may_use_all(spent: int, for_opt_outs: int, for_activity: int) -> None:
    assert calls_left(account(spent), SETTINGS, Purpose.OPT_OUTS, NOW) == for_opt_outs
    assert calls_left(account(spent), SETTINGS, Purpose.ACTIVITY, NOW) == for_activity


@pytest.mark.parametrize("purpose", Purpose)
@given(
    spent=st.integers(0, 600),
    used=st.integers(0, 1_100),
    due=st.integers(0, 30_000),
    heard=st.none() | st.integers(0, 100),
    reserve=st.sampled_from([0.0, 0.2, 1.0]),
    share=st.sampled_from([0.01, 0.5, 1.0]),
)
def test_a_call_is_refused_exactly_when_none_is_left(
    purpose: Purpose, spent: int, used: int, due: int, heard: int | None, reserve: float, share: float
) -> None:
    known = account(spent, used=used, opt_outs_due=due if purpose is Purpose.ACTIVITY else 0)
    if heard is None:
        known = replace(known, limit=None, used=None, heard_at=None)
    else:
        known = replace(known, heard_at=NOW - timedelta(minutes=heard))
    settings = WritebackSettings(api_budget_share=share, opt_out_reserve=reserve)
    held = refusal(known, settings, purpose, NOW)
    assert (held is not None) == (calls_left(known, settings, purpose, NOW) == 0)
    if held is not None:
        assert held.until > NOW
        assert held.passing
        assert all(sentence.endswith(".") for sentence in (held.message, held.advice))


def test_more_opt_outs_than_the_organisation_has_requests_come_first_before_anything_was_heard_of_it() -> None:
    held = refusal(Account({}, opt_outs_due=20_000), SETTINGS, Purpose.ACTIVITY, NOW)
    assert held is not None
    assert held.code == "OPT_OUTS_FIRST"


def test_an_hour_counts_until_all_of_it_is_older_than_a_day() -> None:
    assert oldest_hour(NOW) == datetime(2026, 11, 22, 12, tzinfo=UTC)
    held = refusal(account(500, hours_ago=3), SETTINGS, Purpose.OPT_OUTS, NOW)
    assert held is not None
    assert held.code == "API_BUDGET_SPENT"
    assert held.until == hour_of(NOW) - 3 * HOUR + 25 * HOUR


def test_it_is_tried_again_when_enough_has_rolled_out_of_the_window() -> None:
    calls = {hour_of(NOW) - 20 * HOUR: 50, hour_of(NOW) - 10 * HOUR: 100, hour_of(NOW): 350}
    known = Account(calls, limit=1_000)
    for_opt_outs, for_activity = (refusal(known, SETTINGS, purpose, NOW) for purpose in Purpose)
    assert for_opt_outs is not None
    assert for_opt_outs.until == hour_of(NOW) + 5 * HOUR
    assert for_activity is not None
    assert for_activity.until == hour_of(NOW) + 15 * HOUR


def test_an_organisation_that_says_nothing_is_taken_for_the_smallest() -> None:
    assert calls_left(Account({}), SETTINGS, Purpose.OPT_OUTS, NOW) == ASSUMED_LIMIT // 2


def test_when_the_organisation_has_nothing_left_nobody_calls() -> None:
    held = refusal(account(used=1_000), SETTINGS, Purpose.OPT_OUTS, NOW)
    assert held is not None
    assert (held.code, held.until) == ("API_LIMIT_REACHED", NOW + HOUR)
    assert refusal(account(used=1_000), SETTINGS, Purpose.OPT_OUTS, NOW + HOUR) is None  # and then a call asks again


def test_the_organisations_last_calls_are_kept_for_opt_outs_too() -> None:
    assert refusal(account(used=950), SETTINGS, Purpose.OPT_OUTS, NOW) is None
    held = refusal(account(used=950), SETTINGS, Purpose.ACTIVITY, NOW)
    assert held is not None
    assert held.code == "API_LIMIT_REACHED"


def test_while_opt_outs_are_due_activity_leaves_a_call_for_each() -> None:
    assert refusal(account(350), SETTINGS, Purpose.ACTIVITY, NOW) is None
    held = refusal(account(350, opt_outs_due=60), SETTINGS, Purpose.ACTIVITY, NOW)
    assert held is not None
    assert (held.code, held.until) == ("OPT_OUTS_FIRST", NOW + timedelta(minutes=1))
