"""A virtual clock with workers on it, who can be stopped, or killed, at every call that they make.

Each worker is a greenlet that runs production code; whatever it calls goes through a `Watched` proxy, which hands
control back before and after. The next thing to happen is always the one with the smallest time, then the one that was
planned first: a seed decides everything.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from greenlet import getcurrent, greenlet

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here: nothing of it runs any more, no clean-up either."""


@dataclass
class Timeline:
    """What is planned, by time in seconds; `now` is where we are."""

    seconds: float = 0.0
    _planned: list[tuple[float, int, Callable[[], object]]] = field(default_factory=list)
    _numbers: Any = field(default_factory=count)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._planned, (self.seconds + seconds, next(self._numbers), action))

    def run(self, until: float | None = None) -> None:
        """Let everything happen that is planned before `until`, or all of it."""
        while self._planned and (until is None or self._planned[0][0] < until):
            at, _, action = heapq.heappop(self._planned)
            self.seconds = max(self.seconds, at)
            action()
        if until is not None:
            self.seconds = max(self.seconds, until)


Disturb = Callable[["Worker", str, bool], float]
"""Decides, before (True) or after a named call of a worker, how many seconds pass; raises Killed to end the worker."""


class Worker:
    """A process: `main` runs until it returns or is killed, and is started again after `restart_after` seconds."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        main: Callable[["Worker"], None],
        disturb: Disturb,
        restart_after: float = 30,
    ) -> None:
        self.name = name
        self.send_by: datetime | None = None
        self.unanswered = False
        self.alive = False
        self.deaths = 0
        self._timeline = timeline
        self._main = main
        self._disturb = disturb
        self._restart_after = restart_after
        self._greenlet: greenlet | None = None

    def start(self) -> None:
        self.alive = True
        self._greenlet = greenlet(self._life)
        self._resume()

    def _life(self) -> None:
        try:
            self._main(self)
        except Killed:
            self.deaths += 1
            self._timeline.after(self._restart_after, self.start)

    def _resume(self) -> None:
        assert self._greenlet is not None
        self._greenlet.switch()

    def sleep(self, seconds: float) -> None:
        """Let that time pass for this worker while the others go on."""
        me = getcurrent()
        assert me.parent is not None
        self._timeline.after(seconds, self._resume)
        me.parent.switch()

    def step(self, call: str, *, before: bool) -> None:
        if not self.alive:
            raise Killed
        try:
            seconds = self._disturb(self, call, before)
        except Killed:
            self.alive = False
            raise
        if seconds:
            self.sleep(seconds)


class Watched:
    """A ledger or organisation as one worker sees it: every call is a point at which anything may happen.

    `witness` has methods named `before_`, `leaving_`, `after_` and `ended_` and the call's name, for the calls that it
    wants to see; a worker may be stopped between the first two, and a call that fails ends, too.
    """

    def __init__(self, target: Any, worker: Worker, witness: object) -> None:
        self._target = target
        self._worker = worker
        self._witness = witness

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute

        def call(*arguments: Any, **named: Any) -> Any:
            self._tell("before", name, *arguments)
            try:
                self._worker.step(name, before=True)
                self._tell("leaving", name)
                answer = attribute(*arguments, **named)
                self._tell("after", name, answer, *arguments)
            finally:
                self._tell("ended", name)
            self._worker.step(name, before=False)
            return answer

        return call

    def _tell(self, when: str, call: str, *values: Any) -> None:
        tell = getattr(self._witness, f"{when}_{call}", None)
        if tell is not None:
            tell(self._worker, *values)
