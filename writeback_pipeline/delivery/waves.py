"""People cut into waves that can be sent at the same time, and the threads that send them.

Salesforce locks an Account while it writes to one of its Contacts, and a person's rows must not overtake one another:
no person and no Account is ever in two waves that are under way at once. What a wave sends is not decided here.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import groupby
from threading import Event
from typing import TypeVar

PEOPLE_PER_WAVE = 1_000
"""People whose rows are journalled together: one call carries their flags, one their notes."""

_Person = TypeVar("_Person")


def cut_into_waves(
    people: Sequence[_Person], account_of: Callable[[_Person], str | None], most: int = PEOPLE_PER_WAVE
) -> list[list[list[_Person]]]:
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


def threads_for(calls: int) -> int:
    """How many threads keep that many calls under way: while one plans or records, the others call."""
    return calls + 1 if calls > 1 else 1


def _inseparable(people: Sequence[_Person], account_of: Callable[[_Person], str | None]) -> Iterator[list[_Person]]:
    for account, group in groupby(people, account_of):
        together = list(group)
        yield from [together] if account else ([person] for person in together)


def send_at_once(
    sequences: Sequence[Sequence[Sequence[_Person]]], send: Callable[[Sequence[_Person]], object], threads: int
) -> None:
    """Send all waves, so many sequences at a time; after the first exception no other wave is begun.

    Raises that exception once everything under way has ended.
    """
    stopped = Event()

    def send_in_turn(waves: Sequence[Sequence[_Person]]) -> None:
        for wave in waves:
            if stopped.is_set():
                return
            try:
                send(wave)
            except BaseException:
                stopped.set()
                raise

    if threads == 1 or len(sequences) == 1:
        for waves in sequences:
            send_in_turn(waves)
        return
    with ThreadPoolExecutor(threads, "wave") as pool:
        futures = [pool.submit(send_in_turn, waves) for waves in sequences]
        try:
            wait(futures)
        except BaseException:  # an interruption of the thread that waits
            stopped.set()
            raise
    for future in futures:
        future.result()
