"""Workers killed at any moment, between a call and its answer too: everything is written, once, and the file opens."""

import random
from collections import Counter
from pathlib import Path

import pytest

from writeback_pipeline_tests.postgres import own_server
from writeback_pipeline_tests.torture import SEED, listed, size, tell
from writeback_pipeline_tests.torture.journal import answers
from writeback_pipeline_tests.torture.killing import Killer, kill_many
from writeback_pipeline_tests.torture.processes import WorkerProcess
from writeback_pipeline_tests.torture.site import Site, site
from writeback_pipeline_tests.torture.stories import Story

SPEED = 60
"""A lease is 3 s here, the quiet time of a lost answer 10.5 s."""

PEOPLE = 1_200
KILLS, EVENTS = 300, 5_000
REST_SECONDS = 900
"""A slow machine is no defect: people whom several workers did not return are served alone, some hundreds of them."""

SERVERS_WORKERS_KILLS, SERVER_KILLS, SERVERS_EVENTS = size(30, 100), size(3, 25), size(600, 5_000)


def _judge(here: Site, kills: Counter[str], in_doubt: Counter[str], what: str) -> None:
    verdict, notes = here.judge(), here.notes()
    openings = sorted(note["opened_after"] for note in notes if "opened_after" in note)
    failed = [note for note in notes if "failed" in note]
    p99 = openings[len(openings) * 99 // 100]
    tell(f"{what}: {kills.total()} kills ({listed(kills)}), {verdict}")
    tell(f"         {listed(in_doubt)} sends while it lasted; failed opens {len(failed)}, p99 of opening {p99:.3f} s")
    tell(f"         {here.left_to_a_person} writebacks were left to a person, who retried them")
    assert not failed
    assert verdict.clean, f"seed {SEED}: {verdict}"
    assert in_doubt["unknown"]


@pytest.mark.timeout(3_600)
def test_workers_killed_at_any_moment_lose_nothing_and_write_nothing_twice(tmp_path: Path) -> None:
    with site(tmp_path, SEED, SPEED) as here, WorkerProcess() as place:
        story = Story(random.Random(SEED), here.people(PEOPLE))
        kills = kill_many(here, place, KILLS, story, EVENTS)
        in_doubt = answers(here.attempts())
        here.work_until_rest(place, REST_SECONDS)
        _judge(here, kills, in_doubt, "kill -9")
        assert not [note for note in here.notes() if "store" in note], "nobody met trouble with the file"


@pytest.mark.timeout(3_600)
def test_workers_on_postgresql_and_the_server_itself_are_killed_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with own_server() as server, site(tmp_path, SEED, SPEED, server.new_url()) as here, WorkerProcess() as place:
        story = Story(random.Random(SEED), here.people(PEOPLE))
        with Killer(server, SERVER_KILLS) as killer:
            kills = kill_many(here, place, SERVERS_WORKERS_KILLS, story, SERVERS_EVENTS)
        in_doubt = answers(here.attempts())
        here.work_until_rest(place, REST_SECONDS)
        _judge(here, kills, in_doubt, f"PostgreSQL, {killer.kills} kills of the server, too")
    assert killer.kills >= SERVER_KILLS
