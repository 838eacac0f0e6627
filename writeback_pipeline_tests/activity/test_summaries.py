"""What a summary says of a window: each event once, under its own person, in its own window, and nothing of others."""

import random
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from writeback_pipeline.activity import counting
from writeback_pipeline.activity.counting import WithoutRecipient
from writeback_pipeline.activity.database import ActivityDataError, event_database
from writeback_pipeline.activity.source import MailingEvents
from writeback_pipeline.activity.summaries import summarise
from writeback_pipeline.domain.activity import MailingActivity, Presentation, task_key
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind
from writeback_pipeline_tests.activity.events import ANNA, BEN, LEAD, Found, event, read, window, write

DAY = window("2026-11-10")
SHOWN = Presentation("Informz", ZoneInfo("UTC"))


def found(folder: Path, *events: dict[str, Any], presentation: Presentation = SHOWN) -> Found:
    """What is read of the tenth of November with these events."""
    write(folder, events)
    return read(folder, DAY, presentation)


@pytest.fixture(params=[counting.SORTED_AT_ONCE, 0])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are compared in memory, and by the database, as those of very large windows are."""
    monkeypatch.setattr(counting, "SORTED_AT_ONCE", request.param)


def opened(event_id: str, at: str, **changes: Any) -> dict[str, Any]:
    return event(event_id, at, kind="opened", is_machine_open=False) | changes


def test_a_summary_has_each_mailing_with_counts_and_times_and_machines_apart(tmp_path: Path) -> None:
    summary = found(
        tmp_path,
        opened("o1", "2026-11-10T10:00:00.000001"),
        opened("o2", "2026-11-10T08:00:00", is_machine_open=True),
        opened("o3", "2026-11-10T23:59:59.999999", mailing_id="m-2", mailing_name="Appeal", subject="Help — 冬 🎈"),
    ).only(Kind.OPENED)
    assert summary.mailings == (
        MailingActivity(
            "m-1",
            "Newsletter",
            "What is new",
            2,
            1,
            datetime(2026, 11, 10, 8, tzinfo=UTC),
            datetime(2026, 11, 10, 10, 0, 0, 1, tzinfo=UTC),
        ),
        MailingActivity(
            "m-2",
            "Appeal",
            "Help — 冬 🎈",
            1,
            0,
            datetime(2026, 11, 10, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 11, 10, 23, 59, 59, 999999, tzinfo=UTC),
        ),
    )
    assert (summary.person.salesforce_id, summary.kind, summary.window) == (ANNA, Kind.OPENED, DAY)


def test_an_open_of_which_nobody_says_who_made_it_is_a_readers(tmp_path: Path) -> None:
    assert (
        found(tmp_path, opened("o1", "2026-11-10T10:00:00", is_machine_open=None)).only(Kind.OPENED).machine_count == 0
    )


def test_sent_and_opened_are_summaries_of_their_own(tmp_path: Path) -> None:
    both = found(tmp_path, event("s1", "2026-11-10T09:00:00"), opened("o1", "2026-11-10T10:00:00"))
    assert both.only(Kind.SENT).key == f"sent:daily:2026-11-10:{ANNA}"
    assert both.only(Kind.OPENED).key == f"opened:daily:2026-11-10:{ANNA}"


def test_a_late_open_belongs_to_the_window_in_which_it_happened(tmp_path: Path) -> None:
    write(tmp_path, [event("s1", "2026-10-20T09:00:00"), opened("o1", "2026-11-10T10:00:00")])
    assert read(tmp_path, window("2026-10-20")).summaries[Kind.OPENED] == []
    assert read(tmp_path, DAY).only(Kind.OPENED).count == 1


def test_a_window_takes_its_first_instant_and_not_the_next_ones(tmp_path: Path) -> None:
    at_midnights = [event("first", "2026-11-10T00:00:00"), event("next", "2026-11-11T00:00:00")]
    assert found(tmp_path, *at_midnights).only().first_at == DAY.start
    assert read(tmp_path, window("2026-11-11")).only().first_at == DAY.end


@pytest.mark.parametrize(
    ("name", "hours"), [("2026-11-01", 25), ("2026-03-08", 23), ("2026-11-02", 24), ("2026-10-31", 24)]
)
def test_a_day_whose_clock_changes_has_all_of_its_hours_and_no_others(tmp_path: Path, name: str, hours: int) -> None:
    start = datetime.fromisoformat(name)
    write(tmp_path, [event(f"e{n}", (start + timedelta(hours=n, minutes=30)).isoformat()) for n in range(-24, 56)])
    assert read(tmp_path, window(name, "America/New_York")).only().count == hours


def test_a_week_is_one_summary(tmp_path: Path) -> None:
    write(tmp_path, [event(f"e{day}", f"2026-11-{day:02}T12:00:00") for day in range(1, 20)])
    week = read(tmp_path, window("2026-11-09", occurrence=Occurrence.WEEKLY)).only()
    assert week.count == 7
    assert week.key == f"sent:weekly:2026-11-09:{ANNA}"


@pytest.mark.usefixtures("either_way")
def test_an_event_delivered_several_times_counts_once(tmp_path: Path) -> None:
    again = [event("e1", "2026-11-10T09:00:00"), event("e1", "2026-11-10T09:00:00"), event("e2", "2026-11-10T09:00:00")]
    write(tmp_path, again)
    write(tmp_path, again[:1], name="delivered-again")
    twice = read(tmp_path, DAY)
    assert twice.only().count == 2
    assert (twice.counted.totals.events_read, twice.counted.totals.duplicates) == (4, 2)


@pytest.mark.usefixtures("either_way")
def test_of_events_that_share_an_id_and_nothing_else_the_earliest_counts(tmp_path: Path) -> None:
    clash = found(
        tmp_path,
        event("e1", "2026-11-10T11:00:00", salesforce_id=BEN),
        event("e1", "2026-11-10T09:00:00"),
        event("e2", "2026-11-10T10:00:00"),
    )
    assert clash.only().person.salesforce_id == ANNA
    assert clash.only().count == 2


@pytest.mark.usefixtures("either_way")
def test_events_without_an_id_text_are_not_taken_for_one_another(tmp_path: Path) -> None:
    assert found(tmp_path, event("", "2026-11-10T09:00:00"), event("", "2026-11-10T10:00:00")).only().count == 2


@pytest.mark.parametrize("other_form", [ANNA[:15], f"{ANNA[:15]}   ", f" {ANNA} ", f"{ANNA}  "])
def test_a_person_written_in_several_forms_is_one_person(tmp_path: Path, other_form: str) -> None:
    mixed = found(
        tmp_path,
        event("e1", "2026-11-10T09:00:00"),
        event("e2", "2026-11-10T10:00:00", salesforce_id=other_form),
        event("e3", "2026-11-10T10:00:00", salesforce_id=LEAD[:15]),
    )
    assert {each.person.salesforce_id: each.count for each in mixed.summaries[Kind.SENT]} == {ANNA: 2, LEAD: 1}
    assert mixed.nobody[Kind.SENT] == []
    assert mixed.counted.totals.by_kind[Kind.SENT].people == 2


@pytest.mark.parametrize("spaced", [f"{ANNA[:15]}   ", f"   {ANNA[:15]}", f"\u3000{ANNA[:15]}"])
def test_the_short_form_with_spaces_up_to_the_long_one_is_the_same_person(tmp_path: Path, spaced: str) -> None:
    padded = [event(f"e{n}", "2026-11-10T10:00:00", salesforce_id=id_) for n, id_ in enumerate((spaced, BEN))]
    mixed = found(tmp_path, event("e", "2026-11-10T09:00:00"), *padded)
    assert {each.person.salesforce_id: each.count for each in mixed.summaries[Kind.SENT]} == {ANNA: 2, BEN: 1}
    assert mixed.nobody[Kind.SENT] == []


@pytest.mark.parametrize(
    "wrong",
    [
        ANNA.lower(),
        ANNA[:-1] + "B",
        "001wb000000CaR6AAK",
        "003wb000000CaR",
        "003wb00000!CaR6AAK",
        "x" * 400,
        " ",
        "003wb000000CaR6AAK\n",
        "冬" * 15,
        "003" + "é" * 3 + "0" * 9,
        "003" + "é" * 15,
    ],
)
def test_an_id_that_no_person_can_have_is_listed_and_stops_nobody_else(tmp_path: Path, wrong: str) -> None:
    mixed = found(
        tmp_path,
        event("e1", "2026-11-10T09:00:00", salesforce_id=wrong),
        event("e2", "2026-11-10T09:30:00", salesforce_id=wrong),
        event("e3", "2026-11-10T10:00:00"),
    )
    assert mixed.only().person.salesforce_id == ANNA
    assert list(mixed.revisions[Kind.SENT]) == [task_key(Kind.SENT, DAY, ANNA)]
    assert [at for _, at in mixed.nobody[Kind.SENT]] == [datetime(2026, 11, 10, 9, 30, tzinfo=UTC)]
    sent = mixed.counted.totals.by_kind[Kind.SENT]
    assert (sent.people, sent.events, sent.without_recipient) == (1, 1, WithoutRecipient(subscribers=1, events=2))


def test_subscribers_without_a_salesforce_id_are_counted_and_listed_by_kind(tmp_path: Path) -> None:
    mixed = found(
        tmp_path,
        event("e1", "2026-11-10T09:00:00", salesforce_id=None, subscriber_id="sub-7"),
        event("e2", "2026-11-10T11:00:00", salesforce_id="", subscriber_id="sub-7", mailing_id="m-2"),
        event("e3", "2026-11-10T09:00:00", salesforce_id=None, subscriber_id="sub-8"),
        opened("e4", "2026-11-10T09:00:00", salesforce_id=None, subscriber_id="sub-8"),
    )
    by_kind = mixed.counted.totals.by_kind
    assert by_kind[Kind.SENT].without_recipient == WithoutRecipient(subscribers=2, events=3)
    assert by_kind[Kind.OPENED].without_recipient == WithoutRecipient(subscribers=1, events=1)
    assert mixed.nobody[Kind.SENT] == [
        ("sub-7", datetime(2026, 11, 10, 11, tzinfo=UTC)),
        ("sub-8", datetime(2026, 11, 10, 9, tzinfo=UTC)),
    ]
    assert mixed.summaries == {Kind.SENT: [], Kind.OPENED: []}


def test_kinds_that_are_neither_sent_nor_opened_are_named(tmp_path: Path) -> None:
    mixed = found(
        tmp_path,
        event("e1", "2026-11-10T09:00:00", kind="clicked"),
        event("e2", "2026-11-10T09:00:00", kind="clicked", salesforce_id=None),
        event("e3", "2026-11-10T09:00:00", kind=None),
        event("e4", "2026-11-10T09:00:00"),
    )
    assert mixed.counted.totals.unknown_kinds == {"clicked": 2, "": 1}
    assert mixed.only().count == 1


def test_a_window_of_other_kinds_only_has_no_summaries(tmp_path: Path) -> None:
    clicked = found(tmp_path, event("e1", "2026-11-10T09:00:00", kind="clicked"))
    assert clicked.counted.totals.unknown_kinds == {"clicked": 1}
    assert clicked.summaries == {Kind.SENT: [], Kind.OPENED: []}


def test_ids_of_many_different_beginnings_are_told_from_wrong_ones(tmp_path: Path) -> None:
    right, wrong = ([f"003{number:02}0000000000{suffix}" for number in range(40)] for suffix in ("AAA", "AAB"))
    ids = found(tmp_path, *(event(each, "2026-11-10T09:00:00", salesforce_id=each) for each in right + wrong))
    assert [summary.person.salesforce_id for summary in ids.summaries[Kind.SENT]] == right
    assert [who for who, _ in ids.nobody[Kind.SENT]] == wrong


def test_the_latest_event_has_the_last_word_on_a_mailings_name_and_subject(tmp_path: Path) -> None:
    renamed = found(
        tmp_path,
        event("e1", "2026-11-10T11:00:00", subject="Correction: what is new", mailing_name="Newsletter 2"),
        event("e2", "2026-11-10T09:00:00"),
    ).only()
    (mailing,) = renamed.mailings
    assert (mailing.name, mailing.subject, mailing.count) == ("Newsletter 2", "Correction: what is new", 2)


def test_a_subject_that_was_written_for_one_person_is_not_shown_to_another(tmp_path: Path) -> None:
    personal = found(
        tmp_path,
        event("e1", "2026-11-10T09:00:00", subject="Anna, your invoice"),
        event("e2", "2026-11-10T10:00:00", subject="Ben, your invoice", salesforce_id=BEN),
    )
    assert {each.person.salesforce_id: each.mailings[0].subject for each in personal.summaries[Kind.SENT]} == {
        ANNA: "Anna, your invoice",
        BEN: "Ben, your invoice",
    }


def test_missing_texts_are_empty_and_hostile_ones_arrive_as_they_are(tmp_path: Path) -> None:
    hostile = "a\x00b'; DROP TABLE people; -- \u202e<script> 👩\u200d🚀"
    texts = found(
        tmp_path,
        event("e1", "2026-11-10T09:00:00", mailing_id=None, mailing_name=None, subject=None),
        event("e2", "2026-11-10T10:00:00", mailing_id="m-2", mailing_name=hostile, subject=hostile * 50),
    ).only()
    assert [(each.mailing_id, each.name, each.subject) for each in texts.mailings] == [
        ("", "", ""),
        ("m-2", hostile, hostile * 50),
    ]


TWO_MAILINGS = (
    event("e1", "2026-11-10T09:00:00"),
    event("e2", "2026-11-10T10:00:00", mailing_id="m-2"),
    event("e3", "2026-11-10T11:00:00"),
    event("e4", "2026-11-10T12:00:00"),
)


def revision_of(folder: Path, *events: dict[str, Any], presentation: Presentation = SHOWN) -> str:
    one = found(folder, *events, presentation=presentation)
    revision = one.only().revision
    assert one.revisions[Kind.SENT] == {one.only().key: revision}
    return revision


def test_the_order_of_events_and_files_does_not_change_a_revision(tmp_path: Path) -> None:
    expected = revision_of(tmp_path / "whole", *TWO_MAILINGS)
    for number in range(5):
        shuffled = random.Random(number).sample(TWO_MAILINGS, len(TWO_MAILINGS))
        split = tmp_path / str(number)
        write(split, shuffled[:number], name="b")
        write(split, shuffled[number:], name="a")
        assert read(split, DAY).only().revision == expected


def test_an_event_delivered_again_or_about_somebody_else_does_not_change_a_revision(tmp_path: Path) -> None:
    expected = revision_of(tmp_path / "before", *TWO_MAILINGS)
    after = found(
        tmp_path / "after",
        *TWO_MAILINGS,
        TWO_MAILINGS[2],
        event("e9", "2026-11-10T09:00:00", salesforce_id=BEN),
        opened("e10", "2026-11-10T09:00:00"),
    )
    assert after.revisions[Kind.SENT][task_key(Kind.SENT, DAY, ANNA)] == expected


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (0, {"mailing_id": "m-3"}),
        (0, {"mailing_name": "Another"}),
        (0, {"subject": "Another"}),
        (0, {"occurred_at": datetime(2026, 11, 10, 9, 0, 1)}),
        (2, {"occurred_at": datetime(2026, 11, 10, 11, 0, 1)}),
        (0, {"is_machine_open": True}),
    ],
)
def test_whatever_changes_what_is_shown_changes_the_revision(
    tmp_path: Path, position: int, change: dict[str, Any]
) -> None:
    changed = [each | change if number == position else each for number, each in enumerate(TWO_MAILINGS)]
    assert revision_of(tmp_path / "after", *changed) != revision_of(tmp_path / "before", *TWO_MAILINGS)


def test_two_mailings_that_change_places_change_the_revision(tmp_path: Path) -> None:
    swapped = [
        TWO_MAILINGS[0] | {"mailing_id": "m-2"},
        TWO_MAILINGS[1] | {"mailing_id": "m-1"},
        *TWO_MAILINGS[2:],
    ]
    assert revision_of(tmp_path / "after", *swapped) != revision_of(tmp_path / "before", *TWO_MAILINGS)


def test_events_at_one_instant_do_not_cancel_out_in_the_revision(tmp_path: Path) -> None:
    twins = [event("e1", "2026-11-10T09:00:00"), event("e2", "2026-11-10T09:00:00")]
    renamed = [each | {"subject": "Another"} for each in twins]
    assert revision_of(tmp_path / "after", *renamed) != revision_of(tmp_path / "before", *twins)


def test_another_name_of_the_platform_or_zone_changes_the_revision(tmp_path: Path) -> None:
    revisions = {
        revision_of(tmp_path, *TWO_MAILINGS, presentation=Presentation(platform, ZoneInfo(zone)))
        for platform, zone in [("Informz", "UTC"), ("Mailer", "UTC"), ("Informz", "Europe/London")]
    }
    assert len(revisions) == 3


def test_a_revision_is_the_same_in_every_release_and_on_every_machine(tmp_path: Path) -> None:
    """A change here means that every summary counted again is written again, once."""
    assert revision_of(tmp_path, *TWO_MAILINGS) == "6f7fb08ed883ad92"


def test_only_the_summaries_asked_for_are_built_in_the_order_of_their_ids(tmp_path: Path) -> None:
    people = [ANNA, LEAD, BEN]
    write(tmp_path, [event(f"e{n}", "2026-11-10T09:00:00", salesforce_id=each) for n, each in enumerate(people)])
    keys = [task_key(Kind.SENT, DAY, each) for each in (LEAD, ANNA)]
    with event_database() as database, summarise(database, str(tmp_path), DAY, SHOWN) as counted:
        assert [each.key for each in counted.summaries(Kind.SENT, keys)] == sorted(keys)
        assert list(counted.summaries(Kind.SENT, [])) == []
        assert [each.person.salesforce_id for each in counted.summaries(Kind.SENT)] == sorted(people)
        assert {key for key, _ in counted.revisions(Kind.SENT)} == {task_key(Kind.SENT, DAY, each) for each in people}


def test_several_results_can_be_read_at_once(tmp_path: Path) -> None:
    ids = [f"003wb0000{number:06}" for number in range(5_000)]
    write(tmp_path, [event(f"e{each}", "2026-11-10T09:00:00", salesforce_id=each) for each in ids])
    with event_database() as database, summarise(database, str(tmp_path), DAY, SHOWN) as counted:
        summaries, revisions = counted.summaries(Kind.SENT), counted.revisions(Kind.SENT)
        pairs = list(zip(summaries, revisions, strict=True))
        with summarise(database.cursor(), str(tmp_path), window("2026-11-11"), SHOWN) as next_day:
            assert list(next_day.summaries(Kind.SENT)) == []
    assert len({summary.key for summary, _ in pairs}) == len({key for _, (key, _) in pairs}) == len(ids)


def test_what_is_listed_is_what_was_counted_or_nothing(tmp_path: Path) -> None:
    write(tmp_path, TWO_MAILINGS)
    with event_database() as database, summarise(database, str(tmp_path), DAY, SHOWN) as counted:
        write(tmp_path, [*TWO_MAILINGS[:3], TWO_MAILINGS[3] | {"subject": "Another"}])
        with pytest.raises(ActivityDataError, match="files changed while 2026-11-10 was counted"):
            list(counted.summaries(Kind.SENT))


def test_windows_counted_one_after_the_other_are_as_each_by_itself(tmp_path: Path) -> None:
    days = [window(f"2026-11-{day:02}", "America/New_York") for day in (9, 10, 11)]
    write(
        tmp_path, [event(f"e{hour}", f"2026-11-{9 + hour // 24:02}T{hour % 24:02}:30:00") for hour in range(0, 96, 5)]
    )
    alone = [read(tmp_path, day).revisions for day in days]
    together = [
        {kind: counted.of(kind).revisions() for kind in ACTIVITY_KINDS}
        for counted in MailingEvents(str(tmp_path)).counted_each(days, SHOWN)
    ]
    assert together == alone
    assert all(revisions[Kind.SENT] for revisions in alone)


def test_a_window_that_cannot_be_counted_fails_at_its_turn_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spill, events = tmp_path / "spill", tmp_path / "events"
    spill.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spill))
    write(events, [event(f"e{day}", f"2026-11-{day}T09:00:00") for day in range(10, 16)])
    (events / "date=2026-11-11" / "events.parquet").write_bytes(b"broken")
    days = [window(f"2026-11-{day}") for day in range(10, 16)]
    with closing(MailingEvents(str(events)).counted_each(days, SHOWN)) as each:
        assert next(each).rows_read == 1
        with pytest.raises(ActivityDataError, match="date=2026-11-11"):
            next(each)
    assert list(spill.iterdir()) == []


def test_a_window_larger_than_the_memory_is_counted_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "date=2026-11-10"
    folder.mkdir()
    events = duckdb.sql(
        "SELECT 'e' || n AS event_id, 'sent' AS kind, TIMESTAMP '2026-11-10 09:00:00' + to_microseconds(n) AS "
        "occurred_at, 'm-' || n % 3 AS mailing_id, 'Name' AS mailing_name, 'Subject' AS subject, "
        "'s' || n AS subscriber_id, 'Contact' AS object_type, '003wb' || lpad((n // 2)::VARCHAR, 10, '0') AS "
        "salesforce_id, false AS is_machine_open FROM range(600_000) AS t(n)"
    )
    assert events is not None
    events.write_parquet(str(folder / "events.parquet"))
    with event_database("64MB", threads=1) as database, summarise(database, str(tmp_path), DAY, SHOWN) as counted:
        assert counted.totals.by_kind[Kind.SENT].people == 300_000
        assert sum(1 for _ in counted.revisions(Kind.SENT)) == 300_000
        assert next(counted.summaries(Kind.SENT)).count == 2
        (spilled,) = database.execute("SELECT sum(size) FROM duckdb_temporary_files()").fetchone() or ()
    assert spilled > 0


def test_what_was_counted_is_gone_after_the_block(tmp_path: Path) -> None:
    write(tmp_path, TWO_MAILINGS)
    with event_database() as database:
        for _ in range(2):
            with summarise(database, str(tmp_path), DAY, SHOWN) as counted:
                assert counted.totals.events_read == 4
        (tables,) = database.execute("SELECT count(*) FROM duckdb_tables()").fetchone() or ()
        assert tables == 0
