"""Deliveries on a PostgreSQL server that fails at any step: a clear error, nothing lost, nothing twice, and then on."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.delivery.test_storage_faults import (
    AFTER_ALL_DOUBT,
    Failing,
    assert_each_has_exactly_one_note,
    deliver,
    empty,
    fill,
    needs_mounts,
)
from writeback_pipeline_tests.patience import wait_until
from writeback_pipeline_tests.postgres import PostgresServer
from writeback_pipeline_tests.world import World, world_in

STEPS = ("settle_without_recipient", "claim", "journal", "record")
WAIT = timedelta(seconds=0.5)
"""How long a transaction waits for a server, once that is gone or locked."""

Mend = Callable[[], object]


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    """The folder of the server: a disk of 150 MB of its own where one can be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="writebacks-pg-disk-"))
    if os.getuid() == 0:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(folder)], check=True)
    yield folder
    if os.getuid() == 0:
        subprocess.run(["umount", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def failing(disk: Path) -> Iterator[PostgresServer]:
    """A server that may be broken; the next test finds it well."""
    server = PostgresServer(disk)
    yield server
    server.stop(signal.SIGQUIT)


@pytest.fixture
def its_world(tmp_path: Path, failing: PostgresServer) -> Iterator[World]:
    with world_in(tmp_path, failing.new_url()) as made:
        yield made


def dies(server: PostgresServer) -> Mend:
    server.stop(signal.SIGKILL)
    return server.start


def cuts_every_connection(server: PostgresServer) -> Mend:
    with server.administration() as session:
        session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writebacks'")
    return lambda: None


def takes_no_writes(server: PostgresServer) -> Mend:
    _switch_read_only(server, "on")
    return lambda: _switch_read_only(server, "off")


def _switch_read_only(server: PostgresServer, to: str) -> None:
    with server.administration() as session:
        session.execute(f"ALTER SYSTEM SET default_transaction_read_only = {to}".encode())
        session.execute("SELECT pg_reload_conf()")
    wait_until(lambda: _read_only(server) == to)
    _read_only(server)  # a session begun since then: the server had told all others before


def _read_only(server: PostgresServer) -> str:
    with server.administration() as session:
        [(told,)] = session.execute("SHOW default_transaction_read_only").fetchall()
    return str(told)


def is_locked_by_somebody(server: PostgresServer) -> Mend:
    somebody = psycopg.connect(server.url("postgres"))
    [(schema,)] = somebody.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relname = 'schema_version' ORDER BY c.oid DESC LIMIT 1"
    ).fetchall()
    somebody.execute(f"LOCK TABLE {schema}.schema_version IN ACCESS EXCLUSIVE MODE".encode())
    return somebody.close


def lose_patience(store: Store, world: World) -> None:
    store._database = open_database(world.database, wait=WAIT)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    ("breaks", "told"),
    [
        (dies, "Start the server|the connection was lost"),
        (cuts_every_connection, ""),
        (takes_no_writes, "name the primary in WRITEBACK_DATABASE"),
        (is_locked_by_somebody, "other transactions kept it locked"),
    ],
)
def test_a_server_that_fails_at_any_step_is_told_and_the_next_delivery_goes_on(
    its_world: World, failing: PostgresServer, step: str, breaks: Callable[[PostgresServer], Mend], told: str
) -> None:
    people = [its_world.contact() for _ in range(20)]
    its_world.unsubscribe_all(people)
    mends: list[Mend] = []

    def break_it() -> None:
        mends.append(breaks(failing))
        if breaks in (dies, is_locked_by_somebody):
            lose_patience(store, its_world)

    store = Failing(its_world.database, its_world.home, step, break_it)
    if told:
        with pytest.raises((StoreBusy, StoreUnusable), match=told):
            deliver(its_world, store)
    else:
        deliver(its_world, store)
    assert sum(len(its_world.notes(person)) for person in people) == (20 if step == "record" or not told else 0)
    mends.pop()()
    _goes_on(its_world, people)


@needs_mounts
@pytest.mark.parametrize("step", ["claim", "journal", "record"])
def test_a_server_whose_disk_fills_up_loses_nothing_and_sends_nothing_twice(
    its_world: World, failing: PostgresServer, disk: Path, step: str
) -> None:
    people = [its_world.contact() for _ in range(300)]
    its_world.unsubscribe_all(people)

    def fill_it() -> None:
        fill(disk)
        lose_patience(store, its_world)

    store = Failing(its_world.database, its_world.home, step, fill_it)
    with pytest.raises((StoreBusy, StoreUnusable)):
        deliver(its_world, store)
    if step != "record":
        assert not any(its_world.notes(person) for person in people), "nothing is sent that is not journalled"
    empty(disk)
    failing.start()  # one that could not write its log has ended
    _goes_on(its_world, people)


def _goes_on(world: World, people: list[str]) -> None:
    world.clock.advance(AFTER_ALL_DOUBT)
    world.deliver()
    world.deliver()
    assert_each_has_exactly_one_note(world, people)
    assert {row.status for row in world.rows()} == {Status.WRITTEN}
