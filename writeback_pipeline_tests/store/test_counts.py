"""Counts of writebacks that PostgreSQL keeps: they are right whoever changes what at the same time, and stay few."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.postgres_url import parse
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import NOW, contact, unsubscribe
from writeback_pipeline_tests.ledgers import miscounted
from writeback_pipeline_tests.postgres import server

PRODUCERS, EACH = 4, 60
SUMMED_UP_EVERY = 100


def test_whoever_queues_and_claims_at_the_same_time_the_counts_are_right_and_few(tmp_path: Path) -> None:
    url = server().new_url()
    Store(url, tmp_path).depth()

    def queue(number: int) -> None:
        store = Store(url, tmp_path)
        for n in range(EACH):
            store.enqueue([unsubscribe(contact(number * EACH + n))], NOW)

    with ThreadPoolExecutor(PRODUCERS) as threads:
        list(threads.map(queue, range(PRODUCERS)))
    store = Store(url, tmp_path)
    assert store.depth().by_status == {Status.PENDING: PRODUCERS * EACH}
    with open_database(url).reading() as session:
        assert miscounted(session) == []
        [(entries,)] = session.execute("SELECT count(*) FROM writeback_counts").fetchall()
    # Transactions of other tests count, too; what somebody was summing up is left for the next time.
    assert entries < 2 * SUMMED_UP_EVERY


def test_a_transaction_that_looks_at_one_moment_leaves_the_summing_up_to_others(tmp_path: Path) -> None:
    url = server().new_url()
    store = Store(url, tmp_path)
    store.depth()
    place = parse(url)
    with psycopg.connect(place.conninfo, autocommit=True) as session:
        while session.execute("SELECT txid_current()").fetchall()[0][0] % SUMMED_UP_EVERY != SUMMED_UP_EVERY - 1:
            pass
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        [(turn,)] = session.execute("SELECT txid_current()").fetchall()
        assert turn % SUMMED_UP_EVERY == 0, "its turn to sum up"
        for n in range(SUMMED_UP_EVERY + 1):
            store.enqueue([unsubscribe(contact(n))], NOW)
        session.execute(
            f'INSERT INTO "{place.schema}".opt_out_changes '
            "(kind, object_type, salesforce_id, occurred_at, delivery_key) "
            "VALUES ('unsubscribe', 'Contact', %s, now(), 'theirs')",
            [contact(1_000).salesforce_id],
        )
        session.execute("COMMIT")
    with open_database(url).reading() as session:
        assert miscounted(session) == []


def test_what_is_removed_is_counted_no_more(tmp_path: Path) -> None:
    url = server().new_url()
    store = Store(url, tmp_path)
    store.enqueue([unsubscribe(contact(n)) for n in range(3)], NOW)
    with open_database(url).writing() as session:
        session.execute("DELETE FROM writebacks WHERE id IN (SELECT max(id) FROM writebacks)")
    assert store.depth().by_status == {Status.PENDING: 2}
