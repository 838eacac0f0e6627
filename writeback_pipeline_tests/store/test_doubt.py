"""Until when an older flag write may still land."""

from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.domain.ledger import QUIET
from writeback_pipeline.store.settling import in_doubt_until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON, LATER, PAST = NOW + timedelta(minutes=1), NOW + timedelta(hours=1), NOW - timedelta(minutes=1)


@pytest.mark.parametrize("outcome", ["ok", "rejected", "not_sent"])
def test_an_answered_write_leaves_what_was_known_before(outcome: str) -> None:
    assert in_doubt_until(None, [(outcome, SOON)], NOW) is None
    assert in_doubt_until(LATER, [(outcome, SOON)], NOW) == LATER


@pytest.mark.parametrize("outcome", [None, "unknown"])
def test_a_write_without_an_answer_is_in_doubt_until_its_quiet_time_is_over(outcome: str | None) -> None:
    assert in_doubt_until(None, [(outcome, SOON)], NOW) == SOON + QUIET
    assert in_doubt_until(LATER, [(outcome, SOON)], NOW) == LATER
    assert in_doubt_until(PAST, [("ok", LATER), (outcome, SOON), (outcome, NOW)], NOW) == SOON + QUIET


def test_a_confirmed_write_settles_a_doubt_whose_time_has_passed_and_a_refused_one_does_not() -> None:
    assert in_doubt_until(PAST, [("ok", SOON)], NOW) is None
    assert in_doubt_until(NOW, [("ok", SOON)], NOW) is None
    assert in_doubt_until(PAST, [("rejected", SOON)], NOW) == PAST
