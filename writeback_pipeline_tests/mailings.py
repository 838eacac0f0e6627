"""Mailing events for tests: written as the platform writes them, and delivered a window at a time as a run does."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from writeback_pipeline.activity.source import MailingEvents
from writeback_pipeline.delivery.activity import ActivityDelivery, ActivityReport
from writeback_pipeline.domain.activity import Presentation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, Window, window_named
from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline_tests.world import World

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("kind", pa.string()),
        ("occurred_at", pa.timestamp("us", tz="UTC")),
        ("mailing_id", pa.string()),
        ("mailing_name", pa.string()),
        ("subject", pa.string()),
        ("subscriber_id", pa.string()),
        ("object_type", pa.string()),
        ("salesforce_id", pa.string()),
        ("is_machine_open", pa.bool_()),
    ]
)

DAY = "2025-11-20"
WEEK = "2025-11-17"


def at(text: str) -> datetime:
    """An instant in UTC, such as `11-20 09:05`, of 2025."""
    return datetime.fromisoformat(f"2025-{text}:00+00:00")


@dataclass
class Mailings:
    """A folder of event files. What is added becomes new files, one for each UTC date."""

    folder: Path
    _events: Iterator[int] = field(default_factory=count)
    _files: Iterator[int] = field(default_factory=count)

    def sent(self, *people: str | None, when: str = "11-20 09:05", **more: Any) -> None:
        """One `sent` event for each of the people."""
        self.add(*(self.event("sent", person, when, **more) for person in people))

    def opened(self, *people: str | None, when: str = "11-20 10:00", **more: Any) -> None:
        """One `opened` event for each of the people."""
        self.add(*(self.event("opened", person, when, **more) for person in people))

    def event(self, kind: str, person: str | None, when: str, **more: Any) -> dict[str, Any]:
        """One event; `more` replaces any column."""
        return {
            "event_id": f"event-{next(self._events)}",
            "kind": kind,
            "occurred_at": at(when),
            "mailing_id": "m-1",
            "mailing_name": "November Newsletter",
            "subject": "What is new",
            "subscriber_id": f"subscriber of {person}",
            "object_type": "Lead" if (person or "").startswith("00Q") else "Contact",
            "salesforce_id": person,
            "is_machine_open": False,
        } | more

    def add(self, *events: dict[str, Any]) -> None:
        """Append the events."""
        by_date = defaultdict(list)
        for event in events:
            by_date[event["occurred_at"].date()].append(event)
        for date, theirs in by_date.items():
            folder = self.folder / f"date={date}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"part-{next(self._files):03}.parquet"
            pq.write_table(pa.Table.from_pylist(theirs, SCHEMA), path)

    def correct(self, day: str) -> None:
        """Take the day's files away, as a platform does that writes them anew."""
        for path in (self.folder / f"date={day}").iterdir():
            path.unlink()

    def spoil(self, day: str) -> Path:
        """Put a file without a Parquet footer among those of the day."""
        path = self.folder / f"date={day}" / "half-written.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"PAR1 and nothing more")
        return path


def window(world: World, name: str = DAY, occurrence: Occurrence = Occurrence.DAILY) -> Window:
    """The window of that name under the settings as they are."""
    settings = world.ledger.settings()
    return window_named(name, Calendar(occurrence, settings.zone, settings.week_starts_on))


def deliver(
    world: World,
    mailings: Mailings,
    kind: Kind = Kind.SENT,
    name: str = DAY,
    occurrence: Occurrence = Occurrence.DAILY,
    **how: Any,
) -> ActivityReport:
    """One delivery of a window, as a run would make it; the clock moves on by a second first."""
    world.clock.advance(timedelta(seconds=1))
    settings = world.ledger.settings()
    chosen = window_named(name, Calendar(occurrence, settings.zone, settings.week_starts_on))
    parts: dict[str, Any] = {"ledger": world.ledger, "organisation": world.organisation, "now": world.clock}
    delivery = ActivityDelivery(**parts | {"run_id": "run", "sleep": world.sleep} | how)
    shown = Presentation(settings.platform_name, settings.zone)
    with MailingEvents(str(mailings.folder), "200MB").counted(chosen, shown) as counted:
        return delivery.run(kind, chosen, counted.of(kind))


def tasks(world: World, person: str | None = None) -> list[dict[str, Any]]:
    """The person's live Tasks, or everybody's, in the order in which they were made."""
    of_whom, values = ("", ()) if person is None else ("AND WhoId = ?", (person,))
    return world.select(f"SELECT * FROM Task WHERE IsDeleted = 0 {of_whom} ORDER BY Id", *values)


def settle(world: World, **settings: str) -> None:
    """Change settings."""
    world.ledger.change_settings(settings, "tester", world.clock())
