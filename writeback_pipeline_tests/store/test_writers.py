"""Threads that write to one file take turns, and go on with what the one before them has open."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pytest

from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store import database as database_module
from writeback_pipeline.store.database import Database
from writeback_pipeline.store.file_lock import Patience, is_awaited, locked
from writeback_pipeline.store.session import Session
from writeback_pipeline.store.writers import Writers, writers_of
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until

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
def writers() -> Writers:
    return Writers()


def patience(seconds: float = PATIENCE_SECONDS) -> Patience:
    return Patience(Path("writebacks.duckdb"), timedelta(seconds=seconds))


def wait_for_a_turn(writers: Writers, work: Callable[[], object]) -> Callable[[], None]:
    """Another thread that is to work and waits for its turn; what is returned waits for its end."""
    failures: list[BaseException] = []
    waiting = writers._waiting

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
    wait_until(lambda: writers._waiting > waiting)
    return join


@contextmanager
def followed(turn: AbstractContextManager[T], writers: Writers, *works: Callable[[], object]) -> Iterator[T]:
    """A turn for which threads wait that are to work; they have worked after it."""
    with ExitStack() as after, turn as begun:
        joins = [wait_for_a_turn(writers, work) for work in works]
        for join in joins:
            after.callback(join)
        yield begun


def take_a_turn(writers: Writers, seconds: float = PATIENCE_SECONDS) -> object:
    """A turn that leaves nothing; what was found."""
    with writers.turn(patience(seconds)) as turn:
        if turn.found is not None:
            turn.found.close()
        return turn.found


def take_in_vain(writers: Writers, error: type[BaseException], seconds: float = PATIENCE_SECONDS) -> None:
    with pytest.raises(error):
        take_a_turn(writers, seconds)


def test_one_at_a_time_has_a_turn(writers: Writers) -> None:
    found: list[object] = []
    with followed(writers.turn(patience(0)), writers, lambda: found.append(take_a_turn(writers))):
        assert not found
    assert found == [None]


def test_who_waits_goes_on_with_what_is_open(writers: Writers) -> None:
    file, found = File(), list[object]()
    with followed(writers.turn(patience(0)), writers, lambda: found.append(take_a_turn(writers))) as turn:
        turn.left = file
    assert found == [file]


def test_what_is_left_open_for_nobody_is_closed(writers: Writers) -> None:
    file = File()
    with writers.turn(patience(0)) as turn:
        turn.left = file
    assert file.closed
    assert take_a_turn(writers, 0) is None


def test_a_turn_that_ends_by_an_error_is_over(writers: Writers) -> None:
    with pytest.raises(ZeroDivisionError), writers.turn(patience(0)):
        raise ZeroDivisionError
    assert take_a_turn(writers, 0) is None


def test_a_thread_that_has_waited_long_enough_gives_up_and_the_others_go_on(writers: Writers) -> None:
    file, found = File(), list[object]()
    with followed(writers.turn(patience(0)), writers, lambda: found.append(take_a_turn(writers))) as turn:
        impatient = threading.Thread(target=take_in_vain, args=(writers, StoreBusy, 0.05))
        impatient.start()
        impatient.join()
        turn.left = file
    assert found == [file]


@pytest.mark.parametrize("others", [0, 1], ids=["nobody else waits", "another waits"])
def test_who_is_interrupted_as_its_turn_begins_passes_on_what_it_was_left(
    writers: Writers, others: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, found = File(), list[object]()
    wait = writers._changed.wait

    def interrupted(seconds: float) -> bool:
        monkeypatch.undo()
        wait(seconds)
        raise KeyboardInterrupt

    works: list[Callable[[], object]] = [lambda: take_in_vain(writers, KeyboardInterrupt)]
    works += [lambda: found.append(take_a_turn(writers))] * others
    monkeypatch.setattr(writers._changed, "wait", interrupted)
    with followed(writers.turn(patience(0)), writers, *works) as turn:
        turn.left = file
    assert file.closed
    assert found == [file] * others
    assert take_a_turn(writers, 0) is None


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent(path: Path) -> None:
    with writers_of(path).turn(patience(0)):
        if not (child := os.fork()):
            with suppress(StoreBusy):
                take_a_turn(writers_of(path), 0)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0


def test_of_the_threads_of_a_process_one_at_a_time_is_in_the_way_of_others(path: Path) -> None:
    database = Database(path)
    put(database, "first")
    with followed(database.writing(), writers_of(database.path), lambda: put(database, "third")):
        assert not is_awaited(database.path)


@pytest.fixture
def attached(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What a database file was attached to, in order."""
    engines: list[object] = []
    attach = Database._attach

    def noted(self: Database, engine: Any, *arguments: Any, **more: Any) -> None:
        attach(self, engine, *arguments, **more)
        engines.append(engine)

    monkeypatch.setattr(Database, "_attach", noted)
    return engines


def put(database: Database, name: str) -> None:
    with database.writing() as session:
        session.execute("INSERT INTO settings (name, value) VALUES ($1, 'x')", [name])


def fail(session: Session) -> None:
    session.execute("INSERT INTO settings (name, value) VALUES ('second', 'x')")
    session.execute("SELECT * FROM nowhere")


def names(database: Database) -> set[str]:
    with database.reading() as session:
        return {name for (name,) in session.execute("SELECT name FROM settings").fetchall()}


def test_a_file_is_opened_once_for_threads_that_follow_one_another(path: Path, attached: list[object]) -> None:
    database = Database(path)
    put(database, "first")
    attached.clear()
    with followed(database.writing(), writers_of(database.path), lambda: put(database, "third")) as session:
        session.execute("INSERT INTO settings (name, value) VALUES ('second', 'x')")
    assert len(attached) == 1
    with locked(database.path, patience(0), shared=False):
        pass
    assert names(database) >= {"first", "second", "third"}


def test_what_failed_is_rolled_back_and_leaves_nothing_open(path: Path, attached: list[object]) -> None:
    database = Database(path)
    put(database, "first")
    attached.clear()
    follows = followed(database.writing(), writers_of(database.path), lambda: put(database, "third"))
    with pytest.raises(duckdb.CatalogException), follows as session:
        fail(session)
    assert len(attached) == 2
    assert names(database) & {"first", "second", "third"} == {"first", "third"}


def test_a_file_for_which_another_process_waits_is_given_back(path: Path, attached: list[object]) -> None:
    database = Database(path)
    put(database, "first")
    attached.clear()

    def wait_elsewhere() -> None:
        with locked(database.path, patience(), shared=False):
            pass

    elsewhere = threading.Thread(target=wait_elsewhere)  # it takes the lock by itself, as another process would
    with followed(database.writing(), writers_of(database.path), lambda: put(database, "third")):
        elsewhere.start()
        wait_until(lambda: is_awaited(database.path))
    elsewhere.join()
    assert len(attached) == 2


def test_another_object_for_the_file_opens_it_for_itself(path: Path, attached: list[object]) -> None:
    database, other = Database(path), Database(path)
    put(database, "first")
    attached.clear()
    with followed(database.writing(), writers_of(database.path), lambda: put(other, "third")):
        pass
    assert len(attached) == 2
    assert names(database) >= {"first", "third"}


def test_a_fork_finds_nothing_open_that_is_nobody_s(path: Path) -> None:
    database, file = Database(path), File()
    writers = writers_of(database.path)
    writers._open = file  # left for a thread that has not woken up yet
    database_module._close_all_idle()
    assert file.closed
    put(database, "first")
