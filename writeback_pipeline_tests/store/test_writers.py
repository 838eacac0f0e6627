"""Threads that write to one file take turns; it stays open for the next of them while nobody else wants it."""

import fcntl
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pytest

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store import database as database_module
from writeback_pipeline.store import file_lock, writers
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.errors import StoreUnusable
from writeback_pipeline.store.file_lock import Patience, is_awaited, locked
from writeback_pipeline.store.schema import MIGRATIONS
from writeback_pipeline.store.writers import Writers, writers_of
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until
from writeback_pipeline_tests.store.test_database import ended, fail, has, in_another_process, put

T = TypeVar("T")


class File:
    """Something that is open."""

    closed = False

    def close(self) -> None:
        assert not self.closed
        self.closed = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "writebacks.duckdb"


@pytest.fixture
def mine(path: Path) -> Writers:
    return Writers(path)


@pytest.fixture
def patient_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lingers does so for as long as it is not wanted."""
    monkeypatch.setattr(writers, "LINGER", math.inf)
    monkeypatch.setattr(writers, "LONGEST_OPEN", math.inf)


@pytest.fixture
def sleeping_keeper(patient_keeper: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody looks whether it is."""
    monkeypatch.setattr(writers, "LOOK_EVERY", threading.TIMEOUT_MAX)


def patience(seconds: float = PATIENCE_SECONDS) -> Patience:
    return Patience(Path("writebacks.duckdb"), timedelta(seconds=seconds))


def wait_for_a_turn(writers: Writers, work: Callable[[], object]) -> Callable[[], None]:
    """Another thread that is to work and waits for its turn; what is returned waits for its end."""
    failures: list[BaseException] = []
    waiting = len(writers._line)

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    def join() -> None:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        assert failures == []

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: len(writers._line) > waiting)
    return join


@contextmanager
def followed(turn: AbstractContextManager[T], writers: Writers, *works: Callable[[], object]) -> Iterator[T]:
    """A turn for which threads wait that are to work; they have worked after it."""
    with ExitStack() as after, turn as begun:
        for work in works:
            after.callback(wait_for_a_turn(writers, work))
        yield begun


def take_a_turn(writers: Writers, leaves: File | None = None, seconds: float = PATIENCE_SECONDS) -> object:
    """A turn; returns what was found, which is closed unless it is left again."""
    with writers.turn(patience(seconds)) as turn:
        if turn.found is not None and turn.found is not leaves:
            turn.found.close()
        turn.left = leaves
        return turn.found


def take_in_vain(writers: Writers, error: type[BaseException], seconds: float = PATIENCE_SECONDS) -> None:
    with pytest.raises(error):
        take_a_turn(writers, seconds=seconds)


@contextmanager
def somebody_waiting(path: Path) -> Iterator[None]:
    """Another process has the turn: it waits for the lock of that file."""
    with file_lock._opened(path, ".turn") as turn:
        assert file_lock._got(turn, fcntl.LOCK_EX)
        yield


def test_one_at_a_time_has_a_turn_and_who_came_first_is_next(mine: Writers) -> None:
    came: list[int] = []

    def come(number: int) -> None:
        with mine.turn(patience()):
            came.append(number)

    with followed(mine.turn(patience(0)), mine, *(partial(come, number) for number in range(4))):
        assert not came
    assert came == [0, 1, 2, 3]


def test_a_turn_that_ends_by_an_error_is_over(mine: Writers) -> None:
    with pytest.raises(ZeroDivisionError), mine.turn(patience(0)):
        raise ZeroDivisionError
    assert take_a_turn(mine, seconds=0) is None


def test_a_thread_that_has_waited_long_enough_gives_up_and_the_others_go_on(mine: Writers) -> None:
    came: list[object] = []
    with mine.turn(patience(0)):
        impatient = wait_for_a_turn(mine, lambda: take_in_vain(mine, StoreBusy, 0.5))
        next_one = wait_for_a_turn(mine, lambda: came.append(take_a_turn(mine)))
        impatient()
    next_one()
    assert came == [None]


