"""Work done ahead: while what a block gives is used the next blocks are entered, so that no processor is idle."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from typing import TypeVar

from duckdb import DuckDBPyConnection

_Given = TypeVar("_Given")

AHEAD = 2
"""So many blocks are entered at once: parts of each keep one processor only, so one would not be enough."""

_A_MOMENT = 0.05


def in_turn(
    database: DuckDBPyConnection, blocks: Iterable[Callable[[DuckDBPyConnection], AbstractContextManager[_Given]]]
) -> Generator[_Given, None, None]:
    """What each block gives, in order, until the next is asked for.

    A block gets a connection of its own, and is entered in a thread. What it raises is raised at its turn. Whoever
    closes the generator waits for no query: those under way are interrupted.
    """
    begun: deque[tuple[DuckDBPyConnection, Future[tuple[_Given, ExitStack]]]] = deque()
    remaining = iter(blocks)
    with ThreadPoolExecutor(AHEAD, "counting") as threads:

        def begin() -> None:
            for block in islice(remaining, AHEAD - len(begun)):
                connection = database.cursor()
                begun.append((connection, threads.submit(_entered, block, connection)))

        try:
            begin()
            while begun:
                given, block = begun[0][1].result()
                begun.popleft()
                with block:
                    begin()
                    yield given
        finally:
            for connection, entered in begun:
                _leave(connection, entered)


def _entered(
    block: Callable[[DuckDBPyConnection], AbstractContextManager[_Given]], connection: DuckDBPyConnection
) -> tuple[_Given, ExitStack]:
    """What the block gives, and what leaves it."""
    with ExitStack() as stack:
        stack.enter_context(connection)
        given = stack.enter_context(block(connection))
        return given, stack.pop_all()


def _leave(connection: DuckDBPyConnection, entered: Future[tuple[_Given, ExitStack]]) -> None:
    if entered.cancel():
        return
    while wait([entered], _A_MOMENT).not_done:
        connection.interrupt()
    if entered.exception() is None:
        entered.result()[1].close()
