"""Bring Salesforce's own changes to the platform: flags set or cleared there, people who became others.

Reads everybody who changed since the last reading. Salesforce may show a change minutes after the time it bears, so
every change is read once more when nothing of its time can be invisible any more; reading somebody twice changes
nothing. The first reading takes everybody who is opted out.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.domain.ledger import QUIET, Origin
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline.domain.sync import Finding, SeenPerson, Watermark

VISIBLE_AFTER = QUIET
"""How long after the time it bears a change may become visible."""

PEOPLE_AT_ONCE = 10_000


class StatusLedger(Protocol):
    """The store, as far as it learns from Salesforce."""

    def pin_organisation(self, organisation_id: str) -> str:
        """Pin the organisation at the first use; returns the pinned id."""

    def watermark(self) -> Watermark | None:
        """How far Salesforce's own changes are known; None before the first reading."""

    def set_watermark(self, reached: Watermark, now: datetime) -> None:
        """Remember how far they were read."""

    def learn(
        self, seen: Sequence[SeenPerson], origin: Origin, read_since: datetime, now: datetime
    ) -> Mapping[Finding, Sequence[SeenPerson]]:
        """Enter what is news; who it concerns, by finding."""

    def unjoined(self, moves: Mapping[str, PersonRef]) -> Mapping[str, PersonRef]:
        """Those of the moves that the ledger has not followed yet and that concern somebody it knows."""

    def redirect(self, moves: Mapping[str, PersonRef], now: datetime) -> Mapping[str, str]:
        """Follow converted and merged records; whom it cannot follow, and why."""

    def question_people(self, people: Collection[str], now: datetime) -> None:
        """Have the flag of these people verified by the next delivery."""


class ChangedPeople(Protocol):
    """Salesforce, as far as it tells who changed."""

    @property
    def organisation_id(self) -> str:
        """The organisation's own id."""

    @property
    def usage(self) -> ApiUsage:
        """Calls made so far."""

    @property
    def server_time(self) -> datetime:
        """What the organisation's clock shows, to the second below."""

    def opted_out_people(self) -> Iterable[SeenPerson]:
        """Everybody who is opted out."""

    def changed_people(self, since: datetime) -> Iterable[SeenPerson]:
        """Everybody who changed at that time or later, those included who are deleted, converted or merged."""


@dataclass(slots=True)
class SyncReport:
    """How many people were read, what was news of them, how many moved, and what it cost in API calls."""

    first: bool
    read: int = 0
    news: Counter[Finding] = field(default_factory=Counter)
    moved: int = 0
    usage: ApiUsage = field(default_factory=lambda: ApiUsage(calls=0))


def synchronise(ledger: StatusLedger, organisation: ChangedPeople, now: datetime) -> SyncReport:
    """Read what changed in Salesforce and enter what is news; trouble that concerns everything is raised."""
    found = organisation.organisation_id
    check_pinned(ledger.pin_organisation(found), found)
    before, began = ledger.watermark(), organisation.server_time
    report = SyncReport(first=before is None)
    settles = before is None or now - before.settled_at >= VISIBLE_AFTER
    if before is None:
        people = organisation.opted_out_people()
    else:
        people = organisation.changed_people(before.settled_until if settles else before.changed_until)
    until = began
    for seen in _chunks(people):
        news = _learn(ledger, seen, Origin.IMPORT if before is None else Origin.SALESFORCE, now, report)
        # Whoever is to be looked at again is read again.
        until = min([until, *(each.changed_at for each in news[Finding.LATER])])
    settled_until, settled_at = (
        (began - VISIBLE_AFTER, now) if before is None or settles else (before.settled_until, before.settled_at)
    )
    ledger.set_watermark(Watermark(until, min(until, settled_until), settled_at), now)
    report.usage = organisation.usage
    return report


def _learn(
    ledger: StatusLedger, seen: Sequence[SeenPerson], origin: Origin, now: datetime, report: SyncReport
) -> Mapping[Finding, Sequence[SeenPerson]]:
    moves = {each.person.salesforce_id: each.moved_to for each in seen if each.moved_to is not None}
    new = ledger.unjoined(moves) if moves else {}
    if new:
        lost = ledger.redirect(new, now)
        # A conversion or merge may have lost our opt-out.
        ledger.question_people({to.salesforce_id for person, to in new.items() if person not in lost}, now)
    news = ledger.learn([each for each in seen if each.moved_to is None and not each.gone], origin, now, now)
    report.read += len(seen)
    report.moved += len(new)
    report.news.update({finding: len(theirs) for finding, theirs in news.items()})
    return news


def _chunks(people: Iterable[SeenPerson]) -> Iterator[list[SeenPerson]]:
    everybody = iter(people)
    while chunk := list(islice(everybody, PEOPLE_AT_ONCE)):
        yield chunk
