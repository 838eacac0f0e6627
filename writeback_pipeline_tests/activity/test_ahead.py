"""Blocks are entered ahead, in threads, with connections of their own; those that nobody asks for come to an end."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from traceback import walk_stack

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from writeback_pipeline.activity.ahead import AHEAD, in_turn

ENDLESS = "SELECT count(*) FROM range(1_000_000_000_000_000) AS t(n) WHERE hash(n) = 1"


class Blocks:
    """One block for each query, which is asked when it is entered; what was entered and left, by number."""

    def __init__(self, *queries: str) -> None:
        self.blocks = [partial(self._block, number, query) for number, query in enumerate(queries)]
        self.begun = [threading.Event() for _ in queries]
        self.left: list[int] = []

    @contextmanager
    def _block(self, number: int, query: str, connection: DuckDBPyConnection) -> Iterator[int]:
        self.begun[number].set()
        (found,) = connection.execute(query).fetchall()
        try:
            yield found[0]
        finally:
            self.left.append(number)

    def are_begun(self, *numbers: int) -> bool:
        return all(self.begun[number].wait(60) for number in numbers)


@pytest.fixture
def database() -> Iterator[DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("counting")]


def test_blocks_come_in_their_order_and_each_is_left_before_the_next(database: DuckDBPyConnection) -> None:
    blocks = Blocks(*(f"SELECT {number}" for number in range(6)))
    with closing(in_turn(database, blocks.blocks)) as each:
        for number, given in enumerate(each):
            assert given == number
            assert blocks.left == list(range(number))
    assert blocks.left == list(range(6))


def test_the_next_blocks_are_entered_while_one_is_used_and_no_others(database: DuckDBPyConnection) -> None:
    blocks = Blocks(*["SELECT 1"] * (AHEAD + 3))
    with closing(in_turn(database, blocks.blocks)) as each:
        next(each)
        assert blocks.are_begun(*range(AHEAD + 1))
        assert not blocks.begun[AHEAD + 1].is_set()
    assert sorted(blocks.left) == list(range(AHEAD + 1))


def test_what_a_block_raises_is_raised_at_its_turn(database: DuckDBPyConnection) -> None:
    blocks = Blocks("SELECT 1", "SELECT nothing", "SELECT 3")
    with closing(in_turn(database, blocks.blocks)) as each:
        assert next(each) == 1
        assert blocks.are_begun(1, 2)
        with pytest.raises(duckdb.BinderException, match="nothing"):
            next(each)
    assert sorted(blocks.left) == [0, 2]


def test_whoever_stops_early_waits_for_no_query(database: DuckDBPyConnection) -> None:
    blocks = Blocks("SELECT 1", "SELECT 2", ENDLESS, "SELECT 4")
    with closing(in_turn(database, blocks.blocks)) as each:
        next(each)
        assert blocks.are_begun(1, 2)
    assert sorted(blocks.left) == [0, 1]


@pytest.fixture
def interrupting() -> Iterator[signal.Signals]:
    """A signal that does what Ctrl-C does, in a background job too."""
    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def test_an_interrupt_ends_the_query_that_is_awaited(
    database: DuckDBPyConnection, interrupting: signal.Signals
) -> None:
    blocks, main = Blocks(ENDLESS), threading.get_ident()

    def interrupt() -> None:
        while not _is_in("result", main):
            time.sleep(0.01)
        signal.pthread_kill(main, interrupting)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt), closing(in_turn(database, blocks.blocks)) as each:
        next(each)
    assert blocks.left == []


def _is_in(function: str, thread: int) -> bool:
    """Whether the thread is in a function of that name."""
    frame = sys._current_frames()[thread]
    return any(caller.f_code.co_name == function for caller, _ in walk_stack(frame))
