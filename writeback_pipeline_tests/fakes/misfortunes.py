"""What goes wrong between delivery and an organisation in memory, decided by a seeded random source.

A misfortune is what delivery is told together with what really happened, or will happen later.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult, RowWrite

Execute = Callable[[RowWrite], RowResult]


class Luck(Protocol):
    """What becomes of the calls."""

    def read(self) -> None:
        """Raise OrganisationUnavailable if a read is not to be answered."""

    def write(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        """Execute the rows, or not, and answer for each, or not."""


class Fortune:
    """Nothing goes wrong."""

    def read(self) -> None:
        pass

    def write(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        return [execute(row) for row in rows]


NO_ANSWER = RowResult(Answer.UNKNOWN, code="NO_ANSWER", message="Salesforce did not answer in time.")


def unavailable(code: str = "SERVER_UNAVAILABLE") -> OrganisationUnavailable:
    return OrganisationUnavailable(code, "out of order", "It is tried again by itself.", passing=True)


@dataclass
class Misfortunes:
    """Trouble of every kind, each call with that `rate` of it while `on`.

    `later` commits what servers still have under way, at a time that only the simulation knows.
    """

    random: Random
    later: Callable[[RowWrite, Execute], None]
    rate: float = 0.25
    on: bool = True
    met: Counter[str] = field(default_factory=Counter)

    def read(self) -> None:
        if self._strikes(self.rate / 3):
            self.met["read failed"] += 1
            raise unavailable("UNREADABLE_ANSWER")

    def write(self, rows: Sequence[RowWrite], execute: Execute) -> list[RowResult]:
        if not self._strikes(self.rate):
            return [execute(row) for row in rows]
        kind = self.random.choice(list(_WRITES))
        self.met[kind] += 1
        return _WRITES[kind](self, rows, execute)

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
