"""People cut into waves that can be sent at the same time, and the threads that send them.

Salesforce locks an Account while it writes to one of its Contacts, and a person's rows must not overtake one another:
no person and no Account is ever in two waves that are under way at once. People come in portions, each Account by
Account; what a wave sends is not decided here.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import groupby
from threading import Condition
from typing import Generic, TypeVar

PEOPLE_PER_WAVE = 1_000
"""People whose rows are journalled together: one call carries their flags, one their notes."""

_Person = TypeVar("_Person")

Sequences = list[list[list[_Person]]]
"""Waves that follow one another, many times."""


def cut_into_waves(
    people: Sequence[_Person], account_of: Callable[[_Person], str], most: int = PEOPLE_PER_WAVE
) -> Sequences[_Person]:
    """The people, given Account by Account, as sequences of waves: sequences may go at once, their waves in turn.

    Nearly every sequence is one wave; an Account too large for that is a sequence of its own. People without an Account
    lock nobody else.
    """
    sequences: list[list[list[_Person]]] = []
    filling: list[_Person] = []
    for group in _inseparable(people, account_of):
        if len(group) > most:
            sequences.append([group[start : start + most] for start in range(0, len(group), most)])
        elif len(filling) + len(group) > most:
            sequences.append([filling])
            filling = [*group]
        else:
            filling += group
    return [*sequences, [filling]] if filling else sequences


def _inseparable(people: Sequence[_Person], account_of: Callable[[_Person], str]) -> Iterator[list[_Person]]:
    for account, group in groupby(people, account_of):
        together = list(group)
        yield from [together] if account else ([person] for person in together)


def send_at_once(
    portions: Iterator[Sequences[_Person]],
    send: Callable[[Sequence[_Person]], object],
    account_of: Callable[[_Person], str],
    threads: int,
) -> None:
    """Send all waves, so many sequences at a time; while some are sent, one of the threads asks for the next portion.

    After the first exception of a wave no other is begun; after one of the portions no other is asked for, and the
    waves go on. Raises what a wave raised, or else a portion, once everything under way has ended.
    """
    for portion in portions:
        if threads > 1 and len(portion) > 1:
            line = Line(portion, portions, send, account_of, threads)
            work_together(line, threads)
            line.raise_trouble()
        else:
            for waves in portion:
                for wave in waves:
                    send(wave)


class Line(Generic[_Person]):
    """Sequences of waves that stand in line, and what each of several threads does next."""

    def __init__(
        self,
        first: Sequences[_Person],
        portions: Iterator[Sequences[_Person]],
        send: Callable[[Sequence[_Person]], object],
        account_of: Callable[[_Person], str],
        threads: int,
    ) -> None:
        self._portions, self._send, self._account_of, self._threads = portions, send, account_of, threads
        self._changed = Condition()
        self._standing = [self._with_accounts(waves) for waves in first]
        self._accounts: set[str] = set()
        self._under_way = 0
        self._asking = self._asked_all = self._stopped = False
        self._trouble_of_waves: BaseException | None = None
        self._trouble_of_portions: BaseException | None = None

    def stop(self) -> None:
        """Begin nothing else."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def raise_trouble(self) -> None:
        """Raise what went wrong."""
        trouble = self._trouble_of_waves or self._trouble_of_portions
        if trouble is not None:
            raise trouble

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to do."""
        begun_all = self._stopped or (self._asked_all and not self._standing)
        return begun_all and not self._asking and not self._under_way

    def next(self) -> Callable[[], None] | None:
        """What to do next; None where there is nothing to do right now."""
        with self._changed:
            if self._stopped:
                return None
            if not self._asking and not self._asked_all and len(self._standing) < self._threads:
                self._asking = True
                return self._ask
            for place, (waves, accounts) in enumerate(self._standing):
                if self._accounts.isdisjoint(accounts):
                    del self._standing[place]
                    self._accounts |= accounts
                    self._under_way += 1
                    return partial(self._send_in_turn, waves, accounts)
            return None

    def work(self) -> None:
        """What one thread does, until there is nothing left to do."""
        while (work := self._wait_for_work()) is not None:
            work()

    def _wait_for_work(self) -> Callable[[], None] | None:
        with self._changed:
            while (work := self.next()) is None and not self.ended:
                self._changed.wait()
            return work

    def _ask(self) -> None:
        portion = None
        try:
            portion = next(self._portions, None)
        except BaseException as trouble:
            self._trouble_of_portions = trouble
        with self._changed:
            self._asking, self._asked_all = False, portion is None
            self._standing += [self._with_accounts(waves) for waves in portion or ()]
            self._changed.notify_all()

    def _send_in_turn(self, waves: Sequence[Sequence[_Person]], accounts: Set[str]) -> None:
        try:
            for wave in waves:
                if not self._stopped:
                    self._send(wave)
        except BaseException as trouble:
            self._trouble_of_waves = self._trouble_of_waves or trouble
            self._stopped = True
        finally:
            with self._changed:
                self._accounts -= accounts
                self._under_way -= 1
                self._changed.notify_all()

    def _with_accounts(self, waves: list[list[_Person]]) -> tuple[list[list[_Person]], set[str]]:
        return waves, {self._account_of(person) for wave in waves for person in wave} - {""}


def work_together(line: Line[_Person], threads: int) -> None:
    """Let so many threads do what there is to do, until there is nothing left."""
    with ThreadPoolExecutor(threads, "wave") as pool:
        futures = [pool.submit(line.work) for _ in range(threads)]
        try:
            wait(futures)
        except BaseException:  # an interruption of the thread that waits
            line.stop()
            raise
    for future in futures:
        future.result()
