"""Two workers on one ledger, one of them stopped past its lease and then let go: nothing twice, nothing believed."""

import random
from pathlib import Path

import pytest

from writeback_pipeline_tests.ledgers import kind_of
from writeback_pipeline_tests.torture import SEED, listed, size, tell
from writeback_pipeline_tests.torture.journal import accepted_from_the_fenced, answers
from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.site import site
from writeback_pipeline_tests.torture.stopping import stop_many
from writeback_pipeline_tests.torture.stories import Story

SPEED = 90
"""A lease is 2 s here, the quiet time of a lost answer 7 s."""

PEOPLE = 300
STOPS = size(4, 200)
REST_SECONDS = 900


@pytest.mark.every_store
@pytest.mark.timeout(3_600)
def test_a_worker_stopped_past_its_lease_does_no_harm_when_it_goes_on(tmp_path: Path, database: str) -> None:
    with site(tmp_path, SEED, SPEED, database) as here, WorkerProcess() as one, WorkerProcess() as other:
        story = Story(random.Random(SEED), here.people(PEOPLE))
        stop_many(here, (one, other), STOPS, story)
        here.work_until_rest(one, REST_SECONDS)
        verdict, attempts, notes = here.judge(), here.attempts(), here.notes()
    fenced = sum(note.get("fenced", 0) for note in notes)
    accepted = accepted_from_the_fenced(attempts)
    tell(f"zombies, ledger in {kind_of(database)}: {STOPS} stops past a lease, {verdict}")
    tell(f"         {listed(answers(attempts))} sends, {fenced} answers fenced off, {len(accepted)} accepted")
    assert not [note for note in notes if "failed" in note]
    assert not accepted
    assert verdict.clean, f"seed {SEED}: {verdict}"
