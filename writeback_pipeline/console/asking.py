"""One question to the ledgers of all bridges at once, none of which may keep the others' answers waiting."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from typing import Generic, TypeVar

from writeback_pipeline.console.ports import Ports

PATIENCE_SECONDS = 2.0

_Answer = TypeVar("_Answer")


class AllBridges(Generic[_Answer]):
    """Puts the question to each bridge in a thread of its own.

    A ledger that is still at an earlier question is not asked again: it keeps one thread waiting, however often
    somebody looks.
    """

    def __init__(self, bridges: Mapping[str, Ports], question: Callable[[Ports], _Answer]) -> None:
        self._bridges, self._question = bridges, question
        self._threads = ThreadPoolExecutor(len(bridges), "asking")
        self._asked: dict[str, Future[_Answer]] = {}
        self._lock = Lock()

    def ask(self) -> dict[str, _Answer | None]:
        """The answers by bridge; None of one that did not answer in time."""
        with self._lock:
            for name, ports in self._bridges.items():
                if name not in self._asked or self._asked[name].done():
                    self._asked[name] = self._threads.submit(self._question, ports)
            asked = dict(self._asked)
        answered, _ = wait(asked.values(), timeout=PATIENCE_SECONDS)
        return {name: future.result() if future in answered else None for name, future in asked.items()}
