"""Whose a delivery key is: what was queued under a key before is the same change only if it says the same of the same
person. Anything else that comes with the key would be lost in silence, so it is refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.trouble import Trouble
from writeback_pipeline.domain.writebacks import Change, Kind


class KeysTaken(Trouble, ValueError):
    """Changes that have the delivery key of another change; nothing was queued. `problems` has a sentence by key."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("\n".join(problems.values()))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Holder:
    """The writeback that has a key; `people` are the ids by which its person was or is known, None for nobody."""

    writeback_id: int
    kind: Kind
    people: frozenset[str | None]

    def is_of(self, change: Change, now_at: PersonRef | None) -> bool:
        """Whether the change is this one again; `now_at` is where its person went, if anywhere."""
        ids = {change.salesforce_id, now_at.salesforce_id if now_at else change.salesforce_id}
        return change.kind is self.kind and not ids.isdisjoint(self.people)


def refuse_others(changes: Iterable[Change], holders: Mapping[str, Holder], moved: Mapping[str, PersonRef]) -> None:
    """Raise KeysTaken if any of the changes has a key that another change holds."""
    problems = {
        key: f"{key!r} is the key of writeback {holder.writeback_id} already, which is another change: every change "
        "needs a key of its own"
        for change in changes
        if (holder := holders.get(key := change.delivery_key))
        and not holder.is_of(change, moved.get(change.salesforce_id or ""))
    }
    if problems:
        raise KeysTaken(problems)
