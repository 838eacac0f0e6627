"""The committed sample: every event of it ends in a summary, and the generator writes it again byte for byte."""

import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, Window, window_of, windows_between
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS
from writeback_pipeline.local_org.sample import people
from writeback_pipeline_tests.activity.events import SAMPLE, counted_by_hand, read, rows_of, window

EVENTS = SAMPLE / "mailing_activity"
FIRST, LAST = date(2026, 10, 12), date(2026, 11, 22)
FILES = sorted(EVENTS.glob("date=*/*.parquet"))


def windows(occurrence: Occurrence, zone: str) -> list[Window]:
    """The windows that hold all of the sample."""
    calendar = Calendar(occurrence, ZoneInfo(zone))
    return windows_between(window_of(FIRST - timedelta(days=1), calendar), window_of(LAST, calendar), calendar)


def generate(*arguments: object) -> None:
    """Run the generator."""
    command = [sys.executable, str(SAMPLE / "generate_mailing_activity.py"), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("occurrence", "zone"),
    [(Occurrence.DAILY, "America/New_York"), (Occurrence.WEEKLY, "Pacific/Auckland")],
)
def test_summaries_hold_exactly_the_events_that_a_count_by_hand_finds(occurrence: Occurrence, zone: str) -> None:
    whole = windows(occurrence, zone)
    for each in whole[:3] + whole[19:23] + whole[-2:] if occurrence is Occurrence.DAILY else whole:
        found = read(EVENTS, each)
        counted = Counter(
            {
                (kind.value, summary.person.salesforce_id, mailing.mailing_id): mailing.count
                for kind in ACTIVITY_KINDS
                for summary in found.summaries[kind]
                for mailing in summary.mailings
            }
        )
        by_hand = counted_by_hand(rows_of(EVENTS), each)
        assert counted == Counter({key: events for key, events in by_hand.items() if key[1]})
        assert found.counted.totals.events_read - found.counted.totals.duplicates == by_hand.total()


def test_every_event_is_accounted_for() -> None:
    rows_read = 0
    for each in windows(Occurrence.WEEKLY, "UTC"):
        totals = read(EVENTS, each).counted.totals
        where_they_went = sum(kind.events + kind.without_recipient.events for kind in totals.by_kind.values())
        assert totals.events_read == totals.duplicates + where_they_went
        rows_read += totals.events_read
    assert rows_read == len(rows_of(EVENTS))


def test_the_sample_spans_six_weeks_and_a_clock_change_with_at_least_forty_mailings() -> None:
    assert [file.parent.name for file in FILES] == [f"date={FIRST + timedelta(days=n)}" for n in range(42)]
    mailings = {name for file in FILES for name in pq.ParquetFile(file).read(["mailing_id"])["mailing_id"].to_pylist()}
    assert len(mailings) >= 40
    both_one_o_clocks = read(EVENTS, window("2026-11-01", "America/New_York")).summaries[ACTIVITY_KINDS[0]]
    offsets = {each.first_at.astimezone(ZoneInfo("America/New_York")).utcoffset() for each in both_one_o_clocks}
    assert offsets == {timedelta(hours=-4), timedelta(hours=-5)}


def test_the_sample_has_some_of_everything_that_counting_has_to_cope_with() -> None:
    rows = rows_of(EVENTS)
    ids = {row["salesforce_id"] for row in rows}
    assert {len(each) for each in ids if each} == {15, 18}
    assert {None, ""} < ids
    assert {row["is_machine_open"] for row in rows if row["kind"] == "opened"} == {True, False, None}
    assert len({row["event_id"] for row in rows}) < len(rows)
    sent = {(row["mailing_id"], row["subscriber_id"]): row["occurred_at"] for row in rows if row["kind"] == "sent"}
    latest = max(
        row["occurred_at"] - sent[row["mailing_id"], row["subscriber_id"]] for row in rows if row["kind"] == "opened"
    )
    assert latest > timedelta(days=14)
    everybody = people()
    for group in (everybody.contacts, everybody.leads, everybody.converted_leads, everybody.merged_contacts):
        assert ids & {person.id for person in group}
    assert ids & {person.id for person in (*everybody.deleted, *everybody.purged)}
    assert any(len(summary.mailings) > 1 for summary in read(EVENTS, window("2026-11-17")).summaries[ACTIVITY_KINDS[0]])


def test_the_generator_writes_the_sample_again(tmp_path: Path) -> None:
    again = tmp_path / "again"
    generate("--out", again)
    written = sorted(again.glob("date=*/*.parquet"))
    assert [file.relative_to(again) for file in written] == [file.relative_to(EVENTS) for file in FILES]
    for new, committed in zip(written, FILES, strict=True):
        if pq.ParquetFile(new).metadata.created_by == pq.ParquetFile(committed).metadata.created_by:
            assert new.read_bytes() == committed.read_bytes()
        else:  # another version of the library that writes the files
            assert pq.ParquetFile(new).read().equals(pq.ParquetFile(committed).read())


def test_the_generator_makes_any_number_of_events_for_measurements(tmp_path: Path) -> None:
    made = tmp_path / "made"
    generate("--events", 3000, "--people", 40, "--days", 3, "--out", made)
    found = [read(made, window(f"2026-10-{day}")) for day in (12, 13, 14)]
    assert sum(each.counted.totals.events_read for each in found) == 3000
    assert not any(each.nobody[kind] for each in found for kind in ACTIVITY_KINDS)
    assert {len(each.summaries[ACTIVITY_KINDS[0]]) for each in found} == {40}


def test_the_generator_does_not_overwrite_the_sample_with_invented_events() -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        generate("--events", 10)
    assert refused.value.returncode == 2
    assert "needs --out" in refused.value.stderr
