"""Several processes on one database: nothing is lost, nothing is done twice, and a kill at any moment costs nothing."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from writeback_pipeline.bindings import open_store
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import LEASE, Attempt
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.environment import read_environment
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import NOW, contact, everything, unsubscribe
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
from writeback_pipeline_tests.postgres import server
from writeback_pipeline_tests.store.workers import BATCH

REPOSITORY = Path(__file__).parents[2]
PEOPLE = 2_000
"""More than the workers that are killed come to, on a quick machine too."""


def start(*command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "writeback_pipeline_tests.store.workers", *map(str, command)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], word: str) -> list[str]:
    """What it said after that word, over all its lines, once it has ended by itself."""
    output, _ = process.communicate(timeout=4 * PATIENCE_SECONDS)
    assert process.returncode == 0
    return words_after(word, output)


def words_after(word: str, output: str) -> list[str]:
    lines = [line.split() for line in output.splitlines()]
    return [each for line in lines if line[0] == word for each in line[1:]]


def killed(process: subprocess.Popen[str], word: str, after: float) -> str:
    """Everything that it said before it was killed, that long after it first said that word."""
    assert process.stdout is not None
    first = process.stdout.readline()
    while not words_after(word, first):
        first += process.stdout.readline()
    time.sleep(after)
    process.kill()
    rest, _ = process.communicate()
    return first + rest.rpartition("\n")[0]  # a line cut by the kill was acknowledged to nobody


@pytest.fixture(params=["duckdb", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store which the environment names to the processes of the test, too."""
    monkeypatch.setenv("WRITEBACK_HOME", str(tmp_path))
    monkeypatch.setenv("WRITEBACK_DATABASE", server().new_url() if request.param == "postgresql" else "")
    return open_store(read_environment(os.environ))


def attempts(store: Store) -> list[Attempt]:
    return store.attempts_of([row.id for row in everything(store)])


def test_many_processes_lose_nothing_and_do_nothing_twice(store: Store, tmp_path: Path) -> None:
    done, looked = tmp_path / "done", tmp_path / "looked"
    producers = [start("produce", name, 8) for name in (1, 1, 2)]
    workers = [start("deliver", name, done) for name in ("a", "b")]
    reader = start("look", looked)
    queued = [key for producer in producers for key in said(producer, "queued")]
    done.touch()
    recorded = [int(id_) for worker in workers for id_ in said(worker, "recorded")]
    looked.touch()
    assert int(said(reader, "looked")[0]) > 0

    rows = everything(store)
    assert sorted(row.delivery_key for row in rows) == sorted(set(queued))
    assert len(rows) == 2 * 8 * BATCH
    assert {row.status for row in rows} == {Status.WRITTEN}
    assert sorted(recorded) == sorted(row.id for row in rows)
    assert sorted(attempt.intent.writeback_id for attempt in attempts(store)) == sorted(recorded)


def test_a_producer_killed_in_mid_transaction_loses_nothing_acknowledged(store: Store) -> None:
    chance = random.Random(20261123)
    acknowledged: set[str] = set()
    for name in range(6):
        output = killed(start("produce", name, 1_000), "queued", chance.uniform(0, 0.25))
        acknowledged |= set(words_after("queued", output))
        queued = {row.delivery_key for row in everything(store)}
        assert acknowledged <= queued
        assert len(queued) % BATCH == 0
    assert len(acknowledged) >= 6 * BATCH


def test_a_worker_killed_in_mid_transaction_leaves_every_row_accounted_for(store: Store, tmp_path: Path) -> None:
    chance = random.Random(7)
    store.enqueue([unsubscribe(contact(n)) for n in range(PEOPLE)], NOW)
    for name in range(5):
        word = "recorded" if name == 0 else "journalled"
        output = killed(start("deliver", name, tmp_path / "never"), word, chance.uniform(0, 0.25))
        rows = {row.id: row for row in everything(store)}
        assert len(rows) == PEOPLE
        for id_ in words_after("recorded", output):
            assert rows[int(id_)].status is Status.WRITTEN
        journal = {attempt.id: attempt for attempt in attempts(store)}
        for id_ in words_after("journalled", output):
            assert rows[journal[int(id_)].intent.writeback_id].status in (Status.SENDING, Status.WRITTEN)
        for attempt in journal.values():
            assert (attempt.outcome is None) == (rows[attempt.intent.writeback_id].status is Status.SENDING)
    in_doubt = sum(row.status is Status.SENDING for row in everything(store))
    store.claim("later", NOW + LEASE, limit=1)
    by_status = store.depth().by_status
    assert by_status.get(Status.UNKNOWN, 0) == in_doubt
    assert Status.SENDING not in by_status
    assert by_status[Status.WRITTEN] > 0


def test_processes_and_threads_that_call_at_once_never_overshoot_the_budget(store: Store) -> None:
    workers = [start("call", 15) for _ in range(2)]
    assert sum(int(word) for worker in workers for word in said(worker, "admitted")) == 40
    assert store.calls_left(Purpose.OPT_OUTS, NOW) == 0


def test_a_stream_of_readers_lets_every_writer_in(store: Store, tmp_path: Path) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(3)], NOW)
    done = tmp_path / "done"
    readers = [start("gaze", done) for _ in range(3)]
    writer = start("produce", 1, 20)
    assert len(said(writer, "queued")) == 20 * BATCH
    done.touch()
    assert min(int(said(reader, "gazed")[0]) for reader in readers) > 0
