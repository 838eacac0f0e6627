"""A network that breaks calls in every way there is: everything is written, once, and the token goes nowhere else."""

from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from writeback_pipeline_tests.simulation.stores import STORES
from writeback_pipeline_tests.torture import SEED, listed, size, tell
from writeback_pipeline_tests.torture.faults import FAULTS
from writeback_pipeline_tests.torture.network import ROUNDS, History, play
from writeback_pipeline_tests.torture.wire import CallType

LEAST_FAULTS = dict.fromkeys(STORES, size(60, 500)) | {"memory": size(2_000, 5_000)}
"""On real stores, with real waiting for answers; and on the ledger in memory, where that is told instead."""

LEAST_KINDS, LEAST_OF_EACH = size(14, len(FAULTS)), dict.fromkeys(STORES, 0) | {"memory": size(0, 20)}

CHIEF_TYPES = frozenset({CallType.LOGIN, CallType.LOOK, CallType.FLAGS_AND_NOTES, CallType.TASKS})
"""What deliveries mostly call; the other types are struck as they come."""


def played(name: str, seed: int, home: Path, rounds: int = ROUNDS) -> History:
    home.mkdir()
    store = STORES[name]
    ledger = store.make(home)
    try:
        return play(seed, home, ledger, rounds)
    finally:
        store.close(ledger)


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", LEAST_FAULTS)
def test_no_fault_of_the_network_loses_or_doubles_anything(name: str, tmp_path: Path) -> None:
    struck: Counter[tuple[str, CallType]] = Counter()
    opt_outs = tasks = calls = 0
    for seed in count(SEED):
        history = played(name, seed, tmp_path / str(seed))
        replay = f"TORTURE_SEED={seed} pytest {__file__} -k {name}"
        assert history.opt_outs.clean, f"{history.opt_outs}\nagain by {replay}"
        assert history.tasks.clean, f"{history.tasks}\nagain by {replay}"
        assert history.strangers == 0, f"a call went to another host; again by {replay}"
        opt_outs, tasks, calls = opt_outs + history.opt_outs.events, tasks + history.tasks.events, calls + history.calls
        struck += history.struck
        pairs = [struck[kind, type_] for kind, fault in FAULTS.items() for type_ in CHIEF_TYPES & fault.strikes]
        if struck.total() >= LEAST_FAULTS[name] and min(pairs) >= LEAST_OF_EACH[name]:
            break
    kinds: Counter[str] = Counter()
    types: Counter[str] = Counter()
    for (kind, type_), times in struck.items():
        kinds[kind] += times
        types[type_] += times
    tell(f"network, ledger in {name}: {struck.total():,} faults of {len(kinds)} kinds in {calls:,} calls")
    tell(f"         {opt_outs:,} opt-outs and {tasks:,} Tasks: lost 0, duplicated 0, stale 0, unfinished 0")
    tell(f"         {listed(types)}")
    tell(f"         {listed(kinds)}")
    assert len(kinds) >= LEAST_KINDS
    assert struck.total() >= LEAST_FAULTS[name]


def test_a_seed_replays_its_history(tmp_path: Path) -> None:
    assert played("memory", SEED, tmp_path / "one", rounds=12) == played("memory", SEED, tmp_path / "two", rounds=12)
