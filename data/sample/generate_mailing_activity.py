"""Writes mailing_activity/: six weeks of mailings to the sample people, sent and opened, as a platform exports them.

Run `python data/sample/generate_mailing_activity.py` after changing it or the sample people: the same code, the same
bytes. With `--events N --out FOLDER` it writes that many events of invented people instead, for measurements.
Besides ordinary activity there is some of everything that counting has to cope with: each kind is named below.
"""

import argparse
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from writeback_pipeline.activity.salesforce_ids import normal_id_sql
from writeback_pipeline.local_org.sample_people import SamplePeople, invent

OUTPUT = Path(__file__).with_name("mailing_activity")
FIRST_DAY, DAYS = date(2026, 10, 12), 42

_SEED = 1101
_END = datetime(2026, 11, 23, tzinfo=UTC)
_CLOCK_CHANGE = date(2026, 11, 1)
"""New York has one o'clock twice: that day's mailing goes out in both hours."""

_TWO_A_DAY = (1, 3)  # Tuesdays and Thursdays
_THEMES = (
    ("Newsletter {n}", "What is new this week: issue {n}"),
    ("Events digest {n}", "Where to meet us in the coming weeks"),
    ("Year-end appeal {n}", "Every little helps ❤️"),
    ("Journal alert {n}", "Neue Ausgabe: Über Größen, Maße und Gewichte"),
    ("Boletín {n}", "¿Qué hay de nuevo? Señales, años y mañanas"),
    ("お知らせ {n}", "第{n}号:秋の特集と新製品のご案内"),
    ("Рассылка {n}", "Ёлки, щи и новости — выпуск {n}"),
    ("نشرة {n}", "أخبار الأسبوع: العدد {n}"),
    ("עדכון {n}", "\u200fחדשות השבוע, גיליון {n}"),  # noqa: RUF001
    ("Webinar {n}", "🎓 Webinar tomorrow, 3 pm: 10 % off & a <b>free</b> seat"),
    ("Survey {n}", 'Your opinion, in "one" minute; honestly'),
    ("Renewal {n}", "Your membership ends soon — renew now, it's quick"),
    ("公告 {n}", "会员大会通知(第{n}次)"),
    ("Family day {n}", "👩\u200d👩\u200d👧\u200d👦 Bring everyone! 🎈"),
)
_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("kind", pa.string()),
        ("occurred_at", pa.timestamp("us")),
        ("mailing_id", pa.string()),
        ("mailing_name", pa.string()),
        ("subject", pa.string()),
        ("subscriber_id", pa.string()),
        ("object_type", pa.string()),
        ("salesforce_id", pa.string()),
        ("is_machine_open", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class _Mailing:
    id: str
    name: str
    subject: str
    sent_at: datetime
    share: float


@dataclass(frozen=True, slots=True)
class _Subscriber:
    id: str
    object_type: str | None
    salesforce_id: str | None


@dataclass(frozen=True, slots=True)
class _Event:
    event_id: str
    kind: str
    occurred_at: datetime
    mailing: _Mailing
    subscriber: _Subscriber
    is_machine_open: bool | None = None


def write_sample(output: Path = OUTPUT) -> None:
    """Write the sample, one file a date; what the folder held before is gone."""
    chance = random.Random(_SEED)  # noqa: S311 - a sample, no secret
    subscribers = list(_subscribers(invent()))
    by_date: dict[date, list[_Event]] = {FIRST_DAY + timedelta(days=number): [] for number in range(DAYS)}
    for mailing in _mailings():
        for event in _events_of(chance, mailing, subscribers):
            by_date[event.occurred_at.date()].append(event)
    shutil.rmtree(output, ignore_errors=True)
    for day, events in by_date.items():
        events.extend(event for event in tuple(events) if chance.random() < 0.002)  # delivered twice by the platform
        folder = output / f"date={day}"
        folder.mkdir(parents=True)
        rows = [_row(chance, event) for event in sorted(events, key=lambda event: (event.occurred_at, event.event_id))]
        table = pa.Table.from_pylist(rows, _SCHEMA)
        pq.write_table(table, folder / "events.parquet", compression="zstd", store_schema=False)


def _mailings() -> Iterator[_Mailing]:
    number = 0
    for offset in range(DAYS):
        day = FIRST_DAY + timedelta(days=offset)
        for hour in (14, 19) if day.weekday() in _TWO_A_DAY else (14,):
            name, subject = (text.format(n=number + 1) for text in _THEMES[number % len(_THEMES)])
            at = datetime(day.year, day.month, day.day, 5 if day == _CLOCK_CHANGE else hour, 20, tzinfo=UTC)
            yield _Mailing(f"m-{2001 + number}", name, subject, at, (0.08, 0.2, 0.35)[number % 3])
            number += 1


def _subscribers(people: SamplePeople) -> Iterator[_Subscriber]:
    everybody = (
        *people.contacts,
        *people.leads,
        # Followed to the Contact that the person has become.
        *people.converted_leads,
        *people.merged_contacts,
        # For a person to look into: in the recycle bin, deleted for good.
        *people.deleted,
        *people.purged,
    )
    for number, person in enumerate(everybody):
        yield _Subscriber(f"sub-{10_001 + number}", person.object_type, person.id)
    # Subscribers that Salesforce does not know, and ids that no person can have.
    for number in range(60):
        yield _Subscriber(f"sub-{50_001 + number}", None, None if number % 2 else "")
    yield _Subscriber("sub-60001", "Contact", people.contacts[0].id.lower())
    yield _Subscriber("sub-60002", "Contact", people.accounts[0].id)


def _events_of(chance: random.Random, mailing: _Mailing, subscribers: list[_Subscriber]) -> Iterator[_Event]:
    # One mailing's subject was corrected while it went out.
    corrected = replace(mailing, subject=f"Correction: {mailing.subject}") if mailing.id == "m-2005" else mailing
    for subscriber in subscribers:
        if chance.random() >= mailing.share:
            continue
        sent_at = mailing.sent_at + timedelta(microseconds=int(chance.random() * 5_400_000_000))
        shown = mailing if sent_at < mailing.sent_at + timedelta(minutes=45) else corrected
        key = f"{mailing.id}-{subscriber.id}"
        yield _Event(f"{key}-s", "sent", sent_at, shown, subscriber)
        for number, (opened_at, by_machine) in enumerate(_opens(chance, sent_at)):
            if opened_at < _END:
                yield _Event(f"{key}-o{number}", "opened", opened_at, shown, subscriber, by_machine)


def _opens(chance: random.Random, sent_at: datetime) -> Iterator[tuple[datetime, bool | None]]:
    if chance.random() < 0.1:  # a mail server looks first
        yield sent_at + timedelta(seconds=1 + int(chance.random() * 50)), True
    if chance.random() < 0.35:
        while True:  # within hours, within days, or weeks late
            reach = chance.choices((3, 48, 500), (70, 24, 6))[0]
            delay = timedelta(microseconds=int(chance.random() * reach * 3_600_000_000))
            yield sent_at + delay, None if chance.random() < 0.02 else False  # not every client tells
            if chance.random() < 0.7:
                return


def _row(chance: random.Random, event: _Event) -> dict[str, object]:
    salesforce_id = event.subscriber.salesforce_id
    return {
        "event_id": event.event_id,
        "kind": event.kind,
        "occurred_at": event.occurred_at.replace(tzinfo=None),
        "mailing_id": event.mailing.id,
        "mailing_name": event.mailing.name,
        "subject": event.mailing.subject,
        "subscriber_id": event.subscriber.id,
        "object_type": event.subscriber.object_type,
        "salesforce_id": salesforce_id[:15] if salesforce_id and chance.random() < 0.1 else salesforce_id,
        "is_machine_open": event.is_machine_open,
    }


_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62 = " || ".join(f"substr('{_DIGITS}', 1 + (person * 7919 // {62**place}) % 62, 1)" for place in range(4, -1, -1))
_INVENT_PEOPLE = f"""
CREATE TABLE people AS
SELECT person, 'sub-' || person AS subscriber_id, if(person % 5 = 0, 'Lead', 'Contact') AS object_type,
       {normal_id_sql("id15")} AS salesforce_id
FROM (
    SELECT person, if(person % 5 = 0, '00Q', '003') || '5g00000' || {_BASE62} AS id15
    FROM range(0, $people) AS t(person)
)
"""
_INVENT_MAILINGS = """
CREATE TABLE mailings AS
SELECT number, 'm-' || number AS mailing_id, 'Mailing ' || number || ' of the season' AS mailing_name,
       'News, events and offers, number ' || number AS subject
FROM range(0, $mailings) AS t(number)
"""
_INVENT_EVENTS = """
COPY (
    SELECT (1_000_000_000_000 + event)::VARCHAR AS event_id, if(dice % 10 < 6, 'sent', 'opened') AS kind,
           occurred_at, mailing_id, mailing_name, subject, subscriber_id, object_type, salesforce_id,
           if(dice % 10 < 6, NULL, dice % 100 < 70) AS is_machine_open
    FROM (
        SELECT event, hash(event) AS dice, (hash(event, 1) % {people})::BIGINT AS person,
               ({day} * 3 + hash(event, 2) % 5)::BIGINT AS number,
               TIMESTAMP '{date}' + to_microseconds((event - {first}) * 86_400_000_000 // {events}) AS occurred_at
        FROM range({first}, {first} + {events}) AS t(event)
    )
    JOIN people USING (person) JOIN mailings USING (number)
    ORDER BY event
) TO '{file}' (FORMAT parquet, COMPRESSION zstd)
"""


def write_events(output: Path, events: int, people: int, days: int = DAYS) -> None:
    """Write `events` events of `people` people, spread evenly over `days` dates, into a new folder.

    With many more people than events a day nearly every event is the only one of its person and day.
    """
    with duckdb.connect() as database:
        database.execute(_INVENT_PEOPLE, {"people": people})
        database.execute(_INVENT_MAILINGS, {"mailings": days * 3 + 5})
        for day in range(days):
            first = events * day // days
            folder = output / f"date={FIRST_DAY + timedelta(days=day)}"
            folder.mkdir(parents=True)
            database.execute(
                _INVENT_EVENTS.format(
                    people=people,
                    day=day,
                    date=FIRST_DAY + timedelta(days=day),
                    first=first,
                    events=events * (day + 1) // days - first,
                    file=str(folder / "events.parquet").replace("'", "''"),
                )
            )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the mailing activity sample, or any number of events.")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder to write to (default: the committed sample)")
    parser.add_argument("--events", type=int, help="write this many events of invented people; needs --out")
    parser.add_argument("--people", type=int, default=50_000, help="how many invented people (default: 50000)")
    parser.add_argument("--days", type=int, default=DAYS, help="dates to spread them over (default: 42)")
    chosen = parser.parse_args()
    if chosen.events is None:
        write_sample(chosen.out)
    elif chosen.out == OUTPUT:
        parser.error("--events needs --out, the sample's own folder is not overwritten")
    else:
        write_events(chosen.out, chosen.events, chosen.people, chosen.days)


if __name__ == "__main__":
    main()
