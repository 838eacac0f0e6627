"""Incidents: what was seen wrong, from when until when, and what each channel has still to be told of it.

Pure, and by level: a channel's knowledge is compared with what is so. A message that could not be sent is thereby owed
again, one that was overtaken never goes out, and an incident that nobody was told of needs no recovery message.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from writeback_pipeline.domain.alerts import RULES, Severity, Sighting

SENDING_TAKES = timedelta(minutes=2)
"""Longest that one attempt to send takes: meanwhile nobody else tries the same."""

LONGEST_WAIT = timedelta(hours=1)
TRIED_FOR = timedelta(days=7)
"""How long after its end a recovery is still tried to be told."""


class News(StrEnum):
    """Why a channel is told of an incident."""

    OPENED = "opened"
    WORSE = "worse"
    REMINDER = "reminder"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Told:
    """What one channel knows of an incident: the worst severity it was told, or that it is over, and when.

    `attempts` to tell it more have failed or are under way, none is made again before `not_before`; `trouble` says why
    the last one failed.
    """

    severity: Severity | None = None
    over: bool = False
    at: datetime | None = None
    attempts: int = 0
    not_before: datetime | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """Something wrong from `opened_at` to `closed_at`, None while it lasts; `told` is by channel."""

    id: int
    key: str
    rule: str
    severity: Severity
    words: str
    opened_at: datetime
    last_seen: datetime
    closed_at: datetime | None = None
    told: Mapping[str, Told] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The rule's."""
        rule = RULES.get(self.rule)  # an earlier release may have had others
        return self.rule if rule is None else rule.title

    @property
    def section(self) -> str:
        """What the runbook's section about it is called in an address."""
        return self.rule.replace("_", "-")

    @property
    def command(self) -> str:
        """What to type to see more of it."""
        rule = RULES.get(self.rule)
        return "writebacks alerts check" if rule is None else rule.command

    def is_due(self, now: datetime) -> bool:
        """Whether it has lasted long enough to be told of."""
        rule = RULES.get(self.rule)
        return rule is None or now - self.opened_at >= rule.after


@dataclass(frozen=True, slots=True)
class Notice:
    """One incident that one channel is to be told of; `attempt` fences what is recorded of the sending."""

    incident: Incident
    channel: str
    news: News
    attempt: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What a look changes: sightings of nothing known, incidents seen again as they are now, those that are over."""

    opened: Sequence[Sighting]
    seen: Sequence[tuple[Incident, Sighting]]
    closed: Sequence[Incident]

    def __bool__(self) -> bool:
        return bool(self.opened or self.seen or self.closed)


def changes(known: Iterable[Incident], sightings: Sequence[Sighting], judged: Collection[str]) -> Changes:
    """What sightings mean for the incidents that are known; nothing for those of rules that were not judged."""
    lasting = {incident.key: incident for incident in known if incident.closed_at is None}
    now_wrong = {sighting.key for sighting in sightings}
    return Changes(
        [sighting for sighting in sightings if sighting.key not in lasting],
        [(lasting[sighting.key], sighting) for sighting in sightings if sighting.key in lasting],
        [each for key, each in lasting.items() if key not in now_wrong and each.rule in judged],
    )


def notices(
    incidents: Iterable[Incident], channels: Collection[str], reminder: timedelta, now: datetime
) -> list[Notice]:
    """What the channels are to be told now."""
    found = []
    for incident in incidents:
        for channel in channels:
            told = incident.told.get(channel, Told())
            if told.not_before is None or told.not_before <= now:
                news = _news(incident, told, reminder, now)
                if news is not None:
                    found.append(Notice(incident, channel, news, told.attempts + 1))
    return found


def _news(incident: Incident, told: Told, reminder: timedelta, now: datetime) -> News | None:
    if incident.closed_at is not None:
        owed = told.severity is not None and not told.over and now - incident.closed_at < TRIED_FOR
        return News.OVER if owed else None
    if told.severity is None or told.at is None:
        return News.OPENED if incident.is_due(now) else None
    if incident.severity.rank > told.severity.rank:
        return News.WORSE
    return News.REMINDER if now - told.at >= reminder else None


def next_try(attempts: int, now: datetime) -> datetime:
    """When a message that could not be sent so often is tried again."""
    return now + min(timedelta(minutes=2 ** min(attempts - 1, 10)), LONGEST_WAIT)
