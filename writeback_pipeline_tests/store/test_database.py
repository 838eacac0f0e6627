"""The database file: one transaction at a time, nothing left open, errors that say what to do."""

import fcntl
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread

import duckdb
import pytest

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store import engines
from writeback_pipeline.store.database import WAIT, Database
from writeback_pipeline.store.errors import StoreUnusable, unusable
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

SHORT = timedelta(milliseconds=100)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "writebacks.duckdb")


def put(database: Database, name: str) -> None:
    with database.writing() as session:
        session.execute("INSERT INTO settings (name, value) VALUES ($1, 'x')", [name])


def has(database: Database, name: str) -> bool:
    with database.reading() as session:
        return bool(session.execute("SELECT 1 FROM settings WHERE name = $1", [name]).fetchall())


def fail(database: Database) -> None:
    with suppress(ValueError), database.writing():
        raise ValueError("in the middle")


def in_another_process(program: str, path: Path) -> subprocess.Popen[str]:
    """Run the program with `path`; returns once it has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys, time\nfrom pathlib import Path\npath = Path({str(path)!r})\n{program}"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def ended(process: subprocess.Popen[str]) -> str:
    """What it printed after its first line; its standard input is closed, which is how it learns to end."""
    output, _ = process.communicate(timeout=4 * PATIENCE_SECONDS)
    assert process.returncode == 0
    return output


def test_the_folder_and_the_file_are_made_by_the_first_look(tmp_path: Path) -> None:
    database = Database(tmp_path / "some" / "where" / "writebacks.duckdb")
    with database.reading() as session:
        assert session.execute("SELECT count(*) FROM writebacks").fetchall() == [(0,)]
    assert database.path.exists()


def test_an_error_in_a_transaction_undoes_it_and_frees_the_file(database: Database) -> None:
    def half_way(error: BaseException) -> None:
        with database.writing() as session:
            session.execute("INSERT INTO settings (name, value) VALUES ('half', 'x')")
            raise error

    quick = Database(database.path, wait=SHORT)
    for error in (RuntimeError("mid-way"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as raised:
            half_way(error)
        assert raised.value.__traceback__ is not None  # a traceback that is kept alive keeps nothing open
        assert not has(quick, "half")
    put(quick, "whole")
    assert has(quick, "whole")


def test_a_mistake_in_a_statement_keeps_its_own_name(database: Database) -> None:
    with pytest.raises(duckdb.CatalogException), database.reading() as session:
        session.execute("SELECT * FROM nowhere")
    with pytest.raises(duckdb.ConstraintException):
        put(database, "sent")
    put(database, "whole")


def test_a_look_cannot_change_anything(database: Database) -> None:
    put(database, "whole")
    with pytest.raises(duckdb.InvalidInputException, match="read-only"), database.reading() as session:
        session.execute("DELETE FROM settings")
    assert has(database, "whole")


def test_readers_look_at_the_same_time(database: Database) -> None:
    put(database, "whole")
    quick = Database(database.path, wait=SHORT)
    with database.reading(), quick.reading() as session:
        assert session.execute("SELECT count(*) FROM settings WHERE name = 'whole'").fetchall() == [(1,)]


@pytest.mark.parametrize("holder", ["reader", "writer"])
def test_a_writer_waits_for_its_turn_and_then_says_who_it_waited_for(database: Database, holder: str) -> None:
    put(database, "whole")
    began = time.monotonic()
    with database.reading() if holder == "reader" else database.writing():
        began = time.monotonic()
        with pytest.raises(StoreBusy) as raised:
            put(Database(database.path, wait=SHORT), "other")
        waited = time.monotonic() - began
    assert 0.1 <= waited < WAIT.total_seconds()
    assert str(database.path) in str(raised.value)
    assert "0.1 s" in str(raised.value)
    assert "try again" in str(raised.value)
    assert not has(database, "other")


def test_a_look_waits_for_the_writer_too(database: Database) -> None:
    quick = Database(database.path, wait=SHORT)
    with database.writing(), pytest.raises(StoreBusy), quick.reading():
        pass
    assert not has(quick, "anything")


def test_a_process_that_waits_gets_in_once_the_other_is_done(database: Database) -> None:
    put(database, "first")
    holding = in_another_process(
        "from writeback_pipeline.store.database import Database\n"
        "with Database(path).writing() as session:\n"
        "    session.execute(\"INSERT INTO settings (name, value) VALUES ('theirs', 'x')\")\n"
        "    print('holding', flush=True)\n"
        "    time.sleep(0.3)\n",
        database.path,
    )
    put(database, "ours")
    ended(holding)
    assert has(database, "ours")
    assert has(database, "theirs")


def test_a_process_that_is_killed_holds_nothing(database: Database) -> None:
    put(database, "first")
    holding = in_another_process(
        "from writeback_pipeline.store.database import Database\n"
        "with Database(path).writing():\n"
        "    print('holding', flush=True)\n"
        "    time.sleep(60)\n",
        database.path,
    )
    holding.kill()
    holding.communicate()
    put(database, "second")


def test_engines_are_kept_but_not_all_that_a_crowd_of_readers_needed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = 0
    start = engines._started

    def counted(path: Path) -> duckdb.DuckDBPyConnection:
        nonlocal started
        started += 1
        return start(path)

    monkeypatch.setattr(engines, "_started", counted)
    monkeypatch.setattr(engines, "MOST_IDLE", 2)

    def read_together(readers: int) -> int:
        before = started
        with ExitStack() as stack:
            for _ in range(readers):
                stack.enter_context(database.reading())
        return started - before

    put(database, "a")
    assert [read_together(readers) for readers in (1, 3, 2, 3)] == [0, 2, 0, 1]


def test_whoever_comes_with_a_file_finds_its_engine_until_there_were_too_many_others_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    start = engines._started

    def listed(path: Path) -> duckdb.DuckDBPyConnection:
        started.append(path)
        return start(path)

    monkeypatch.setattr(engines, "_started", listed)
    monkeypatch.setattr(engines, "MOST_FILES", 2)
    first, second, third = (tmp_path / f"{name}.duckdb" for name in ("first", "second", "third"))
    for number, path in enumerate((first, first, second, first, third, first, third, second, third, second, first)):
        put(Database(path), f"setting {number}")
    assert started == [first, second, third, second, first]


def test_an_idle_engine_gives_back_the_memory_that_a_heavy_look_took(database: Database) -> None:
    program = """
