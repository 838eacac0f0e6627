"""A virtual clock with workers on it, who can be stopped, or killed, at every call that they make.

Each thread of a worker is a greenlet that runs production code; whatever it calls goes through a `Watched` proxy, which
hands control back before and after. The next thing to happen is always the one with the smallest time, then the one
that was planned first: a seed decides everything.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, TypeVar

import pytest
from greenlet import getcurrent, greenlet

from writeback_pipeline.delivery import activity, opt_outs
from writeback_pipeline.delivery.waves import cut_into_waves

START = datetime(2026, 11, 23, 12, tzinfo=UTC)

_Person = TypeVar("_Person")


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
            self.step()
        if until is not None:
            self.seconds = max(self.seconds, until)

    def step(self) -> None:
        """Let the next thing happen."""
        at, _, action = heapq.heappop(self._planned)
        self.seconds = max(self.seconds, at)
        action()

    def pass_by(self, seconds: float) -> None:
        """Wait, with nobody but the rest of the world at work."""
        self.run(self.seconds + seconds)


Disturb = Callable[["Worker", str, bool], float]
"""Decides, before (True) or after a named call of a worker, how many seconds pass; raises Killed to end the worker."""


class Strand(greenlet):  # type: ignore[misc]  # greenlet comes without types
    """A thread of a worker. `send_by` is until when what it journalled last may be sent; `unanswered` whether its last
    call that wrote got no answer."""

    def __init__(self, worker: "Worker", run: Callable[[], object], parent: greenlet) -> None:
        super().__init__(run, parent)
        self.worker = worker
        self.send_by: datetime | None = None
        self.unanswered = False


def strand() -> Strand:
    """The thread that is at work."""
    current = getcurrent()
    assert isinstance(current, Strand)
    return current


class Worker:
    """A process: `main` runs until it returns or is killed; `restart_after` seconds later another takes its place."""

    def __init__(
        self,
        name: str,
        timeline: Timeline,
        main: Callable[["Worker"], object],
        disturb: Disturb,
        restart_after: float | None = 30,
    ) -> None:
        self.name = name
        self.alive = False
        self.ended = False
        self.error: BaseException | None = None
        self._timeline = timeline
        self._main = main
        self._disturb = disturb
        self._restart_after = restart_after

    def start(self) -> None:
        self.alive = True
        self._hub = getcurrent()
        Strand(self, self._life, self._hub).switch()

    def _life(self) -> None:
        try:
            self._main(self)
        except Killed:
            pass
        except Exception as error:  # told to whoever waits for this worker
            self.error = error
            if self._restart_after is not None:
                raise
        self.ended = True

    def _die(self) -> None:
        self.alive = False
        if self._restart_after is not None:
            again = Worker(self.name, self._timeline, self._main, self._disturb, self._restart_after)
            self._timeline.after(self._restart_after, again.start)

    def sleep(self, seconds: float) -> None:
        """Let that time pass for this thread while everything else goes on."""
        self._timeline.after(seconds, getcurrent().switch)
        self._hub.switch()
        if not self.alive:
            raise Killed

    def step(self, call: str, *, before: bool) -> None:
        if not self.alive:
            raise Killed
        try:
            seconds = self._disturb(self, call, before)
        except Killed:
            self._die()
            raise
        if seconds:
            self.sleep(seconds)

    def send_at_once(
        self,
        sequences: Sequence[Sequence[Sequence[_Person]]],
        send: Callable[[Sequence[_Person]], object],
        threads: int,
    ) -> None:
        """What the production's does with threads of the system."""
        errors: list[BaseException] = []
        waiting, left = deque(sequences), min(threads, len(sequences))
        whole = getcurrent()

        def thread() -> None:
            nonlocal left
            try:
                while waiting:
                    for wave in waiting.popleft():
                        if not errors:
                            send(wave)
            except BaseException as error:
                errors.append(error)
            left -= 1
            if not left:
                self._timeline.after(0, whole.switch)

        for _ in range(left):
            self._timeline.after(0, Strand(self, thread, self._hub).switch)
        self._hub.switch()
        if errors:
            raise errors[0]


def _send_at_once(
    sequences: Sequence[Sequence[Sequence[_Person]]], send: Callable[[Sequence[_Person]], object], threads: int
) -> None:
    current = getcurrent()
    if isinstance(current, Strand) and threads > 1 and len(sequences) > 1:
        current.worker.send_at_once(sequences, send, threads)
        return
    for waves in sequences:
        for wave in waves:
            send(wave)


class Slots:
    """What the production's semaphores and locks do: so many at once, the others wait."""

    def __init__(self, calls: int = 1) -> None:
        self._free = calls

    def acquire(self, *, blocking: bool = True) -> bool:
        while not self._free:
            if not blocking:
                return False
            strand().worker.sleep(0.05)
        self._free -= 1
        return True

    def release(self) -> None:
        self._free += 1

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def on_the_clock(people_per_wave: int) -> Iterator[None]:
    """Production code with the threads of the virtual clock in place of the system's, and waves of that many people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opt_outs, "send_at_once", _send_at_once)
        patch.setattr(opt_outs, "Semaphore", Slots)
        patch.setattr(opt_outs, "Lock", Slots)
        patch.setattr(opt_outs, "cut_into_waves", partial(cut_into_waves, most=people_per_wave))
        patch.setattr(activity, "uninterrupted", nullcontext)  # signals are the system's, too
        yield


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
        call = partial(self._call, name, attribute)
        setattr(self, name, call)
        return call

    def _call(self, name: str, attribute: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        worker, tell = self._worker, self._tell
        tell("before", name, *arguments)
        try:
            worker.step(name, before=True)
            tell("leaving", name)
            answer = attribute(*arguments, **named)
            tell("after", name, answer, *arguments)
        finally:
            tell("ended", name)
        worker.step(name, before=False)
        return answer

    def _tell(self, when: str, call: str, *values: Any) -> None:
        tell = getattr(self._witness, f"{when}_{call}", None)
        if tell is not None:
            tell(self._worker, *values)
