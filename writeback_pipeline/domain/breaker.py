"""When Salesforce is left alone after trouble that concerns everything: for how long, and who may try it first.

Pure: a breaker is a value, kept by the store and shared by all processes. While it is open no call is made, but for one
probe per step; each probe that fails doubles the wait.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.outcomes import OF_THE_RECORD, Action, classify
from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult

PROBE = timedelta(minutes=2)
"""How long a probe may take before another worker may make one."""

COMMON_FROM = 20
"""Rows that a write must have before one code among its answers can be common."""

COMMON_SHARE = 0.2

_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=25)
_JITTER = 1.2
"""Waits are up to a fifth longer than the step, so that workers do not come back in step; none exceeds half an hour."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Open while there is a `hold`. `failures` in a row set its length; `prober` may call until `probe_until`."""

    failures: int = 0
    hold: Hold | None = None
    prober: str | None = None
    probe_until: datetime | None = None


def barred(breaker: Breaker, caller: str, now: datetime, *, manual: bool) -> Hold | None:
    """Why that caller may not call now; None when it may. A `manual` caller, a person, need not wait."""
    hold = breaker.hold
    if hold is None or manual:
        return None
    if breaker.probe_until is not None and breaker.probe_until > now:
        return None if breaker.prober == caller else replace(hold, until=max(hold.until, breaker.probe_until))
    return hold if hold.until > now else None


def probing(breaker: Breaker, caller: str, now: datetime) -> Breaker:
    """The breaker while that caller makes the probe."""
    return replace(breaker, prober=caller, probe_until=now + PROBE)


def tripped(
    breaker: Breaker, trouble: OrganisationUnavailable, caller: str, now: datetime, jitter: random.Random
) -> Breaker:
    """The breaker after that trouble. Workers that met the same trouble at once count as one."""
    if breaker.hold is not None and breaker.hold.until > now and breaker.prober != caller:
        return breaker
    first = trouble.retry_after or _FIRST_WAIT
    wait = min(first * 2 ** min(breaker.failures, 10), max(first, _LONGEST_WAIT)) * jitter.uniform(1.0, _JITTER)
    hold = Hold(now + wait, trouble.code, trouble.message, trouble.advice, trouble.passing)
    return Breaker(breaker.failures + 1, hold)


def recovered(breaker: Breaker, caller: str, *, proven: bool) -> Breaker:
    """The breaker after a call that met no trouble. Only a write proves that the waits may start from the shortest:
    a write can be refused where reads are not."""
    if breaker.hold is not None and breaker.prober != caller:
        return breaker  # a call from before the trouble
    return Breaker(failures=0 if proven else breaker.failures)


def common_trouble(results: Sequence[RowResult]) -> OrganisationUnavailable | None:
    """The trouble behind a write whose rows nobody answered for, or too many of whose rows were refused alike."""
    if results and all(result.answer is Answer.UNKNOWN for result in results):
        advice = "What was sent is in doubt and is not sent again; the rest is tried again by itself."
        return OrganisationUnavailable(
            results[0].code or "NO_ANSWER", results[0].message or "There was no answer.", advice, passing=True
        )
    refused = [result for result in results if _needs_a_person(result)]
    if len(results) < COMMON_FROM or not refused:
        return None
    [(code, count)] = Counter(result.code or "" for result in refused).most_common(1)
    if count <= COMMON_SHARE * len(results):
        return None
    example = next(result.message or "" for result in refused if result.code == code)
    return OrganisationUnavailable(
        code,
        f"{count} of {len(results)} rows of one call were refused alike, such as: {example}",
        f"{classify(code).advice} The other rows are not sent into it meanwhile.",
        passing=False,
    )


def _needs_a_person(result: RowResult) -> bool:
    code = result.code or ""
    refused = result.answer is Answer.REJECTED and code not in OF_THE_RECORD
    return refused and classify(code, result.message or "").action is Action.PERSON
