"""What people do: unsubscribe, change their minds, several times over, and now and then a message that comes late.

Drawn from a seed. Every resubscribe follows an unsubscribe, and another one never follows it directly, whatever comes
in between later: so no event may be refused, and every one must leave its Note.
"""

import random
from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline_tests.torture.truth import Event

_LATE_SHARE = 0.1
_AGAIN_SHARE = 0.05
_SECOND = timedelta(seconds=1)

History = list[tuple[datetime, Kind]]


@dataclass
class Story:
    """Events for those people, each with a name of its own."""

    chance: random.Random
    people: Sequence[str]
    _histories: dict[str, History] = field(default_factory=lambda: defaultdict(list))
    _numbers: Iterator[int] = field(default_factory=count)

    def goes_on(self, events: int, now: datetime) -> list[Event]:
        """The next events, most of them of that moment."""
        return [
            self._event(person, now.replace(microsecond=0)) for person in self.chance.choices(self.people, k=events)
        ]

    def _event(self, person: str, now: datetime) -> Event:
        history = self._histories[person]
        at, kind = self._again(history) or self._next(history, now)
        insort(history, (at, kind))
        return Event(f"event {next(self._numbers)}", kind, person, at)

    def _again(self, history: History) -> tuple[datetime, Kind] | None:
        """Now and then an unsubscribe in the second of another one: their Notes have the same title."""
        if not history or self.chance.random() >= _AGAIN_SHARE:
            return None
        return self.chance.choice([each for each in history if each[1] is Kind.UNSUBSCRIBE])

    def _next(self, history: History, now: datetime) -> tuple[datetime, Kind]:
        at, taken = now, {at for at, _ in history}
        if history and self.chance.random() < _LATE_SHARE:
            first = history[0][0]
            at = (first + (now - first) * self.chance.random()).replace(microsecond=0)
        while at in taken:
            at += _SECOND
        position = bisect(history, (at, Kind.UNSUBSCRIBE))
        may_return = position > 0 and Kind.RESUBSCRIBE not in {kind for _, kind in history[position - 1 : position + 1]}
        return at, self.chance.choice((Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE)) if may_return else Kind.UNSUBSCRIBE
