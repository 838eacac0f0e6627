"""A day and a half on a virtual clock: more activity than the budget bears, and opt-outs all the while.

The gate and the rules are the real ones, the ledger counts in memory; the organisation is a counter that refuses beyond
its limit, as Salesforce does.
"""

import random
from bisect import bisect_right
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from writeback_pipeline.delivery.gate import Gate
from writeback_pipeline.domain.budget import Account, Admission, Caller, Purpose, hour_of, oldest_hour, refusal
from writeback_pipeline.domain.holds import HeldBack, Hold
from writeback_pipeline.domain.records import ApiUsage, OrganisationUnavailable
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline_tests.world import START, Clock

LIMIT, OURS, RESERVE = 15_000, 7_500, 1_500
DAY = timedelta(hours=24)


class LedgerInMemory:
    """Counts calls as the store does, by the same rules, without a file."""

    def __init__(self) -> None:
        self.calls: dict[datetime, int] = {}
        self.heard, self.heard_at = ApiUsage(calls=0), START

    def settings(self) -> WritebackSettings:
        return WritebackSettings()

    def admit(self, caller: Caller, heard: ApiUsage, now: datetime, *, calls: int) -> Admission | Hold:
        if heard.limit is not None:
            self.heard, self.heard_at = heard, now
        counted = {hour: made for hour, made in self.calls.items() if hour >= oldest_hour(now)}
        account = Account(counted, self.heard.limit, self.heard.used, self.heard_at)
        hold = refusal(account, caller.settings, caller.purpose, now)
        if hold is None:
            self.calls[hour_of(now)] = self.calls.get(hour_of(now), 0) + calls
        return hold or Admission(probe=False, failures=0, limit_known=self.heard.limit is not None)

    def not_made(self, purpose: Purpose, admitted_at: datetime) -> None:
        self.calls[hour_of(admitted_at)] -= 1

    def hear(self, heard: ApiUsage, now: datetime) -> None:
        self.heard, self.heard_at = heard, now

    def trip(self, caller: Caller, trouble: OrganisationUnavailable, now: datetime, jitter: random.Random) -> None:
        raise AssertionError(trouble)

    def recover(self, caller: Caller, *, proven: bool) -> None:
        raise AssertionError


class Counter:
    """The organisation, as far as it counts; `lag` calls are missing from what it says."""

    def __init__(self, clock: Callable[[], datetime], lag: int | None) -> None:
        self.clock, self.lag = clock, lag
        self.made: list[datetime] = []

    def call(self) -> None:
        assert self.used() < LIMIT
        self.made.append(self.clock())

    def used(self) -> int:
        return len(self.made) - bisect_right(self.made, self.clock() - DAY)

    def says(self) -> ApiUsage:
        if self.lag is None or not self.made:
            return ApiUsage(calls=len(self.made))
        return ApiUsage(len(self.made), max(0, self.used() - self.lag), LIMIT)


@pytest.mark.parametrize("lag", [0, 40, None], ids=["exact", "lagging", "silent"])
def test_the_budget_is_never_overshot_and_opt_outs_go_though_activity_starves(lag: int | None) -> None:
    clock, chance = Clock(), random.Random(11)
    organisation, ledger = Counter(clock, lag), LedgerInMemory()
    gates = {purpose: Gate(ledger, purpose, clock) for purpose in Purpose}

    def called(purpose: Purpose) -> bool:
        try:
            gates[purpose].admit(organisation.says())
        except HeldBack:
            return False
        organisation.call()
        return True

    delivered = refused = starved = 0
    while clock() < START + 1.5 * DAY:
        clock.advance(timedelta(minutes=5))
        starved += sum(not called(Purpose.ACTIVITY) for _ in range(chance.randint(20, 60)))
        for _ in range(2 * chance.randint(0, 3)):
            went = called(Purpose.OPT_OUTS)
            delivered, refused = delivered + went, refused + (not went)
        assert organisation.used() <= OURS
    assert (refused, delivered > 1_000, starved > 5_000) == (0, True, True)
    most = max(bisect_right(organisation.made, at + DAY) - number for number, at in enumerate(organisation.made))
    assert OURS - RESERVE <= most <= OURS