from writeback_pipeline.store.database import Database
def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 1_000_000
def look(rows):
    with Database(path).reading() as session:
        session.execute(
            f"SELECT h, count(*) FROM (SELECT md5(i::TEXT) AS h FROM range({rows}) t(i)) GROUP BY h ORDER BY h LIMIT 1"
        ).fetchall()
look(1)
print(flush=True)
before = megabytes()
look(1_500_000)
after = megabytes()
for _ in range(100):
    if megabytes() - before < (after - before) / 2:
        break
    time.sleep(0.1)
print(before, after, megabytes())
"""
    before, after, in_the_end = map(int, ended(in_another_process(program, database.path)).split())
    assert after > before + 50
    assert in_the_end - before < (after - before) / 2


def test_a_child_of_a_fork_leaves_an_engine_alone_that_a_thread_gave_back_right_before_it(database: Database) -> None:
    program = """
import os
from writeback_pipeline.store import engines
from writeback_pipeline_tests.store.test_database import Database, put
database = Database(path)
print(flush=True)
put(database, "a")
close_all, engines.close_all = engines.close_all, lambda: None
child = os.fork()
engines.close_all = close_all
if not child:
    put(database, "b")
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert ended(in_another_process(program, database.path)) == "0\n"
    assert has(database, "b")


def test_children_of_a_fork_end_in_peace_whatever_they_do(database: Database) -> None:
    program = """
import os
from writeback_pipeline_tests.store.test_database import Database, fail, has, put
database = Database(path)
print(flush=True)
for work in (lambda: put(database, "b"), lambda: fail(database), lambda: has(database, "a"), lambda: None):
    put(database, "a")
    if not (child := os.fork()):
        work()
        sys.exit(0)  # the interpreter ends all that it still has
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    with database.writing() as session:
        session.execute("DELETE FROM settings WHERE name = 'a'")
"""
    assert ended(in_another_process(program, database.path)) == "0\n" * 4
    assert has(database, "b")


def test_a_copy_made_by_path_while_the_file_is_open_lets_nobody_in(database: Database) -> None:
    put(database, "first")
    holding = in_another_process(
        "from writeback_pipeline.store.database import Database\n"
        "with Database(path).writing() as session:\n"
        "    path.read_bytes()\n"  # the operating system drops DuckDB's own lock here
        "    print('holding', flush=True)\n"
        "    sys.stdin.read()\n"
        "    session.execute(\"INSERT INTO settings (name, value) VALUES ('theirs', 'x')\")\n",
        database.path,
    )
    with pytest.raises(StoreBusy):
        put(Database(database.path, wait=SHORT), "ours")
    ended(holding)
    assert has(database, "theirs")
    assert not has(database, "ours")


