"""A person's mailing activity in one window, and the Salesforce Task that shows it.

One completed Task per person, window and kind, in the Activity History. Its key never changes, so that a summary that
grew revises the Task in place; `Summary.revision` says whether it has to. Counting events is done elsewhere.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from writeback_pipeline.domain.notes import clean_text, cut, note_timestamp
from writeback_pipeline.domain.people import PersonRef, object_type_of
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Window
from writeback_pipeline.domain.writebacks import Kind

KEY_FIELD = "Writeback_Key__c"
"""The external-id field of Task that holds the key."""

CREATE_ONLY_FIELDS = ("TaskSubtype",)
"""Fields that Salesforce takes when a Task is created and refuses when it is updated."""

DESCRIPTION_LIMIT = 32_000
"""Largest Task.Description in UTF-8 bytes. Salesforce counts characters; bytes are the stricter reading."""

_LAYOUT = 1
"""Raised when Tasks show the same activity differently, so that those already written are revised."""

_LINE_LIMIT = 500
_LINE_BREAKS = str.maketrans(dict.fromkeys("\t\n\r\x85\u2028\u2029", " "))
_WITHDRAWN = "What this Task listed before has been corrected there, or counts towards another day or week."
_WHEN = {Occurrence.DAILY: "on", Occurrence.WEEKLY: "in the week of"}


@dataclass(frozen=True, slots=True)
class Presentation:
    """How activity is shown: the platform's name and the zone of local times."""

    platform: str
    zone: ZoneInfo

    @property
    def digest(self) -> int:
        """64 bits that change with anything here; part of every revision."""
        text = f"{_LAYOUT}\0{self.platform}\0{self.zone.key}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


@dataclass(frozen=True, slots=True)
class MailingActivity:
    """What happened with one mailing; `machine_count` of `count` events were made by a machine, not a reader."""

    mailing_id: str
    name: str
    subject: str
    count: int
    machine_count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Summary:
    """One person's events of one kind in one window, a mailing at a time in the order of their first event.

    `revision` changes whenever anything that the Task shows changes. Without mailings it stands for events that are no
    longer reported.
    """

    person: PersonRef
    kind: Kind
    window: Window
    mailings: tuple[MailingActivity, ...]
    revision: str

    @property
    def count(self) -> int:
        """Events, those of machines included."""
        return sum(mailing.count for mailing in self.mailings)

    @property
    def machine_count(self) -> int:
        """Events made by machines."""
        return sum(mailing.machine_count for mailing in self.mailings)

    @property
    def first_at(self) -> datetime:
        """The first event; without one, when the window begins."""
        return min((mailing.first_at for mailing in self.mailings), default=self.window.start)

    @property
    def last_at(self) -> datetime:
        """The last event; without one, when the window begins."""
        return max((mailing.last_at for mailing in self.mailings), default=self.window.start)

    @property
    def key(self) -> str:
        """The Task's key."""
        return task_key(self.kind, self.window, self.person.salesforce_id)


def task_key(kind: Kind, window: Window, salesforce_id: str) -> str:
    """The key of a person's Task, such as `sent:daily:2026-11-23:0035g00000ABCDEAA2`; safe in a URL."""
    return f"{kind}:{window.occurrence}:{window.name}:{salesforce_id}"


def withdrawn_revision(presentation: Presentation) -> str:
    """The revision of a summary whose events are no longer reported."""
    return f"none, {presentation.digest:016x}"


def withdrawn_summary(key: str, window: Window, presentation: Presentation) -> Summary:
    """The summary of that key now that its events are no longer reported: nothing is left to list."""
    kind, *_, salesforce_id = key.split(":")
    object_type = object_type_of(salesforce_id)
    assert object_type is not None
    revision = withdrawn_revision(presentation)
    return Summary(PersonRef(object_type, salesforce_id), Kind(kind), window, (), revision)


