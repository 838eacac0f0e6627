"""DuckDB engines of this process that wait, idle and without a file, for the next transaction.

Starting one costs several times what opening a file does, and its first statements once more. Whoever comes with a file
uses what the one before left, whatever object for the file it had: a sensor makes one for every tick. A forked child
leaves its parent's alone: their threads are not there.
"""

import ctypes
import os
from pathlib import Path

import duckdb

MOST_IDLE = 8
"""Engines that are kept for a file: each has a thread for every core, and some megabytes."""

MOST_FILES = 16
"""Files that engines are kept for; those of the one unused for longest end when there are more."""

_idle: dict[Path, list[duckdb.DuckDBPyConnection]] = {}


def kept(path: Path) -> duckdb.DuckDBPyConnection:
    """An idle engine that was for that file, else a new one."""
    try:
        return _idle[path].pop()
    except (KeyError, IndexError):
        return _started(path)


def give_back(path: Path, engine: duckdb.DuckDBPyConnection) -> None:
    """Keep it, with nothing attached, for the next transaction in that file if there is room, or end it."""
    waiting = _idle[path] = _idle.pop(path, [])  # last of all
    if len(waiting) < MOST_IDLE:
        waiting.append(engine)
    else:
        engine.close()
    for other in list(_idle)[:-MOST_FILES]:
        _end(other)


def close_all() -> None:
    """End every idle engine; the next transaction starts its own."""
    for path in list(_idle):
        _end(path)


def _end(path: Path) -> None:
    waiting = _idle.pop(path, [])
    while waiting:  # another thread may be taking one at this moment
        try:
            engine = waiting.pop()
        except IndexError:
            return
        engine.close()


def _started(path: Path) -> duckdb.DuckDBPyConnection:
    """An engine without a database; what does not fit its memory goes beside the file that it is for."""
    engine = duckdb.connect(config={"temp_directory": f"{path}.tmp"})
    engine.execute("SET TimeZone = 'UTC'")
    engine.execute("SET enable_progress_bar = false")  # standard output is not the store's
    engine.execute("SET allocator_background_threads = true")  # or it keeps all the memory it ever had while it is idle
    return engine


def _forget() -> None:
    for waiting in _idle.values():
        for engine in waiting:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))  # for ever: who ends one without its threads crashes
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
