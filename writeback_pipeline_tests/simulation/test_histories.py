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
"""Where nothing goes by Bulk: a job costs some seven calls, and many a history has jobs of a row or two."""


_counted: Counter[str] = Counter()


def told(verdict: Verdict) -> str:
    lines = [f"{kind}: {text}" for kind, texts in verdict.troubles.items() for text in texts]
    replay = f"replay: python -m writeback_pipeline_tests.simulation {verdict.seed}"
    return "\n".join([f"seed {verdict.seed}", *lines, replay])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_at_rest_nothing_is_lost_doubled_stale_or_unfinished(batch: int) -> None:
    failed = []
    events = faults = calls = events_by_calls = 0
    for seed in range(batch * SIZE, (batch + 1) * SIZE):
        history = History(seed)
        verdict = judge(history)
        events, faults = events + verdict.events, faults + verdict.faulted_calls
        if history.traits.bulk_threshold > EVENTS and not history.traits.activity:
            calls, events_by_calls = calls + verdict.calls, events_by_calls + verdict.events
        if verdict.troubles:
            failed.append(told(verdict))
    assert not failed, "\n\n".join(failed)
    assert events == SIZE * EVENTS
    assert faults >= events / 3
    assert calls <= CALLS_PER_EVENT * events_by_calls
    _counted.update(histories=SIZE, events=events, faults=faults, calls=calls, events_by_calls=events_by_calls)
    if batch == BATCHES - 1:
        each = _counted["calls"] / _counted["events_by_calls"]
        tell(
            f"{_counted['histories']:,} histories, {_counted['events']:,} events, {_counted['faults']:,} faults, "
            f"{each:.2f} calls an event: lost 0, duplicated 0, stale 0, unfinished 0"
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
