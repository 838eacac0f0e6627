"""Thousands of hostile histories, each decided by its seed: at rest nothing is lost, doubled, stale or unfinished.

`make torture` plays 20,000. A seed that fails replays exactly: `python -m writeback_pipeline_tests.simulation SEED`.
"""

import os
from collections import Counter

import pytest

from writeback_pipeline_tests.simulation.history import EVENTS, History, Traits
from writeback_pipeline_tests.simulation.verdict import Verdict, judge
from writeback_pipeline_tests.torture import tell

BATCHES = 50
HISTORIES = 20_000 if os.environ.get("TORTURE") else 1_500
SIZE = HISTORIES // BATCHES
CALLS_PER_EVENT = 3.0
"""Looks, writes and read-backs of opt-outs and mailings, by whatever lane; polls are counted by the job."""

POLLS_PER_JOB = 12.0
"""A job here takes half a minute, and one in eight up to fifty; each worker that adopts it asks anew."""


_counted: Counter[str] = Counter()


def told(verdict: Verdict) -> str:
    lines = [f"{kind}: {text}" for kind, texts in verdict.troubles.items() for text in texts]
    replay = f"replay: python -m writeback_pipeline_tests.simulation {verdict.seed}"
    return "\n".join([f"seed {verdict.seed}", *lines, replay])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_at_rest_nothing_is_lost_doubled_stale_or_unfinished(batch: int) -> None:
    failed = []
    events = mailings = faults = calls = polls = jobs = 0
    for seed in range(batch * SIZE, (batch + 1) * SIZE):
        history = History(seed)
        verdict = judge(history)
        events, faults = events + verdict.events, faults + verdict.faulted_calls
        mailings += verdict.mailings
        calls, polls, jobs = calls + verdict.calls - verdict.polls, polls + verdict.polls, jobs + verdict.jobs
        if verdict.troubles:
            failed.append(told(verdict))
    assert not failed, "\n\n".join(failed)
    assert events == SIZE * EVENTS
    assert faults >= events / 3
    assert calls <= CALLS_PER_EVENT * (events + mailings)
    assert polls <= POLLS_PER_JOB * jobs
    counts = {"events": events, "mailings": mailings, "faults": faults, "calls": calls, "polls": polls, "jobs": jobs}
    _counted.update(histories=SIZE, **counts)
    if batch == BATCHES - 1:
        number = _counted
        each, asked = number["calls"] / (number["events"] + number["mailings"]), number["polls"] / number["jobs"]
        tell(
            f"{number['histories']:,} histories, {number['events']:,} opt-outs and {number['mailings']:,} mailings, "
            f"{number['faults']:,} faults, {each:.2f} calls an event, {asked:.1f} polls a job: lost 0, duplicated 0, "
            "stale 0, unfinished 0"
        )


def test_a_seed_decides_everything() -> None:
    def once() -> tuple[object, ...]:
        history = History(7)
        verdict = judge(history)
        return verdict, history.organisation.by_id, list(history.books.rows().values())

    assert once() == once()


def test_without_faults_a_history_costs_less_than_two_calls_an_event() -> None:
    history = History(11, forced=Traits())
    history.luck.on = False
    verdict = judge(history)
    assert not verdict.troubles
    assert verdict.calls < 2 * verdict.events
