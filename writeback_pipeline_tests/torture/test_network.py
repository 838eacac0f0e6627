"""A network that breaks calls in every way there is: everything is written, once, and the token goes nowhere else."""

from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from writeback_pipeline_tests.torture import SEED, listed, size, tell
from writeback_pipeline_tests.torture.faults import FAULTS
from writeback_pipeline_tests.torture.network import play
from writeback_pipeline_tests.torture.wire import CallType

LEAST_FAULTS = size(100, 5_000)
LEAST_KINDS, LEAST_OF_EACH = size(14, len(FAULTS)), size(0, 20)

CHIEF_TYPES = (CallType.LOGIN, CallType.LOOK, CallType.FLAGS_AND_NOTES, CallType.TASKS)
"""What deliveries mostly call; the other types are struck as they come."""


@pytest.mark.timeout(7_200)
def test_no_fault_of_the_network_loses_or_doubles_anything(tmp_path: Path) -> None:
    struck: Counter[tuple[str, CallType]] = Counter()
    opt_outs = tasks = calls = 0
    for seed in count(SEED):
        home = tmp_path / str(seed)
        home.mkdir()
        history = play(seed, home)
        replay = f"TORTURE_SEED={seed} pytest {__file__}"
        assert history.opt_outs.clean, f"{history.opt_outs}\nagain by {replay}"
        assert history.tasks.clean, f"{history.tasks}\nagain by {replay}"
        assert history.strangers == 0, f"a call went to another host; again by {replay}"
        opt_outs, tasks, calls = opt_outs + history.opt_outs.events, tasks + history.tasks.events, calls + history.calls
        struck += history.struck
        if struck.total() >= LEAST_FAULTS:
            break
    kinds: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for (kind, type_), times in struck.items():
        kinds[kind] += times
        types[type_] += times
    tell(f"network: {struck.total():,} faults of {len(kinds)} kinds in {calls:,} calls, seeds {SEED} to {seed}")
    tell(f"         {opt_outs:,} opt-outs and {tasks:,} Tasks: lost 0, duplicated 0, stale 0, unfinished 0")
    tell(f"         {listed(types)}")
    tell(f"         {listed(kinds)}")
    assert len(kinds) >= LEAST_KINDS
    pairs = [struck[kind, type_] for kind, fault in FAULTS.items() for type_ in CHIEF_TYPES if type_ in fault.strikes]
    assert min(pairs) >= LEAST_OF_EACH


def test_a_seed_replays_its_history(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    assert play(SEED, tmp_path / "one", rounds=8) == play(SEED, tmp_path / "two", rounds=8)
