"""Writes opt_outs.csv: eight weeks of opt-out changes of the sample people, as a platform exports them.

Run `python data/sample/generate_opt_outs.py` after changing it or the sample people: the same code, the same bytes.
Besides ordinary changes there is some of everything that delivery has to cope with: each group is named below.
"""

import csv
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from writeback_pipeline.domain.intake import COLUMNS
from writeback_pipeline.local_org import ids
from writeback_pipeline.local_org.sample_people import SamplePeople, SamplePerson, invent

OUTPUT = Path(__file__).with_name("opt_outs.csv")

_SEED = 1122
_FIRST_DAY = datetime(2026, 9, 28, tzinfo=UTC)
_END = datetime(2026, 11, 23, tzinfo=UTC)
_SALESFORCE_OPT_OUTS = datetime(2026, 10, 6, tzinfo=UTC)
"""When the people who opted out in Salesforce had done so: their changes here come later."""

_WEEKDAY_WEIGHTS = (3, 9, 4, 9, 3, 1, 1)  # mailings go out on Tuesdays and Thursdays
_ZONES = (UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=1)))
_REASONS = (
    "Too many emails", "No longer interested", "I never signed up for this", "Not relevant to my role any more",
    "Changed jobs", "Switching to RSS", "Too long; didn't read", "Requested by phone, ticket 4711",
    "Left the company. Please contact Sales, not me!", 'They said "monthly", it is daily',
    "1) too frequent\n2) too long\n3) no plain-text version", "Dear team,\n\nplease remove me.\n\nThank you",
    "Trop d'e-mails, merci d'arrêter", "Bitte keine weiteren Newsletter, danke für das Verständnis",
    "Ya no trabajo aquí; ¿pueden borrar mi dirección?", "配信を停止してください。", "不再感兴趣",
    "لا أرغب في تلقي المزيد من الرسائل",
    "אנא הסירו אותי מרשימת התפוצה", "Слишком много писем", "더 이상 받고 싶지 않습니다", "🙅 enough 📧📧📧",
    "-- please stop --", "+1 on what my colleague said", "=unsubscribe", "@marketing: remove me",
    "<b>REMOVE ME</b> & everyone at our company", "50% of these are duplicates", "C:\\spam\\folder is full", "'",
)  # fmt: skip
_LATER_REASONS = ("Asked to be put back", "Unsubscribed by mistake", "Wieder erwünscht", None, None)


@dataclass(frozen=True, slots=True)
class _Event:
    at: datetime
    kind: str
    person: SamplePerson
    reason: str | None
    known_to_salesforce: bool = True


def main(output: Path = OUTPUT) -> None:
    """Write the file."""
    chance = random.Random(_SEED)  # noqa: S311 - a sample, no secret
    events = sorted(_events(chance, invent()), key=lambda event: (event.at, event.person.id))
    subscribers = {id_: str(100_201 + 17 * n) for n, id_ in enumerate(dict.fromkeys(e.person.id for e in events))}
    with output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, event in enumerate(events, start=1):
            writer.writerow(_row(chance, number, event, subscribers[event.person.id]))


def _events(chance: random.Random, people: SamplePeople) -> Iterator[_Event]:
    opted_out = set(people.opted_out_in_salesforce)
    ordinary = [person for person in (*people.contacts, *people.leads) if person not in opted_out]
    chance.shuffle(ordinary)
    anybody = iter(ordinary)

    def next_people(number: int) -> list[SamplePerson]:
        return [next(anybody) for _ in range(number)]

    yield from _unsubscribes(chance, next_people(900))
    yield from _pairs(chance, next_people(70))
    yield from _changes_of_mind(chance, next_people(8))
    # Refused: nothing of the platform's to undo, and opt-outs that only Salesforce may undo.
    yield from _resubscribes(chance, next_people(10))
    yield from _resubscribes(chance, people.opted_out_in_salesforce[:14], after=_SALESFORCE_OPT_OUTS)
    yield from _pairs(chance, people.opted_out_in_salesforce[38:46], after=_SALESFORCE_OPT_OUTS)
    # Followed to the Contact that the person has become, over several hops for some.
    yield from _unsubscribes(chance, people.converted_leads[:24])
    yield from _pairs(chance, people.converted_leads[24:30])
    yield from _unsubscribes(chance, people.merged_contacts)
    # For a person to look into: in the recycle bin, deleted for good, never heard of.
    yield from _unsubscribes(chance, people.deleted)
    yield from _unsubscribes(chance, people.purged)
    yield from _unsubscribes(chance, _strangers(people))
    # Subscribers that Salesforce does not know.
    for event in _unsubscribes(chance, _walk_ins(people)):
        yield _Event(event.at, event.kind, event.person, event.reason, known_to_salesforce=False)


