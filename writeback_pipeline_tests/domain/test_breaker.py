"""When Salesforce is left alone after trouble, and for how long."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from writeback_pipeline.domain.breaker import PROBE, Breaker, barred, common_trouble, probing, recovered, tripped
from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
OUTAGE = OrganisationUnavailable("HTTP_503", "It was 503.", "Wait.", passing=True)
CLOSED = Breaker()
OK = RowResult(Answer.OK, record_id="003000000000001AAA")


def after(*times: datetime, trouble: OrganisationUnavailable = OUTAGE, start: Breaker = CLOSED) -> Breaker:
    breaker = start
    for at in times:
        breaker = tripped(probing(breaker, "me", at), trouble, "me", at, random.Random(7))
    return breaker


def wait_of(breaker: Breaker, since: datetime = NOW) -> timedelta:
    assert breaker.hold is not None
    return breaker.hold.until - since


def test_the_wait_doubles_from_half_a_minute_to_half_an_hour() -> None:
    waits = [wait_of(after(*[NOW] * failures)) for failures in range(1, 12)]
    assert 30 * SECOND <= waits[0] <= 36 * SECOND
    assert all(1.5 * shorter < longer or longer >= 25 * MINUTE for shorter, longer in pairwise(waits))
    assert all(25 * MINUTE <= each <= 30 * MINUTE for each in waits[-3:])


def test_waits_are_not_the_same_for_everybody() -> None:
    waits = {wait_of(tripped(CLOSED, OUTAGE, "me", NOW, random.Random(seed))) for seed in range(5)}
    assert len(waits) == 5


def test_trouble_that_says_how_long_is_believed_and_doubled_from_there() -> None:
    crowd = OrganisationUnavailable("REQUEST_LIMIT_EXCEEDED", "m", "a", passing=True, retry_after=10 * SECOND)
    quota = OrganisationUnavailable("REQUEST_LIMIT_EXCEEDED", "m", "a", passing=True, retry_after=HOUR)
    assert 10 * SECOND <= wait_of(after(NOW, trouble=crowd)) <= 12 * SECOND
    assert 20 * SECOND <= wait_of(after(NOW, NOW, trouble=crowd)) <= 24 * SECOND
    assert HOUR <= wait_of(after(NOW, NOW, NOW, trouble=quota)) <= 72 * MINUTE


def test_workers_that_meet_the_same_trouble_at_once_count_as_one() -> None:
    first = tripped(CLOSED, OUTAGE, "me", NOW, random.Random(7))
    assert tripped(first, OUTAGE, "another", NOW + SECOND, random.Random(8)) == first


def test_nobody_calls_while_it_is_open_and_one_tries_when_the_wait_is_over() -> None:
    open_ = after(NOW)
    hold = barred(open_, "me", NOW + 20 * SECOND, manual=False)
    assert hold is not None
    assert "HTTP_503: It was 503. Wait." in hold.words
    assert hold.words.startswith("Salesforce is tried again at 2026-11-23 12:00:3")
    assert barred(open_, "me", NOW + MINUTE, manual=False) is None
    probe = probing(open_, "me", NOW + MINUTE)
    assert barred(probe, "me", NOW + MINUTE, manual=False) is None
    assert barred(probe, "another", NOW + MINUTE, manual=False) is not None
    assert barred(probe, "another", NOW + MINUTE + PROBE, manual=False) is None  # the prober may have died


def test_a_person_need_not_wait() -> None:
    assert barred(after(NOW), "person", NOW + SECOND, manual=True) is None


def test_a_read_closes_it_and_only_a_write_proves_that_all_is_well() -> None:
    probe = probing(after(NOW, NOW), "me", NOW + MINUTE)
    read = recovered(probe, "me", proven=False)
    assert (read.hold, read.failures) == (None, 2)
    assert recovered(probe, "me", proven=True) == CLOSED
    assert recovered(read, "another", proven=True) == CLOSED


def test_a_call_from_before_the_trouble_closes_nothing() -> None:
    open_ = after(NOW)
    assert recovered(open_, "another", proven=True) == open_


def refused(code: str, count: int, message: str = "m") -> list[RowResult]:
    return [RowResult(Answer.REJECTED, code=code, message=message)] * count


@pytest.mark.parametrize(
    ("results", "is_common"),
    [
        ([*refused("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", 5), *[OK] * 15], True),
        ([*refused("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", 4), *[OK] * 16], False),
        (refused("FIELD_CUSTOM_VALIDATION_EXCEPTION", 19), False),
        ([*refused("NEVER_HEARD_OF", 10), *[OK] * 10], True),
        (refused("UNABLE_TO_LOCK_ROW", 20), False),
        (refused("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", 20, "caused by: UNABLE_TO_LOCK_ROW"), False),
        (refused("INVALID_CROSS_REFERENCE_KEY", 20), False),
        ([*refused("A", 4), *refused("B", 4), *[OK] * 12], False),
        ([RowResult(Answer.UNKNOWN, code="NO_ANSWER", message="m")] * 3, True),
        ([RowResult(Answer.UNKNOWN, code="NO_ANSWER", message="m"), OK], False),
        ([], False),
    ],
    ids=[
        "a-quarter",
        "a-fifth",
        "few-rows",
        "unknown-code",
        "passing",
        "passing-inside",
        "own-fault",
        "mixed",
        "none-answered",
        "one-answered",
        "nothing",
    ],
)
def test_rows_that_are_refused_alike_are_the_organisations_trouble(results: list[RowResult], is_common: bool) -> None:
    trouble = common_trouble(results)
    assert (trouble is not None) == is_common
    if trouble is not None:
        assert trouble.code == results[0].code
