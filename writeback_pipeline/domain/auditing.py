"""Compare who stands opted out in the ledger with whom Salesforce shows opted out. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from writeback_pipeline.domain.people import PersonRef, object_type_of
from writeback_pipeline.domain.sync import SeenPerson


@dataclass(frozen=True, slots=True)
class Expectation:
    """Somebody who stands opted out in the ledger: `origins` say where, `flag_set` that we set the box for it."""

    salesforce_id: str
    origins: tuple[str, ...]
    flag_set: bool

    @property
    def by_platform(self) -> bool:
        """Whether the opt-out is the platform's own, so that it is set again where it is lost."""
        return "platform" in self.origins

    @property
    def person(self) -> PersonRef:
        """The Contact or Lead."""
        kind = object_type_of(self.salesforce_id)
        assert kind is not None
        return PersonRef(kind, self.salesforce_id)

    def shows(self, *, suppressed: bool) -> bool:
        """Whether Salesforce should show it: an opt-out of the platform whose flag is left alone need not."""
        return not suppressed or self.flag_set or self.origins != ("platform",)


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many agree or are under way, who is opted out on one side only, and of how many the record is deleted."""

    agree: int
    under_way: int
    only_here: tuple[Expectation, ...]
    only_there: tuple[SeenPerson, ...]
    gone: int = 0

    @property
    def differences(self) -> int:
        """On how many people the two sides disagree."""
        return len(self.only_here) + len(self.only_there)


def without(comparison: Comparison, gone: frozenset[str]) -> Comparison:
    """The comparison, with those counted apart whose record is deleted: they stay opted out here, nothing shows it."""
    left = tuple(each for each in comparison.only_here if each.salesforce_id not in gone)
    return replace(comparison, only_here=left, gone=len(comparison.only_here) - len(left))


def compare(
    expected: Iterable[Expectation], opted_out: Mapping[str, SeenPerson], under_way: frozenset[str], *, suppressed: bool
) -> Comparison:
    """Both sides, person by person; of people who are `under_way` nothing is concluded."""
    here = {each.salesforce_id: each for each in expected}
    silent = {id_ for id_, each in here.items() if id_ not in opted_out and not each.shows(suppressed=suppressed)}
    moving = under_way & (here.keys() | opted_out.keys())
    only_here = here.keys() - opted_out.keys() - silent - moving
    only_there = opted_out.keys() - here.keys() - moving
    return Comparison(
        agree=len((here.keys() & opted_out.keys()) - moving) + len(silent - moving),
        under_way=len(moving),
        only_here=tuple(here[id_] for id_ in sorted(only_here)),
        only_there=tuple(opted_out[id_] for id_ in sorted(only_there)),
    )
