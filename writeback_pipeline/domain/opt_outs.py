"""The flag that must stand: a person's opt-out events, folded in the order in which they happened.

Two rules decide. Order: by event time, and at the same instant an unsubscribe wins. Origin: a resubscribe counts only
where the unsubscribe was made; one that finds no opt-out of the platform's own, or a flag that somebody else set in
Salesforce, is refused. The flag is never cleared for any other reason. Pure: what Salesforce holds is an argument.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status

_COUNTS_NEVER = (Status.REFUSED, Status.NO_RECIPIENT)


class OptOutEvent(NamedTuple):
    """One unsubscribe or resubscribe of a person, as far as the ledger has it.

    `flag_result` is what it did to the flag so far, whatever became of the rest of it; `noted` once its Note is there.
    """

    id: int
    kind: Kind
    occurred_at: datetime
    status: Status
    flag_result: FlagResult | None = None
    noted: bool = False

    @property
    def was_allowed(self) -> bool:
        """Whether a part of it is done: then the rest is, too, even if it would be refused now."""
        return self.noted or self.flag_result is not None

    @property
    def is_under_way(self) -> bool:
        """Whether a part of it is done and the rest still to come, even if not in this delivery."""
        return self.was_allowed and self.status in (Status.PENDING, Status.WAITING)

    @property
    def has_happened(self) -> bool:
        """Whether it was written or may have been, or has cleared the flag even though its note failed."""
        done = (Status.WRITTEN, Status.SENDING, Status.UNKNOWN)
        return self.status in done or self.flag_result is FlagResult.CLEARED


class Flag(NamedTuple):
    """Email Opt Out as Salesforce holds it now; `ours` when the ledger shows that we set it."""

    opted_out: bool
    ours: bool


class Refusal(StrEnum):
    """Why the origin rule refuses a resubscribe; the value is the advice shown beside it."""

    SET_IN_SALESFORCE = (
        "The opt-out was made in Salesforce: clear Email Opt Out on the {object_type} in Salesforce. "
        "It reaches {platform} with the next sync."
    )
    NOTHING_TO_UNDO = (
        "No unsubscribe of {platform} stands for this person, so there is nothing to undo. If the person opted out in "
        "Salesforce, clear Email Opt Out on the {object_type} in Salesforce."
    )


class Decision(NamedTuple):
    """What the fold says: per event taken into this delivery its flag result or refusal, and the write to make.

    `write` is None when the flag stays as it is; `decided_by` is the id of the event that the flag follows.
    """

    flag_results: dict[int, FlagResult]
    refusals: dict[int, Refusal]
    desired: bool | None
    write: bool | None
    decided_by: int | None


_FLAG_RESULTS = {True: FlagResult.SET, False: FlagResult.CLEARED, None: FlagResult.UNCHANGED}


def in_order(events: Iterable[OptOutEvent]) -> list[OptOutEvent]:
    """By event time; at one instant resubscribes first, so that the unsubscribe has the last word; then by arrival."""
    return sorted(events, key=lambda e: (e.occurred_at, e.kind is Kind.UNSUBSCRIBE, e.id))


def decide(events: Iterable[OptOutEvent], taken: frozenset[int], flag: Flag, *, suppressed: bool) -> Decision:
    """Fold all of a person's events into the flag that must stand.

    `taken` are the ids being delivered now. Of the others an unsubscribe always counts; a resubscribe counts only
    once it has happened or may have, so that a failed one never opts anybody in, or once a part of it has while the
    rest waits: were the flag set for an older unsubscribe then, nobody could clear it.
    """
    set_by_others = flag.opted_out and not flag.ours and not suppressed
    set_by_us = flag.opted_out and flag.ours
    refusals: dict[int, Refusal] = {}
    unsubscribed = False
    last: OptOutEvent | None = None
    for event in in_order(events):
        if event.status in _COUNTS_NEVER:
            continue
        if event.kind is Kind.UNSUBSCRIBE:
            unsubscribed, last = True, event
        elif event.has_happened or (event.is_under_way and event.id not in taken):
            unsubscribed, last = False, event
        elif event.id in taken:
            if event.was_allowed:
                unsubscribed, last = False, event
            elif set_by_others:
                refusals[event.id] = Refusal.SET_IN_SALESFORCE
            elif not unsubscribed and not set_by_us:  # set by us still: an earlier resubscribe was suppressed
                refusals[event.id] = Refusal.NOTHING_TO_UNDO
            else:
                unsubscribed, last = False, event
    write = None if suppressed else _flag_write(unsubscribed, last, taken, flag)
    return Decision(
        flag_results={
            id_: _flag_result(id_, last, write, suppressed=suppressed) for id_ in taken if id_ not in refusals
        },
        refusals=refusals,
        desired=None if last is None else unsubscribed,
        write=write,
        decided_by=None if last is None else last.id,
    )


def _flag_write(unsubscribed: bool, last: OptOutEvent | None, taken: frozenset[int], flag: Flag) -> bool | None:
    if unsubscribed:
        return None if flag.opted_out else True
    clears = last is not None and last.id in taken and flag.opted_out and flag.ours
    return False if clears else None


def _flag_result(id_: int, last: OptOutEvent | None, write: bool | None, *, suppressed: bool) -> FlagResult:
    if suppressed:
        return FlagResult.SUPPRESSED
    if last is None or last.id != id_:
        return FlagResult.SUPERSEDED
    return _FLAG_RESULTS[write]