def task_fields(summary: Summary, presentation: Presentation, *, last_line: str | None = None) -> dict[str, str]:
    """The Task's fields, its key aside; `last_line` ends the text.

    ActivityDate is the local day of the last event: what Salesforce shows as a person's last activity is then true.
    """
    return {
        "WhoId": summary.person.salesforce_id,
        "Subject": task_subject(summary, presentation),
        "Status": "Completed",
        "Priority": "Normal",
        "TaskSubtype": "Email",
        "ActivityDate": summary.last_at.astimezone(presentation.zone).date().isoformat(),
        "Description": task_description(summary, presentation, last_line=last_line),
    }


def task_subject(summary: Summary, presentation: Presentation) -> str:
    """Such as `Informz: 2 mailings opened in the week of 11/23/26`; at most 255 characters."""
    subject = (
        f"{presentation.platform}: {_mailings(len(summary.mailings))} {summary.kind} {_window_words(summary.window)}"
    )
    by_machines_only = summary.mailings and summary.machine_count == summary.count
    return f"{subject}, by machines only" if by_machines_only else subject


def task_description(summary: Summary, presentation: Presentation, *, last_line: str | None = None) -> str:
    """Every mailing with its counts and local times; cut at DESCRIPTION_LIMIT, saying how many were left out.

    `last_line` follows in any case.
    """
    heading = (
        f"{_mailings(len(summary.mailings))} {summary.kind} {_window_words(summary.window)}, "
        f"as recorded by {presentation.platform}. "
    )
    heading += f"Times are in {presentation.zone.key}." if summary.mailings else _WITHDRAWN
    blocks = [_block(mailing, summary.kind, presentation.zone) for mailing in summary.mailings]
    ending = "" if last_line is None else f"\n\n{last_line}"
    limit = DESCRIPTION_LIMIT - len(ending.encode())
    whole = "\n\n".join([heading, *blocks])
    return (whole if len(whole.encode()) <= limit else _shortened(heading, blocks, limit)) + ending


def _shortened(heading: str, blocks: list[str], limit: int) -> str:
    room = limit - len(f"\n\n{_left_out(len(blocks))}".encode())
    kept = [heading]
    used = len(heading.encode())
    for block in blocks:
        used += len(f"\n\n{block}".encode())
        if used > room:
            break
        kept.append(block)
    return "\n\n".join([*kept, _left_out(len(blocks) + 1 - len(kept))])


def _left_out(number: int) -> str:
    return f"… and {_mailings(number)} more, left out here"


def _block(mailing: MailingActivity, kind: Kind, zone: ZoneInfo) -> str:
    name, subject = _line(mailing.name), _line(mailing.subject)
    lines = [f"{name} ({_line(mailing.mailing_id)})" if name else _line(mailing.mailing_id)]
    if subject:
        lines.append(f"Subject: {subject}")
    lines.append(_times(mailing, kind, zone))
    return "\n".join(lines)


def _times(mailing: MailingActivity, kind: Kind, zone: ZoneInfo) -> str:
    first, last = (note_timestamp(instant, zone) for instant in (mailing.first_at, mailing.last_at))
    by_machine = f", {mailing.machine_count} of them by a machine" if mailing.machine_count else ""
    if mailing.count == 1:
        return f"{kind.capitalize()}{' by a machine' if by_machine else ''} {first}"
    return f"{kind.capitalize()} {mailing.count} times{by_machine}, first {first}, last {last}"


def _line(text: str) -> str:
    """The text on one line: what could pass for a line of ours is not let through."""
    return cut(clean_text(text.translate(_LINE_BREAKS)).strip(), _LINE_LIMIT)


def _mailings(number: int) -> str:
    return "1 mailing" if number == 1 else f"{number:,} mailings"


def _window_words(window: Window) -> str:
    return f"{_WHEN[window.occurrence]} {_short_date(window.first_day)}"


def _short_date(day: date) -> str:
    return f"{day.month:02}/{day.day:02}/{day.year % 100:02}"
