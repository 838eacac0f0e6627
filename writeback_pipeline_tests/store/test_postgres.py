"""A PostgreSQL server as the store meets it: who waits for whom, what its troubles are called, what is never told."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

import writeback_pipeline.store.postgres
from writeback_pipeline.domain.ledger import LEASE, EnqueueResult, StoreBusy
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store import postgres_connections
from writeback_pipeline.store.database import WAIT
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.location import open_database
from writeback_pipeline.store.postgres import PostgresDatabase
from writeback_pipeline.store.postgres_url import parse
from writeback_pipeline.store.schema import MIGRATIONS, Migration
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import postgres
from writeback_pipeline_tests.contracts.story import NOW, claim_one, contact, everything, statuses, unsubscribe, written
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
from writeback_pipeline_tests.postgres import PostgresServer, server

SHORT = timedelta(milliseconds=300)
NEXT: Migration = ("ALTER TABLE people ADD COLUMN nickname TEXT",)


@pytest.fixture
def url() -> str:
    return server().new_url()


@pytest.fixture
def store(url: str, tmp_path: Path) -> Store:
    return Store(url, tmp_path)


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    with postgres.own_server() as made:
        yield made


def test_homes_in_one_database_never_see_each_other(tmp_path: Path) -> None:
    north, south = (Store(server().new_url(), tmp_path) for _ in range(2))
    north.enqueue([unsubscribe(contact(1))], NOW)
    assert len(everything(north)) == 1
    assert everything(south) == []


def test_processes_that_come_first_at_the_same_moment_migrate_once(url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda _: Store(url, tmp_path).depth().owed, range(6))) == [0] * 6
    with open_database(url).reading() as session:
        [(versions,)] = session.execute("SELECT count(*) FROM schema_version").fetchall()
    assert versions == len(MIGRATIONS)


def test_an_older_database_is_migrated_and_a_newer_one_refused(url: str) -> None:
    with PostgresDatabase(url).writing():
        pass
    with PostgresDatabase(url, migrations=(*MIGRATIONS, NEXT)).reading() as session:
        assert session.execute("SELECT nickname FROM people").fetchall() == []
    with pytest.raises(StoreUnusable, match="a newer release"), PostgresDatabase(url).reading():
        pass


def test_a_migration_is_not_ended_for_a_page_that_has_little_patience(url: str) -> None:
    limit = "SELECT current_setting('idle_in_transaction_session_timeout') AS idle"
    keeps_its_own: Migration = (f"CREATE TABLE of_the_migration AS {limit}",)
    with PostgresDatabase(url, wait=WAIT / 2, migrations=(*MIGRATIONS, keeps_its_own)).reading() as session:
        assert session.execute(limit).fetchall() == [("10s",)]
        assert session.execute("SELECT idle FROM of_the_migration").fetchall() == [("20s",)]


def test_a_claim_passes_over_people_whom_another_worker_claims_at_this_moment(store: Store, url: str) -> None:
    store.enqueue([unsubscribe(contact(n)) for n in range(6)], NOW)
    with open_database(url).sharing() as session:
        session.execute(
            "SELECT 1 FROM people WHERE person_id IN (SELECT unnest($1::TEXT[])) FOR UPDATE",
            [[contact(n).salesforce_id for n in range(2)]],
        )
        theirs = store.claim("quick", NOW, limit=3)
    assert [claim.person for claim in theirs] == [contact(n) for n in (2, 3, 4)]


def test_workers_that_claim_at_once_share_the_people_and_neither_goes_away_empty(url: str, tmp_path: Path) -> None:
    Store(url, tmp_path).enqueue([unsubscribe(contact(n)) for n in range(400)], NOW)
    begin = threading.Barrier(4)

    def claimed(name: int) -> list[str]:
        begin.wait()
        return [claim.person.salesforce_id for claim in Store(url, tmp_path).claim(str(name), NOW, limit=100)]

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(claimed, range(4)))
    assert [len(share) for share in shares] == [100] * 4
    assert len({person for share in shares for person in share}) == 400


def test_processes_that_queue_the_same_changes_in_any_order_queue_each_once(url: str, tmp_path: Path) -> None:
    changes = [unsubscribe(contact(n)) for n in range(200)]
    begin = threading.Barrier(4)

    def queue(number: int) -> EnqueueResult:
        begin.wait()
        return Store(url, tmp_path).enqueue(changes if number % 2 else changes[::-1], NOW)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(queue, range(4)))
    assert sum(result.added for result in results) == 200
    assert sum(result.known for result in results) == 600
    assert len(everything(Store(url, tmp_path))) == 200


def test_queueing_waits_for_no_delivery_and_whoever_is_alone_waits_for_all(store: Store, url: str) -> None:
    quick = PostgresDatabase(url, wait=SHORT)
    store.enqueue([unsubscribe(contact(1))], NOW)
    with open_database(url).sharing():
        assert store.enqueue([unsubscribe(contact(2))], NOW).added == 1
        with pytest.raises(StoreBusy, match=r"kept it locked.*try again"), quick.writing():
            pass
    with open_database(url).writing(), open_database(url).reading() as session:
        assert session.execute("SELECT count(*) FROM writebacks").fetchall() == [(2,)]


def test_a_worker_that_stands_still_in_mid_transaction_gives_way_to_the_others(store: Store, url: str) -> None:
    patient = PostgresDatabase(url)
    stopped = PostgresDatabase(url, wait=timedelta(seconds=1.5))
    store.enqueue([unsubscribe(contact(1))], NOW)

    def stand_still() -> None:
        with stopped.sharing() as session:
            with patient.writing() as other:
                other.execute("UPDATE people SET epoch = 7")
            session.execute("SELECT 1")

    with pytest.raises(StoreBusy):
        stand_still()
    with patient.reading() as session:
        assert session.execute("SELECT epoch FROM people").fetchall() == [(7,)]


def test_a_look_is_of_one_moment_and_changes_nothing(store: Store, url: str) -> None:
    with open_database(url).reading() as session:
        assert session.execute("SELECT count(*) FROM writebacks").fetchall() == [(0,)]
        store.enqueue([unsubscribe(contact(1))], NOW)
        assert session.execute("SELECT count(*) FROM writebacks").fetchall() == [(0,)]
    with pytest.raises(StoreUnusable, match="read-only"), open_database(url).reading() as session:
        session.execute("DELETE FROM writebacks")


def test_an_error_in_a_transaction_undoes_it_and_keeps_its_own_name(url: str) -> None:
    database = open_database(url)

    def half_way() -> None:
        with database.writing() as session:
            session.execute("UPDATE settings SET value = 'x'")
            session.execute("INSERT INTO settings (name, value) VALUES ('sent', 'y')")

    with pytest.raises(psycopg.errors.UniqueViolation):
        half_way()
    with database.reading() as session:
        assert session.execute("SELECT count(*) FROM settings WHERE value = 'x'").fetchall() == [(0,)]


def test_a_restarted_server_is_met_by_the_next_transaction(own_server: PostgresServer, tmp_path: Path) -> None:
    store = Store(own_server.new_url(), tmp_path, wait=timedelta(seconds=2 * PATIENCE_SECONDS))
    store.enqueue([unsubscribe(contact(1))], NOW)
    own_server.stop(signal.SIGKILL)
    restarted = threading.Timer(0.5, own_server.start)
    restarted.start()
    assert store.enqueue([unsubscribe(contact(2))], NOW).added == 1
    restarted.join()
    assert statuses(store) == [Status.PENDING] * 2


def test_a_server_that_dies_in_mid_transaction_commits_nothing_of_it(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    url = own_server.new_url()
    store = Store(url, tmp_path)
    store.enqueue([unsubscribe(contact(1))], NOW)

    def break_off() -> None:
        with open_database(url).writing() as session:
            session.execute("DELETE FROM writebacks")
            own_server.stop(signal.SIGKILL)
            session.execute("DELETE FROM people")

    with pytest.raises(StoreBusy, match="the connection was lost"):
        break_off()
    with pytest.raises(StoreUnusable, match="Start the server, or correct host and port"):
        Store(url, tmp_path, wait=SHORT).depth()
    own_server.start()
    assert statuses(store) == [Status.PENDING]


def test_a_child_of_a_fork_leaves_its_parents_connections_alone(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    child = os.fork()
    if not child:
        status = 1
        try:
            store.enqueue([unsubscribe(contact(2))], NOW)
            postgres_connections.close_all()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(everything(store)) == 2


def test_connections_are_used_again_and_closed_when_they_have_waited_too_long(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def backends() -> set[int]:
        with open_database(url).reading() as session:
            return {pid for (pid,) in session.execute("SELECT pg_backend_pid()").fetchall()}

    assert backends() == backends()
    before = backends()
    monkeypatch.setattr(postgres_connections, "IDLE_SECONDS", 0.0)
    assert backends() != before


def test_a_machine_whose_clock_is_wrong_does_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    for seconds in (-30.0, 30.0):
        monkeypatch.setattr("time.time", lambda seconds=seconds: time.clock_gettime(0) + seconds)
        with pytest.raises(StoreUnusable, match=r"clock .* is \d+ s away from .*time server"):
            store.claim("worker", NOW, limit=1)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"user": "stranger"}, "Correct user and password in WRITEBACK_DATABASE"),
        ({"database": "nowhere"}, "Make the database, or correct its name"),
        ({"host": "/tmp/nowhere"}, "Start the server, or correct host and port"),
        ({"host": "127.0.0.1", "port": "1"}, "Start the server, or correct host and port"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_with_the_remedy(change: dict[str, str], remedy: str) -> None:
    url = server().url(**({"user": "writebacks"} | change)).replace("stranger@", "stranger:s3cret@")
    with pytest.raises(StoreUnusable, match=remedy) as raised, PostgresDatabase(url, wait=SHORT).reading():
        pass
    assert "s3cret" not in str(raised.value)


def test_whoever_waits_for_a_server_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    passed: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: sum(passed), sleep=passed.append, time=time.time)
    monkeypatch.setattr(writeback_pipeline.store.postgres, "time", clock)
    nowhere = PostgresDatabase("postgresql://somebody:hush-4711@127.0.0.1:1/ledger", wait=timedelta(seconds=10))
    with pytest.raises(StoreUnusable), nowhere.reading():
        pass
    told = "postgresql://somebody@127.0.0.1:1/ledger takes no connection: waiting up to 10 s"
    assert [record.getMessage() for record in caplog.records] == [told]


def test_a_role_without_rights_is_told_so(url: str, tmp_path: Path) -> None:
    Store(url, tmp_path).depth()
    with server().administration() as session:
        session.execute("DROP ROLE IF EXISTS poor")
        session.execute("CREATE ROLE poor LOGIN")
    poor = url.replace("writebacks@", "poor@")
    with pytest.raises(StoreUnusable, match="Give the role the right to it"):
        Store(poor, tmp_path).depth()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bridge:s3cret/with@slash@db.example/queue",
        "postgresql://bridge:s3cret@w0rd@db.example/queue",
        "postgresql://bridge:s3cret#w0rd@db.example/queue",
        "postgresql://bridge:s3cret@db.example:port/queue",
        "postgresql://bridge:s3cret@db.example/queue?nonsense=s3cret",
        "postgresql://bridge:s3cret@[db.example/queue",
        "postgresql://bridge:s3cret@db.example/queue?schema=Upper;s3cret",
        "mysql://bridge:s3cret@db.example/queue",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(StoreUnusable, match="WRITEBACK_DATABASE") as raised:
        open_database(url)
    told = f"{raised.value!r}{raised.value.__cause__!r}"
    assert "s3cret" not in told
    assert "w0rd" not in told


def test_what_is_shown_of_a_url_has_no_secret() -> None:
    url = "postgresql://bridge:s3cret%40x@db.example:5433/queue?schema=north&sslmode=verify-full&sslpassword=s3cret"
    assert parse(url).shown == "postgresql://bridge@db.example:5433/queue?schema=north"
    assert "s3cret" not in repr(parse(url))
    assert "sslmode=verify-full" in parse(url).conninfo
    assert "connect_timeout=5" in parse(url).conninfo
    assert "connect_timeout=2" in parse("postgresql:///queue?connect_timeout=2").conninfo


def test_a_logical_backup_put_back_is_noticed_by_whoever_comes_first(url: str, tmp_path: Path) -> None:
    """The tables of a restored dump are new ones, wherever it is put: another machine's mark is not needed."""
    store = Store(url, tmp_path / "one")
    store.enqueue([unsubscribe(contact(n)) for n in range(3)], NOW)
    written(store, claim_one(store))
    with open_database(url).writing() as session:
        session.execute("CREATE TABLE put_back AS TABLE incarnation")
        session.execute("DROP TABLE incarnation")
        session.execute("ALTER TABLE put_back RENAME TO incarnation")
    elsewhere = Store(url, tmp_path / "two")
    assert [claim.taken for claim in elsewhere.claim("worker", NOW, limit=9)] == []
    assert sorted(statuses(elsewhere)) == [Status.UNKNOWN, Status.UNKNOWN, Status.WRITTEN]
    assert elsewhere.claim("worker", NOW, limit=9) == []
    assert Store(url, tmp_path / "one").claim("worker", NOW + LEASE, limit=9) == [], "noticed once"


def test_rows_lost_with_the_end_of_the_log_are_noticed_by_the_mark(url: str, tmp_path: Path) -> None:
    store = Store(url, tmp_path)
    store.enqueue([unsubscribe(contact(n)) for n in range(3)], NOW)
    with open_database(url).writing() as session:
        session.execute("DELETE FROM writebacks WHERE id = 3")
    store.enqueue([unsubscribe(contact(9))], NOW)
    assert sorted(statuses(store)) == [Status.PENDING, Status.UNKNOWN, Status.UNKNOWN]
