"""What goes wrong between delivery and an organisation in memory, decided by a seeded random source.

A misfortune is what delivery is told together with what really happened, or will happen later.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Protocol, TypeVar

from writeback_pipeline.domain.bulk import JobRefused, JobState
from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult, RowWrite

Execute = Callable[[RowWrite], RowResult]
_Done = TypeVar("_Done")


class Working(Protocol):
    """A job that was closed."""

    def execute_next(self) -> bool:
        """Execute one more row; whether there was one."""

    def end(self, state: JobState) -> None:
        """The job has ended so."""


class Luck(Protocol):
    """What becomes of the calls."""

    def read(self) -> None:
        """Raise OrganisationUnavailable if a read is not to be answered."""

    def write(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        """Execute the rows, or not, and answer for each, or not."""

    def step(self, name: str, execute: Callable[[], _Done]) -> _Done:
        """One step in the life of a Bulk job, or trouble instead of its answer."""

    def work(self, job: Working) -> None:
        """Let the servers execute a job that was closed: all of it, or not."""

    def names(self) -> bool:
        """Whether the results of a job name a row that was executed."""


class Fortune:
    """Nothing goes wrong."""

    def read(self) -> None:
        pass

    def write(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        return [execute(row) for row in rows]

    def step(self, name: str, execute: Callable[[], _Done]) -> _Done:
        return execute()

    def work(self, job: Working) -> None:
        while job.execute_next():
            pass
        job.end(JobState.COMPLETE)

    def names(self) -> bool:
        return True


NO_ANSWER = RowResult(Answer.UNKNOWN, code="NO_ANSWER", message="Salesforce did not answer in time.")


def unavailable(code: str = "SERVER_UNAVAILABLE") -> OrganisationUnavailable:
    return OrganisationUnavailable(code, "out of order", "It is tried again by itself.", passing=True)


@dataclass
class Misfortunes:
    """Trouble of every kind, each call with that `rate` of it while `on`.

    `later` commits what servers still have under way, at a time that only the simulation knows; `after` plans what
    happens so many seconds from now. While it is `out`, the organisation takes no calls at all.
    """

    random: Random
    later: Callable[[RowWrite, Execute], None]
    after: Callable[[float, Callable[[], object]], None]
    rate: float = 0.25
    on: bool = True
    out: bool = False
    met: Counter[str] = field(default_factory=Counter)

    def read(self) -> None:
        self._check_open()
        if self._strikes(self.rate / 3):
            self.met["read failed"] += 1
            raise unavailable("UNREADABLE_ANSWER")

    def write(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        self._check_open()
        if not self._strikes(self.rate):
            return [execute(row) for row in rows]
        kind = self.random.choice(list(_WRITES))
        self.met[kind] += 1
        return _WRITES[kind](self, rows, execute)

    def step(self, name: str, execute: Callable[[], _Done]) -> _Done:
        self._check_open()
        if not self._strikes(self.rate / 2):
            return execute()
        kind = self.random.choice(("refused", "lost request", "lost answer", "late", "job refused"))
        self.met[f"{name} job: {kind}"] += 1
        if kind == "refused":
            raise unavailable()
        if kind == "job refused" and name in ("create", "upload"):
            raise JobRefused("LIMIT_EXCEEDED", "no job is taken")
        if kind == "lost answer":
            with suppress(JobRefused):
                execute()
        elif kind == "late":
            self.after(self.random.uniform(1, 600), lambda: self._late_step(execute))
        raise unavailable("NO_ANSWER")

    def _late_step(self, execute: Callable[[], object]) -> None:
        with suppress(JobRefused):
            execute()

    def work(self, job: Working) -> None:
        """A few rows at a time; now and then a job fails half-way, or takes longer than anybody waits."""
        fails = self._strikes(self.rate)
        slow = self._strikes(self.rate / 2)

        def go_on() -> None:
            for _ in range(self.random.randint(1, 3)):
                if fails and self.random.random() < 0.3:
                    self.met["job failed half-way"] += 1
                    return job.end(JobState.FAILED)
                if not job.execute_next():
                    return job.end(JobState.COMPLETE)
            return self.after(self.random.uniform(0, 20), go_on)

        self.met["slow job"] += slow
        self.after(self.random.uniform(600, 3000) if slow else self.random.uniform(0, 30), go_on)

    def names(self) -> bool:
        """Whether the results of a job name a row that was executed."""
        return not self._strikes(self.rate / 10)

    def _check_open(self) -> None:
        if self.out:
            raise unavailable()

    def _strikes(self, rate: float) -> bool:
        return self.on and self.random.random() < rate

    def _refused(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        raise unavailable()

    def _lost_request(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        return [NO_ANSWER] * len(rows)

    def _lost_answer(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        for row in rows:
            execute(row)
        return [NO_ANSWER] * len(rows)

    def _late_commit(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        for row in rows:
            self.later(row, execute)
        return [NO_ANSWER] * len(rows)

    def _each_its_own(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        """No answer: some rows were executed, some will be, some never."""
        for row in rows:
            fate = self.random.randrange(3)
            if fate == 0:
                execute(row)
            elif fate == 1:
                self.later(row, execute)
        return [NO_ANSWER] * len(rows)

    def _truncated(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        """All were executed, the end of the answer is missing."""
        results = [execute(row) for row in rows]
        kept = self.random.randrange(len(rows))
        return [*results[:kept], *[NO_ANSWER] * (len(rows) - kept)]

    def _stopped(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        """The beginning was executed; the rest, in a further call of the same write, was refused unexecuted."""
        done = self.random.randrange(len(rows) + 1)
        refused = RowResult(Answer.NOT_SENT, code="SERVER_UNAVAILABLE", message="out of order")
        return [*(execute(row) for row in rows[:done]), *[refused] * (len(rows) - done)]

    def _some_rows(self, code: str, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        refused = RowResult(Answer.REJECTED, code=code, message="refused")
        return [refused if self.random.random() < 0.5 else execute(row) for row in rows]

    def _row_locks(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        return self._some_rows("UNABLE_TO_LOCK_ROW", rows, execute)

    def _validation_rule(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        return self._some_rows("FIELD_CUSTOM_VALIDATION_EXCEPTION", rows, execute)


_WRITES: dict[str, Callable[[Misfortunes, Sequence[RowWrite], Execute], list[RowResult]]] = {
    "refused": Misfortunes._refused,
    "lost request": Misfortunes._lost_request,
    "lost answer": Misfortunes._lost_answer,
    "late commit": Misfortunes._late_commit,
    "each row its own fate": Misfortunes._each_its_own,
    "truncated answer": Misfortunes._truncated,
    "stopped half-way": Misfortunes._stopped,
    "row locks": Misfortunes._row_locks,
    "validation rule": Misfortunes._validation_rule,
}