def test_who_is_interrupted_as_its_turn_begins_passes_it_on(mine: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[object] = []
    wait = mine._free.wait

    def interrupted(seconds: float) -> bool:
        monkeypatch.undo()
        wait(seconds)
        wait(0.1)  # the next one has seen that it is not the first, and waits
        raise KeyboardInterrupt

    monkeypatch.setattr(mine._free, "wait", interrupted)
    with followed(
        mine.turn(patience(0)),
        mine,
        lambda: take_in_vain(mine, KeyboardInterrupt),
        lambda: came.append(take_a_turn(mine, seconds=2 * PATIENCE_SECONDS)),  # longer than its end is waited for
    ):
        pass
    assert came == [None]


class InterruptedLine(list[Any]):
    """A line in which an interrupt comes just after somebody has been put in, or taken out."""

    def __init__(self, after: str) -> None:
        super().__init__()
        self._after = after

    def append(self, place: Any) -> None:
        super().append(place)
        self._interrupt("append")

    def remove(self, place: Any) -> None:
        super().remove(place)
        self._interrupt("remove")

    def _interrupt(self, now: str) -> None:
        if now == self._after:
            self._after = ""
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", ["append", "remove"])
def test_who_is_interrupted_in_the_line_is_in_nobody_s_way(mine: Writers, after: str) -> None:
    mine._line = InterruptedLine(after)
    take_in_vain(mine, KeyboardInterrupt)
    assert take_a_turn(mine, seconds=0) is None


def test_who_is_interrupted_as_its_turn_ends_leaves_nothing_open(
    mine: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Path) -> bool:
        raise KeyboardInterrupt

    file = File()
    with mine.kept_open():
        monkeypatch.setattr(writers, "is_awaited", interrupted)
        with pytest.raises(KeyboardInterrupt):
            take_a_turn(mine, leaves=file)
        assert file.closed
        assert take_a_turn(mine, seconds=0) is None


def test_an_interrupt_as_a_condition_is_entered_leaves_nothing_locked(
    mine: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = threading.Condition.__enter__

    def interrupted(condition: threading.Condition) -> bool:
        enter(condition)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(threading.Condition, "__enter__", interrupted)
        take_a_turn(mine)
    assert mine._free.acquire(timeout=1)


def test_nothing_lingers_outside_of_a_block(mine: Writers) -> None:
    file, found = File(), list[object]()
    with followed(mine.turn(patience(0)), mine, lambda: found.append(take_a_turn(mine))) as turn:
        turn.left = file
    assert file.closed
    assert found == [None]


def test_in_a_block_the_next_turn_goes_on_with_what_is_open(mine: Writers, sleeping_keeper: None) -> None:
    file, found = File(), list[object]()
    with mine.kept_open():
        assert take_a_turn(mine, leaves=file) is None
        assert take_a_turn(mine, leaves=file) is file
        with followed(mine.turn(patience(0)), mine, lambda: found.append(take_a_turn(mine, leaves=file))) as turn:
            turn.left = turn.found
        assert found == [file]
        assert not file.closed
    assert file.closed


def test_nothing_of_a_block_is_left_after_it(mine: Writers, sleeping_keeper: None) -> None:
    file, before = File(), threading.active_count()
    with suppress(ZeroDivisionError), mine.kept_open():
        take_a_turn(mine, leaves=file)
        raise ZeroDivisionError
    assert file.closed
    assert threading.active_count() == before


def test_a_turn_that_lasts_longer_than_the_block_leaves_nothing(mine: Writers) -> None:
    file = File()
    with ExitStack() as block:
        block.enter_context(mine.kept_open())
        with mine.turn(patience(0)) as turn:
            turn.left = file
            block.close()
            assert not file.closed
    assert file.closed


def test_a_block_that_ends_just_as_a_turn_does_leaves_nothing(mine: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File()
    with ExitStack() as block:

        def ends_it(_: Path) -> bool:
            block.close()
            return False

        block.enter_context(mine.kept_open())
        monkeypatch.setattr(writers, "is_awaited", ends_it)
        take_a_turn(mine, leaves=file)
        assert file.closed


def test_of_two_blocks_the_last_to_end_closes(mine: Writers, sleeping_keeper: None) -> None:
    file = File()
    with mine.kept_open():
        with mine.kept_open():
            take_a_turn(mine, leaves=file)
        assert not file.closed
    assert file.closed


def test_what_nobody_comes_for_is_closed(mine: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "LONGEST_OPEN", math.inf)
    file, another = File(), File()
    with mine.kept_open():
        take_a_turn(mine, leaves=file)
        wait_until(lambda: file.closed)
        assert take_a_turn(mine, leaves=another) is None
        wait_until(lambda: another.closed)


def test_what_another_process_waits_for_is_closed(mine: Writers, path: Path, patient_keeper: None) -> None:
    file, another = File(), File()
    with mine.kept_open():
        take_a_turn(mine, leaves=file)
        with somebody_waiting(path):
            wait_until(lambda: file.closed)
            take_a_turn(mine, leaves=another)
            assert another.closed


def test_what_was_open_for_long_is_closed_however_whose_it_is(mine: Writers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "LINGER", math.inf)
    monkeypatch.setattr(writers, "LONGEST_OPEN", 0.1)
    file = File()
    with mine.kept_open():
        take_a_turn(mine, leaves=file)
        wait_until(lambda: file.closed or (take_a_turn(mine, leaves=file) is None))


def test_what_somebody_has_is_not_closed(mine: Writers, sleeping_keeper: None) -> None:
    file = File()
    with mine.kept_open():
        with mine.turn(patience(0)) as turn:
            turn.left = file
            mine.close()
        assert take_a_turn(mine, leaves=file) is file
        mine.close()
        assert file.closed
        assert take_a_turn(mine, seconds=0) is None


def test_a_file_whose_lock_nobody_can_look_at_is_not_kept(tmp_path: Path) -> None:
    file, nowhere = File(), Writers(tmp_path / "nowhere" / "writebacks.duckdb")
    with nowhere.kept_open():
        take_a_turn(nowhere, leaves=file)
        assert file.closed


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(path: Path) -> None:
    with writers_of(path).turn(patience(0)):
        if not (child := os.fork()):
            with suppress(StoreBusy):
                take_a_turn(writers_of(path), seconds=0)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def database(path: Path) -> Database:
    database = Database(path)
    put(database, "first")
    return database


@pytest.fixture
def attached(database: Database, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The engines that the file was attached to, in order."""
    engines: list[object] = []
    attach = Database._attach

    def noted(self: Database, engine: Any, *arguments: Any, **more: Any) -> None:
        attach(self, engine, *arguments, **more)
        engines.append(engine)

    monkeypatch.setattr(Database, "_attach", noted)
    return engines


def is_free(path: Path) -> bool:
    """Whether nobody has the lock of that file."""
    try:
        with locked(path, patience(0), shared=False):
            return True
    except StoreBusy:
        return False


def test_of_the_threads_of_a_process_one_at_a_time_is_in_the_way_of_others(database: Database) -> None:
    with followed(database.writing(), writers_of(database.path), lambda: put(database, "second")):
        assert not is_awaited(database.path)


def test_a_file_is_opened_once_for_transactions_that_follow_one_another(
    database: Database, attached: list[object], sleeping_keeper: None
) -> None:
    with database.kept_open():
        put(database, "second")
        thread = threading.Thread(target=put, args=(database, "third"))
        thread.start()
        thread.join()
        assert len(attached) == 1
        assert not is_free(database.path)
    assert is_free(database.path)
    assert has(database, "second")
    assert has(database, "third")


def test_without_such_a_block_it_is_given_back_after_each(database: Database, attached: list[object]) -> None:
    for name in ("second", "third"):
        put(database, name)
        assert is_free(database.path)
    assert len(attached) == 2


def test_a_look_of_the_same_process_does_not_wait(database: Database, sleeping_keeper: None) -> None:
    quick = Database(database.path, wait=timedelta())
    with database.kept_open():
        put(database, "second")
        assert has(quick, "second")
        put(database, "third")
        assert has(database, "third")


def test_what_failed_is_rolled_back_and_its_engine_is_not_used_again(
    database: Database, attached: list[object], sleeping_keeper: None
) -> None:
    with database.kept_open():
        put(database, "second")
        fail(database)
        assert is_free(database.path)
        with suppress(duckdb.CatalogException), database.writing() as session:
            session.execute("INSERT INTO settings (name, value) VALUES ('lost', 'x')")
            session.execute("SELECT * FROM nowhere")
        put(database, "third")
    assert len(set(map(id, attached))) == 3
    assert has(database, "second")
    assert has(database, "third")
    assert not has(database, "lost")


def test_another_object_for_the_file_goes_on_with_it(
    database: Database, attached: list[object], sleeping_keeper: None
) -> None:
    other = Database(database.path, wait=timedelta())
    with database.kept_open():
        put(database, "second")
        put(other, "third")
        put(database, "fourth")
    assert len(attached) == 1
    assert has(other, "fourth")


def test_one_of_a_newer_release_opens_and_migrates_it_for_itself(database: Database, sleeping_keeper: None) -> None:
    newer = Database(database.path, wait=timedelta(), migrations=(*MIGRATIONS, ("CREATE TABLE newer (id INTEGER)",)))
    with database.kept_open():
        put(database, "second")
        with newer.writing() as session:
            session.execute("SELECT * FROM newer")
        with pytest.raises(StoreUnusable, match="a newer release"):
            put(database, "third")


def test_a_ledger_that_leaves_meanwhile_is_refused(database: Database, sleeping_keeper: None) -> None:
    with database.kept_open():
        put(database, "second")
        with Database(database.path, departed_too=True).writing() as session:
            session.execute(
                "INSERT INTO moves (move_id, direction, place, begun_at) VALUES ('m', 'to', 'there', current_timestamp)"
            )
        with pytest.raises(StoreUnusable, match="is being moved to there"):
            put(database, "third")


def test_a_fork_finds_nothing_open_that_is_nobody_s(database: Database, sleeping_keeper: None) -> None:
    with database.kept_open():
        put(database, "second")
        database_module._close_all_idle()
        assert is_free(database.path)
        put(database, "third")


KEPT_FOR_EVER = """
from writeback_pipeline.store import writers
from writeback_pipeline_tests.store.test_database import Database, has, put
database = Database(path)
writers.LINGER = writers.LONGEST_OPEN = float("inf")
"""

GIVEN_BACK_OFTEN = KEPT_FOR_EVER + "writers.LONGEST_OPEN = 0.05"


def test_children_of_a_fork_in_such_a_block_end_in_peace(database: Database) -> None:
    program = f"""{KEPT_FOR_EVER}
import os
print(flush=True)
with database.kept_open():
    for work in (lambda: put(database, "child's"), lambda: has(database, "parent's"), lambda: None):
        with database.writing() as session:
            session.execute("INSERT OR REPLACE INTO settings (name, value) VALUES ('parent''s', 'x')")
        if not (child := os.fork()):
            work()
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert ended(in_another_process(program, database.path)) == "0\n" * 3
    assert has(database, "child's")
    assert has(database, "parent's")


def test_what_a_process_has_committed_that_is_killed_with_the_file_open_is_there(database: Database) -> None:
    program = f"""{KEPT_FOR_EVER}
with database.kept_open():
    put(database, "second")
    put(database, "third")
    print("committed", flush=True)
    sys.stdin.read()
"""
    process = in_another_process(program, database.path)
    assert database.path.with_name(database.path.name + ".wal").exists()  # it has the file open
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    quick = Database(database.path, wait=timedelta(seconds=1))
    assert has(quick, "second")
    assert has(quick, "third")
    put(quick, "fourth")


BUSY = """
from threading import Event, Thread
over, counted = Event(), [0, 0]
def work(which):
    while not over.is_set():
        with database.writing() as session:
            session.execute("UPDATE settings SET value = 'x' WHERE name = 'first'")
        counted[which] += 1
with database.kept_open():
    threads = [Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    while min(counted) < 5:
        time.sleep(0.01)
    print("busy", flush=True)
    sys.stdin.read()
    before = list(counted)
    while min(now - then for now, then in zip(counted, before)) < 2:
        time.sleep(0.01)
    over.set()
    for thread in threads:
        thread.join()
"""


def test_readers_and_writers_elsewhere_get_in_while_threads_write_without_a_pause(database: Database) -> None:
    process = in_another_process(KEPT_FOR_EVER + BUSY, database.path)
    for n in range(10):
        put(database, f"ours {n}")
        assert has(database, f"ours {n}")
    assert process.poll() is None
    ended(process)


def test_a_program_that_opens_the_file_directly_gets_in_meanwhile(database: Database) -> None:
    process = in_another_process(GIVEN_BACK_OFTEN + BUSY, database.path)

    def opened() -> bool:
        with suppress(duckdb.IOException), duckdb.connect(str(database.path)) as connection:
            return bool(connection.execute("SELECT 1 FROM settings WHERE name = 'first'").fetchall())
        return False

    wait_until(opened)
    assert process.poll() is None
    ended(process)
