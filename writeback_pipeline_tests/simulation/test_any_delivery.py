"""Whatever happens in whatever order, on every store: what must always hold is checked after every step.

In `make torture` 300 stories of 50 steps on each store, drawn anew every time; in a run of the suite the same ones.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from writeback_pipeline_tests.simulation.any_delivery import AnyDelivery
from writeback_pipeline_tests.simulation.stores import STORES, Kind
from writeback_pipeline_tests.torture import ALL, size, tell

STORIES = {"memory": size(200, 3_000)}
STEPS = 50


@pytest.mark.timeout(7_200)
@pytest.mark.parametrize("name", STORES)
def test_whatever_happens_nothing_is_lost_doubled_or_stale(name: str) -> None:
    stories, steps = STORIES.get(name, size(12, 300)), size(25, STEPS) if name != "memory" else STEPS
    told = settings(
        max_examples=stories,
        stateful_step_count=steps,
        derandomize=not ALL,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(_machine(name, STORES[name]), settings=told)
    tell(f"state machine on the store in {name}: {stories:,} stories of up to {steps} steps")


def _machine(name: str, store: Kind) -> type[AnyDelivery]:
    return type(f"AnyDeliveryOn{name.title()}", (AnyDelivery,), {"kind": store})