def _unsubscribes(
    chance: random.Random, people: Iterable[SamplePerson], after: datetime = _FIRST_DAY
) -> Iterator[_Event]:
    for person in people:
        yield _Event(_moment(chance, after), "unsubscribe", person, _reason(chance))


def _resubscribes(
    chance: random.Random, people: Iterable[SamplePerson], after: datetime = _FIRST_DAY
) -> Iterator[_Event]:
    for person in people:
        yield _Event(_moment(chance, after), "resubscribe", person, chance.choice(_LATER_REASONS))


def _pairs(chance: random.Random, people: Iterable[SamplePerson], after: datetime = _FIRST_DAY) -> Iterator[_Event]:
    """Unsubscribe, then resubscribe: seconds later for some, days later for others."""
    for event in _unsubscribes(chance, people, after):
        yield event
        later = _later(chance, event.at)
        yield _Event(later, "resubscribe", event.person, chance.choice(_LATER_REASONS))


def _changes_of_mind(chance: random.Random, people: Iterable[SamplePerson]) -> Iterator[_Event]:
    for event in _pairs(chance, people):
        yield event
        if event.kind == "resubscribe":
            yield _Event(_later(chance, event.at), "unsubscribe", event.person, "Unsubscribed again")


def _strangers(people: SamplePeople) -> list[SamplePerson]:
    """People with ids that no organisation has given to anybody."""
    lead, contact = people.leads[0], people.contacts[0]
    models = (contact, lead, contact, lead, contact)
    return [
        SamplePerson(
            ids.make("003" if model.object_type == "Contact" else "00Q", 9_000_000_000 + number),
            model.object_type, "Unknown", "Stranger", f"stranger.{number}@nowhere.example", model.account,
        )
        for number, model in enumerate(models, start=1)
    ]  # fmt: skip


def _walk_ins(people: SamplePeople) -> list[SamplePerson]:
    """Subscribers who only exist on the platform."""
    account = people.accounts[0]
    return [
        SamplePerson(f"walk-in {number:02}", "Contact", "Walk", "In", f"walk.in.{number}@newsletter.example", account)
        for number in range(1, 26)
    ]


def _moment(chance: random.Random, after: datetime) -> datetime:
    days = [after + timedelta(days=number) for number in range((_END - after).days)]
    day = chance.choices(days, [_WEEKDAY_WEIGHTS[day.weekday()] for day in days])[0]
    return day + timedelta(seconds=int(chance.triangular(0, 86_399, 36_000)))


def _later(chance: random.Random, moment: datetime) -> datetime:
    gap = chance.choice((20, 90, 3_600, 86_400, 432_000)) * (0.5 + chance.random())
    left = (_END - moment).total_seconds()
    return moment + timedelta(seconds=int(min(gap, left * (0.5 + chance.random() / 4))) or 1)


def _reason(chance: random.Random) -> str | None:
    dice = chance.random()
    if dice < 0.45:
        return None
    return "Bad Email" if dice < 0.6 else chance.choice(_REASONS)


def _row(chance: random.Random, number: int, event: _Event, subscriber_id: str) -> Sequence[str]:
    person = event.person
    salesforce_id = person.id if chance.random() < 0.8 else person.id[:15]
    at = event.at.astimezone(chance.choices(_ZONES, (90, 5, 5))[0]).isoformat().replace("+00:00", "Z")
    return (
        event.kind,
        person.object_type,
        salesforce_id if event.known_to_salesforce else "",
        at,
        event.reason or "",
        subscriber_id if chance.random() < 0.9 or not event.known_to_salesforce else "",
        person.email or "",
        f"optout-{number:06}",
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
