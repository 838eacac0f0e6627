"""A summary becomes one Task: its key never changes, its text shows every mailing, and nothing hostile gets through."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.activity import (
    CREATE_ONLY_FIELDS,
    DESCRIPTION_LIMIT,
    MailingActivity,
    Presentation,
    Summary,
    task_description,
    task_fields,
    task_key,
    task_subject,
)
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.windows import Calendar, window_named
from writeback_pipeline.domain.writebacks import Kind

NEW_YORK = ZoneInfo("America/New_York")
SHOWN = Presentation("Informz", NEW_YORK)
DAY = window_named("2026-11-23", Calendar(Occurrence.DAILY, NEW_YORK))
WEEK = window_named("2026-11-23", Calendar(Occurrence.WEEKLY, NEW_YORK))
PERSON = PersonRef(ObjectType.CONTACT, "0035g00000ABCDEAA2")
MORNING = datetime(2026, 11, 23, 14, 5, 7, tzinfo=UTC)

NEWSLETTER = MailingActivity("m-0101", "November Newsletter", "What is new", 1, 0, MORNING, MORNING)
APPEAL = MailingActivity(
    "m-0102", "Year-end Appeal", "Ein Gruß — 冬のお知らせ", 3, 1, MORNING, MORNING + timedelta(hours=12, minutes=30)
)
SENT = Summary(PERSON, Kind.SENT, DAY, (NEWSLETTER,), "1f")
OPENED = Summary(PERSON, Kind.OPENED, DAY, (NEWSLETTER, APPEAL), "2e")


def test_a_sent_summary_is_a_completed_email_task_of_the_person() -> None:
    assert task_fields(SENT, SHOWN) == {
        "WhoId": "0035g00000ABCDEAA2",
        "Subject": "Informz: 1 mailing sent on 11/23/26",
        "Status": "Completed",
        "Priority": "Normal",
        "TaskSubtype": "Email",
        "ActivityDate": "2026-11-23",
        "Description": (
            "1 mailing sent on 11/23/26, as recorded by Informz. Times are in America/New_York.\n"
            "\n"
            "November Newsletter (m-0101)\n"
            "Subject: What is new\n"
            "Sent 11/23/26 09:05:07 AM"
        ),
    }


def test_opens_show_how_often_and_how_many_of_them_by_a_machine() -> None:
    assert task_description(OPENED, SHOWN).endswith(
        "Year-end Appeal (m-0102)\n"
        "Subject: Ein Gruß — 冬のお知らせ\n"
        "Opened 3 times, 1 of them by a machine, first 11/23/26 09:05:07 AM, last 11/23/26 09:35:07 PM"
    )


def test_totals_are_those_of_the_mailings() -> None:
    assert (OPENED.count, OPENED.machine_count) == (4, 1)
    assert (OPENED.first_at, OPENED.last_at) == (MORNING, MORNING + timedelta(hours=12, minutes=30))


def test_a_subject_names_platform_mailings_and_window() -> None:
    assert task_subject(OPENED, SHOWN) == "Informz: 2 mailings opened on 11/23/26"
    weekly = replace(OPENED, window=WEEK)
    assert task_subject(weekly, SHOWN) == "Informz: 2 mailings opened in the week of 11/23/26"


def test_opens_by_machines_only_are_not_passed_off_as_a_readers() -> None:
    machine = replace(NEWSLETTER, machine_count=1)
    summary = replace(OPENED, mailings=(machine,))
    assert task_subject(summary, SHOWN) == "Informz: 1 mailing opened on 11/23/26, by machines only"
    assert task_description(summary, SHOWN).endswith("Opened by a machine 11/23/26 09:05:07 AM")


def test_the_activity_date_is_the_local_day_of_the_last_event() -> None:
    late = replace(NEWSLETTER, last_at=datetime(2026, 11, 25, 4, 59, tzinfo=UTC))
    assert task_fields(replace(SENT, window=WEEK, mailings=(late,)), SHOWN)["ActivityDate"] == "2026-11-24"


def test_the_fields_that_only_a_new_task_takes_are_among_its_fields() -> None:
    assert set(CREATE_ONLY_FIELDS) < set(task_fields(SENT, SHOWN))


def test_a_key_says_who_what_and_when_and_nothing_of_how_it_is_shown() -> None:
    assert SENT.key == "sent:daily:2026-11-23:0035g00000ABCDEAA2"
    keys = {
        task_key(kind, window, person)
        for kind in (Kind.SENT, Kind.OPENED)
        for window in (DAY, WEEK)
        for person in ("0035g00000ABCDEAA2", "00Q5g00000ABCDEAA2")
    }
    assert len(keys) == 8
    assert all(len(key) <= 255 and quote(key, safe=":") == key for key in keys)


def test_a_presentation_that_shows_something_else_has_another_digest() -> None:
    others = [replace(SHOWN, platform="Mailer"), replace(SHOWN, zone=ZoneInfo("Europe/Berlin"))]
    assert len({SHOWN.digest, *(other.digest for other in others)}) == 3
    assert SHOWN.digest == Presentation("Informz", ZoneInfo("America/New_York")).digest
    assert 0 <= SHOWN.digest < 2**64


def test_a_line_break_in_a_subject_cannot_imitate_a_line_of_the_description() -> None:
    forged = replace(NEWSLETTER, subject="Hello\nSent 01/01/26 09:00:00 AM\u2028x")
    lines = task_description(replace(SENT, mailings=(forged,)), SHOWN).splitlines()
    assert "Subject: Hello Sent 01/01/26 09:00:00 AM x" in lines
    assert len(lines) == 5


def test_markup_and_right_to_left_text_arrive_as_they_are() -> None:
    subject = "<b>Sale</b> & \u202eمرحبا\u202c 👩\u200d🚀"
    assert subject in task_description(replace(SENT, mailings=(replace(NEWSLETTER, subject=subject),)), SHOWN)


def test_what_no_api_carries_is_replaced() -> None:
    text = task_description(replace(SENT, mailings=(replace(NEWSLETTER, name="a\x00b\ud800c"),)), SHOWN)
    assert "a\ufffdb\ufffdc" in text
    text.encode()


def test_a_mailing_without_a_name_is_shown_by_its_id_and_without_a_subject_has_no_such_line() -> None:
    text = task_description(replace(SENT, mailings=(replace(NEWSLETTER, name=" ", subject=""),)), SHOWN)
    assert text.splitlines()[2:] == ["m-0101", "Sent 11/23/26 09:05:07 AM"]


@pytest.mark.parametrize("letter", ["x", "ü", "冬", "🚀"])
def test_a_long_description_is_cut_and_says_how_many_mailings_were_left_out(letter: str) -> None:
    mailings = tuple(replace(NEWSLETTER, mailing_id=f"m-{n}", subject=letter * 200) for n in range(1_000))
    text = task_description(replace(SENT, mailings=mailings), SHOWN)
    assert DESCRIPTION_LIMIT - 700 < len(text.encode()) <= DESCRIPTION_LIMIT
    shown = text.count("Newsletter")
    assert text.endswith(f"… and {1_000 - shown} mailings more, left out here")


def test_a_description_that_just_fits_is_whole() -> None:
    mailings = tuple(replace(NEWSLETTER, mailing_id=f"m-{n:04}") for n in range(350))
    text = task_description(replace(SENT, mailings=mailings), SHOWN)
    assert len(text.encode()) < DESCRIPTION_LIMIT
    assert text.count("Newsletter") == 350


MAILINGS = st.builds(
    MailingActivity,
    mailing_id=st.text(max_size=2_000),
    name=st.text(max_size=2_000),
    subject=st.text(max_size=2_000),
    count=st.integers(1, 10**9),
    machine_count=st.just(0),
    first_at=st.just(MORNING),
    last_at=st.just(MORNING),
)


@given(st.lists(MAILINGS, min_size=1, max_size=40))
def test_no_text_breaks_the_limits(mailings: list[MailingActivity]) -> None:
    fields = task_fields(replace(SENT, mailings=tuple(mailings)), SHOWN)
    assert len(fields["Description"].encode()) <= DESCRIPTION_LIMIT
    assert len(fields["Subject"]) <= 255
