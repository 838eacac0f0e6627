"""Every rule of the protocol is missed when it is broken: a history goes wrong within a bounded number of seeds."""

import pytest

from writeback_pipeline.domain.writebacks import IllegalTransition
from writeback_pipeline_tests.simulation.history import History
from writeback_pipeline_tests.simulation.mutants import MUTANTS, Mutant
from writeback_pipeline_tests.simulation.verdict import judge
from writeback_pipeline_tests.torture import tell

SEEDS = 300


def killed_by(mutant: Mutant) -> str | None:
    """The first history that goes wrong under the mutant, and how."""
    for seed in range(SEEDS):
        with pytest.MonkeyPatch.context() as patch:
            mutant(patch)
            try:
                troubles = judge(History(seed)).troubles
            except IllegalTransition as error:
                return f"seed {seed}: {type(error).__name__}: {error}"
            if troubles:
                kind, (text, *_) = next(iter(troubles.items()))
                return f"seed {seed}: {kind}: {text}"
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_history_goes_wrong_without_the_rule(mutant: Mutant) -> None:
    killer = killed_by(mutant)
    assert killer is not None
    tell(f"without the rule, {mutant.__name__.replace('_', ' ')}: {killer}")
