"""Programs that the tests run as processes of their own: `python -m writeback_pipeline_tests.store.workers NAME ...`.

They work on the database that the environment names.
Each says on standard output what the store has acknowledged, one line each, so that it can be killed at any moment.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from writeback_pipeline.bindings import open_store
from writeback_pipeline.delivery.gate import Gate
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.holds import HeldBack
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline.environment import read_environment
from writeback_pipeline_tests.contracts.story import NOW, answered, contact, intent, settled, unsubscribe

BATCH = 3


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def produce(name: str, batches: str) -> None:
    """Queue batches of changes; those with one name queue the same ones. Says which batch is queued."""
    store = open_store(read_environment(os.environ))
    for batch in range(int(batches)):
        people = [contact(int(name) * 100_000 + batch * BATCH + n) for n in range(BATCH)]
        store.enqueue([unsubscribe(person, key=f"{name}/{person.salesforce_id}") for person in people], NOW)
        say("queued", *(f"{name}/{person.salesforce_id}" for person in people))


def deliver(name: str, until: str) -> None:
    """Deliver whatever is due until the file `until` exists and nothing is. Says what was journalled and recorded."""
    store = open_store(read_environment(os.environ))
    while True:
        claims = store.claim(name, NOW, limit=4)
        if not claims:
            if Path(until).exists():
                return
            time.sleep(0.05)
            continue
        ids = store.journal([intent(claim, row=row) for claim in claims for row in claim.taken])
        assert None not in ids
        say("journalled", *ids)
        settlements = [settled(claim, row=row) for claim in claims for row in claim.taken]
        assert store.record([answered(id_) for id_ in ids if id_], settlements, [], NOW, release=True) == 0
        say("recorded", *(settlement.writeback_id for settlement in settlements))


def look(until: str) -> None:
    """Look at the list and the depth until the file `until` exists; says what it counted last."""
    store = open_store(read_environment(os.environ))
    for looks in count(1):
        rows = store.writebacks(WritebackFilter())
        assert len(rows) % BATCH == 0
        store.depth()
        if Path(until).exists():
            say("looked", looks)
            return
        time.sleep(0.05)


def gaze(until: str) -> None:
    """Look at the list again and again, never pausing, until the file `until` exists; says how often it looked."""
    store = open_store(read_environment(os.environ))
    for looks in count(1):
        store.page(WritebackFilter(), 50)
        if Path(until).exists():
            say("gazed", looks)
            return


def call(tries: str) -> None:
    """Ask for that many API calls from each of two threads; says how many of them were admitted."""
    gate = Gate(open_store(read_environment(os.environ)), Purpose.OPT_OUTS, lambda: NOW)

    def admitted(_: int) -> int:
        try:
            gate.admit(ApiUsage(calls=0, used=0, limit=80))
        except HeldBack:
            return 0
        return 1

    with ThreadPoolExecutor(2) as pool:
        say("admitted", sum(pool.map(admitted, range(2 * int(tries)))))


if __name__ == "__main__":
    programs: list[Callable[..., None]] = [produce, deliver, look, gaze, call]
    {each.__name__: each for each in programs}[sys.argv[1]](*sys.argv[2:])
