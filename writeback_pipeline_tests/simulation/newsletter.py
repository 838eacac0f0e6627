"""Mailings that go out while a history lasts: what was sent to whom in one window, counted anew for every delivery."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.activity import MailingActivity, Presentation, Summary, task_description, task_key
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.window_ledger import OwedSummary
from writeback_pipeline.domain.windows import Calendar, window_named
from writeback_pipeline.domain.writebacks import Kind

KIND = Kind.SENT
ZONE = ZoneInfo("UTC")
WINDOW = window_named("2026-11-22", Calendar(Occurrence.DAILY, ZONE))
SHOWN = Presentation("Informz", ZONE)


@dataclass(frozen=True)
class Counted:
    """The events as they were when they were counted."""

    sent: Mapping[PersonRef, int]

    fingerprint = "counted"
    presentation = SHOWN

    @property
    def events(self) -> int:
        return sum(self.sent.values())

    events_in_rows = events

    def revisions(self) -> Mapping[str, str]:
        return {key_of(person): f"{number}" for person, number in self.sent.items()}

    def summaries(self, keys: Sequence[str]) -> Sequence[Summary]:
        by_key = {key_of(person): summary(person, number) for person, number in self.sent.items()}
        return [by_key[key] for key in keys]

    def without_recipient(self) -> Sequence[OwedSummary]:
        return ()


@dataclass
class Newsletter:
    """How often it has gone to whom."""

    sent: Counter[PersonRef] = field(default_factory=Counter)

    def goes_to(self, person: PersonRef) -> None:
        self.sent[person] += 1

    def counted(self) -> Counted:
        return Counted(dict(self.sent))


def key_of(person: PersonRef) -> str:
    return task_key(KIND, WINDOW, person.salesforce_id)


def summary(person: PersonRef, number: int) -> Summary:
    at = WINDOW.start
    mailing = MailingActivity("m-1", "Newsletter", "News", number, 0, at, at)
    return Summary(person, KIND, WINDOW, (mailing,), f"{number}")


def text_of(person: PersonRef, number: int) -> str:
    """What the Task says."""
    return task_description(summary(person, number), SHOWN)
