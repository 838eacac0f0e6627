"""The sample's six weeks of mailings, delivered week by week, held against a count of the files by plain Python."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Status
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline_tests.mailings import Mailings, deliver, settle, tasks
from writeback_pipeline_tests.world import World, world_in

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "mailing_activity"
NEW_YORK = ZoneInfo("America/New_York")
WEEKS = [f"{datetime(2026, 10, 5, tzinfo=UTC) + timedelta(days=7 * number):%Y-%m-%d}" for number in range(7)]

_MAILINGS = re.compile(r"Informz: ([\d,]+) mailings? (sent|opened) in the week of ")
_EVENTS = re.compile(r"(?:Sent|Opened)(?: ([\d,]+) times)?\b.* \d\d/\d\d/\d\d ")


@pytest.fixture
def sample_world(tmp_path: Path) -> Iterator[World]:
    open_org(tmp_path / "local_org.sqlite", with_sample=True).close()
    with world_in(tmp_path) as world:
        yield world


def in_the_files() -> tuple[Counter[str], Counter[str]]:
    """Mailings and events by kind that the files have for the people whom the organisation has, or followed."""
    everybody = people()
    here = (*everybody.contacts, *everybody.leads, *everybody.converted_leads, *everybody.merged_contacts)
    known = {person.id[:15] for person in here}
    once = {
        row["event_id"]: row for file in SAMPLE.glob("*/*.parquet") for row in pq.ParquetFile(file).read().to_pylist()
    }
    mailings, events = set(), Counter[str]()
    for row in once.values():
        person = (row["salesforce_id"] or "").strip()[:15]
        if person in known:
            day = row["occurred_at"].replace(tzinfo=UTC).astimezone(NEW_YORK).date()
            events[row["kind"]] += 1
            mailings.add((row["kind"], person, day - timedelta(days=day.weekday()), row["mailing_id"]))
    return Counter(kind for kind, *_ in mailings), events


def in_the_tasks(world: World) -> tuple[Counter[str], Counter[str]]:
    """The same, as every Task says it: mailings in the subject, events in the last line of each mailing."""
    mailings, events = Counter[str](), Counter[str]()
    for task in tasks(world):
        subject = _MAILINGS.match(task["Subject"])
        assert subject, task["Subject"]
        number, kind = int(subject[1].replace(",", "")), subject[2]
        mailings[kind] += number
        blocks = task["Description"].split("\n\n")[1:]
        assert len(blocks) == number, task["Description"]
        for block in blocks:
            times = _EVENTS.match(block.splitlines()[-1])
            assert times, block
            events[kind] += int((times[1] or "1").replace(",", ""))
    return mailings, events


def test_every_mailing_of_the_sample_is_in_a_task_and_only_there(sample_world: World) -> None:
    world, mailings = sample_world, Mailings(SAMPLE)
    settle(world, occurrence="weekly", time_zone="America/New_York")
    for week in WEEKS:
        for kind in ACTIVITY_KINDS:
            report = deliver(world, mailings, kind, week, Occurrence.WEEKLY)
            assert report.statuses.keys() <= {Status.WRITTEN, Status.FAILED}
    assert in_the_tasks(world) == in_the_files()
    delivered = world.ledger.window_accounts(datetime(2026, 1, 1, tzinfo=UTC))
    assert len(delivered) == len(WEEKS) * len(ACTIVITY_KINDS)
    assert all(each.adds_up for each in delivered)