def test_a_program_that_opened_the_file_directly_is_waited_for(database: Database) -> None:
    put(database, "first")
    holding = in_another_process(
        "import duckdb\ncon = duckdb.connect(str(path))\nprint('holding', flush=True)\nsys.stdin.read()\ncon.close()\n",
        database.path,
    )
    with pytest.raises(StoreBusy, match="a program that opened it directly"):
        put(Database(database.path, wait=SHORT), "ours")
    ended(holding)
    put(database, "ours")


def test_threads_of_one_process_take_turns(database: Database) -> None:
    put(database, "count")
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                with database.writing() as session:
                    session.execute("UPDATE settings SET value = value || 'x' WHERE name = 'count'")
                with database.reading() as session:
                    session.execute("SELECT * FROM settings").fetchall()
        except BaseException as error:
            failures.append(error)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.reading() as session:
        assert session.execute("SELECT value FROM settings WHERE name = 'count'").fetchall() == [("x" * 21,)]


def test_one_file_has_one_lock_by_whatever_path_it_is_reached(database: Database, tmp_path: Path) -> None:
    put(database, "first")
    link = tmp_path / "link.duckdb"
    link.symlink_to(database.path)
    with database.writing(), pytest.raises(StoreBusy):
        put(Database(link, wait=SHORT), "second")


def test_the_lock_file_stays_and_is_free_afterwards(database: Database) -> None:
    put(database, "first")
    with Path(f"{database.path}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def flipped(content: bytes) -> bytes:
    damaged = bytearray(content)
    for position in range(12_288, len(damaged), 4_096):
        damaged[position + 99] ^= 0xFF
    return bytes(damaged)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"this is no database" * 1_000,
        lambda content: b"SQLite format 3\0".ljust(len(content)),
        lambda content: content[: len(content) // 2],
        flipped,
    ],
    ids=["empty", "foreign", "another database's", "cut", "flipped"],
)
def test_a_damaged_file_is_named_with_the_remedy_and_left_as_it_is(database: Database, damage: object) -> None:
    put(database, "first")
    content = damage(database.path.read_bytes())  # type: ignore[operator]
    database.path.write_bytes(content)
    for opened in (database.reading, database.writing):
        with pytest.raises(StoreUnusable) as raised, opened() as session:
            session.execute("SELECT * FROM settings").fetchall()
        assert str(database.path) in str(raised.value)
        assert "put the last backup in its place" in str(raised.value)
    assert database.path.read_bytes() == content


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, remedy in [
        (Path("/sys/writebacks.duckdb"), "correct the owner and the permissions"),
        (tmp_path / "file" / "writebacks.duckdb", "correct WRITEBACK_DATABASE"),
        (tmp_path, "correct WRITEBACK_DATABASE"),
    ]:
        with pytest.raises(StoreUnusable, match=remedy) as raised, Database(path).reading():
            pass
        assert str(path) in str(raised.value)


def test_a_full_disk_stops_the_transaction_and_nothing_else(database: Database) -> None:
    put(database, "first")
    filling = in_another_process(
        "import resource, signal\n"
        "from writeback_pipeline.store.database import Database\n"
        "from writeback_pipeline.store.errors import StoreUnusable\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"  # a limit on the file's size stands in for the full disk
        "limit = path.stat().st_size + 8_000_000\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "print('filling', flush=True)\n"
        "try:\n"
        "    for n in range(100):\n"
        "        with Database(path).writing() as session:\n"
        "            session.execute('INSERT INTO settings (name, value) '\n"
        "                'SELECT $1 || i, md5(i::TEXT) || md5($1 || i) FROM range(20000) t(i)', [f'n{n}-'])\n"
        "        print(n, flush=True)\n"
        "except StoreUnusable as error:\n"
        "    print(error)\n",
        database.path,
    )
    *acknowledged, message = ended(filling).splitlines()
    assert str(database.path) in message
    assert "is full: free some space" in message
    assert acknowledged
    with database.reading() as session:
        [(rows,)] = session.execute("SELECT count(*) FROM settings WHERE name LIKE 'n%-%'").fetchall()
    assert rows == 20_000 * len(acknowledged)
    put(database, "after")


def test_an_unexpected_trouble_still_names_the_file() -> None:
    error = unusable(Path("/data/writebacks.duckdb"), OSError("something new\nwith a second line"))
    assert str(error).startswith("/data/writebacks.duckdb cannot be used.")
    assert str(error).endswith("The cause: something new")
