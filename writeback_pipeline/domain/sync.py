"""What a person's flag in Salesforce tells the platform: who opted out there, who was cleared there, and what stands.

Pure. An opt-out has an origin and several may stand at once; a flag that we set ourselves is no news. Reading
Salesforce, and remembering what was read, is done elsewhere.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from writeback_pipeline.domain.people import PersonRef


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """A Contact or Lead as Salesforce showed it. `moved_to` is what a converted or merged one became; `gone` says that
    it is deleted otherwise. `changed_at` is its SystemModstamp, `changed_by` the user who changed it last."""

    person: PersonRef
    opted_out: bool
    changed_at: datetime
    changed_by: str | None = None
    moved_to: PersonRef | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far Salesforce's own changes are known, on its clock: changes from `changed_until` on were not read at all,
    those from `settled_until` on once, while some could still be invisible. `settled_at` is when they were last read so
    late that none could, on ours."""

    changed_until: datetime
    settled_until: datetime
    settled_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """The opt-outs of a person that stand: the platform's, with whether we set the flag for it, and Salesforce's.

    That is `unseen` while it came from a record that was merged or converted and the flag was not seen to follow.
    `undone` when a flag that we set had to stay though its writeback was taken back: it is ours, and asked for by
    nobody. `in_flight` while a flag write of ours may have happened between the reading and now.
    """

    platform: bool = False
    flag_set_by_us: bool = False
    salesforce: bool = False
    unseen: bool = False
    undone: bool = False
    in_flight: bool = False


class Finding(StrEnum):
    """What is news."""

    OPTED_OUT = "opted_out"  # the flag was set there
    CLEARED = "cleared"  # an opt-out made there, or left by an undo, was taken back there
    OURS_CLEARED = "ours_cleared"  # a flag that we set was cleared there: our opt-out stands, so it is set again
    UNSHOWN = "unshown"  # an opt-out of ours stands for which we had no need to set the flag, or were not to
    CAME_ALONG = "came_along"  # an opt-out made there followed a merge or conversion, and shows now
    LATER = "later"  # one of our own writes is under way: look again next time


def findings(seen: SeenPerson, standing: Standing) -> frozenset[Finding]:
    """What the flag tells that the ledger does not know yet."""
    if standing.in_flight:
        return frozenset({Finding.LATER})
    if seen.opted_out:
        if standing.unseen:
            return frozenset({Finding.CAME_ALONG})
        known = standing.salesforce or standing.undone or (standing.platform and standing.flag_set_by_us)
        return frozenset() if known else frozenset({Finding.OPTED_OUT})
    return frozenset(
        finding
        for finding, applies in (
            (Finding.CLEARED, (standing.salesforce and not standing.unseen) or standing.undone),
            (Finding.OURS_CLEARED, standing.platform and standing.flag_set_by_us),
            (Finding.UNSHOWN, standing.platform and not standing.flag_set_by_us),
        )
        if applies
    )
