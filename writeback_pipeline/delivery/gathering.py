"""People to whom very much is owed, planned as they are claimed and put away until it is known who goes by Bulk.

They come back Account by Account, whenever they were claimed: a job writes neighbours together, and two of its parts
must not fight for one Account.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from zlib import crc32

from writeback_pipeline.delivery.shelf import Shelf
from writeback_pipeline.domain.bulk import KindCounts, Kinds, kinds_of
from writeback_pipeline.domain.planning import PersonPlan
from writeback_pipeline.domain.records import Held, Live

PEOPLE_PER_PORTION = 5_000
"""People who are journalled, and settled, together."""

_SHELVES = 32
"""A person's shelf follows from the Account: each holds a part of the people, that can be sorted by itself."""

Planned = tuple[PersonPlan, Held]
"""A person's plan, and what the organisation held of them then."""


def account_of(held: Held) -> str:
    """The Account that Salesforce locks while it updates the person; empty for none."""
    return (held.account_id if isinstance(held, Live) else None) or ""


class Gathered:
    """Planned people, and of which kinds their rows are."""

    def __init__(self) -> None:
        self.kinds = KindCounts()
        self._shelves = [Shelf[Planned]() for _ in range(_SHELVES)]

    def put(self, people: Iterable[Planned]) -> None:
        """Put people away who were planned together."""
        parts: dict[int, list[Planned]] = defaultdict(list)
        for plan, held in people:
            self.kinds.add(_kinds(plan))
            place = account_of(held) or plan.claim.person.salesforce_id
            parts[crc32(place.encode()) % _SHELVES].append((plan, held))
        for number, part in parts.items():
            self._shelves[number].put(part)

    def portions(self, kinds: Set[Kinds]) -> Iterator[list[Planned]]:
        """Those whose rows are of these kinds, some thousands at a time, Account by Account."""
        people: list[Planned] = []
        for shelf in self._shelves if kinds else ():
            people += sorted((each for each in shelf if _kinds(each[0]) in kinds), key=_place)
            while len(people) >= PEOPLE_PER_PORTION:
                yield people[:PEOPLE_PER_PORTION]
                del people[:PEOPLE_PER_PORTION]
        if people:
            yield people


def _kinds(plan: PersonPlan) -> Kinds:
    return kinds_of(write.write for write in plan.writes)


def _place(planned: Planned) -> tuple[str, str]:
    plan, held = planned
    return account_of(held), plan.claim.person.salesforce_id
