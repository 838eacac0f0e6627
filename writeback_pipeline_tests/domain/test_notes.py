"""The note's sentence is a contract, character by character."""

import html
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.notes import (
    BODY_LIMIT,
    clean_text,
    content_note,
    cut,
    note_body,
    note_timestamp,
    note_title,
)
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Kind

UTC_ZONE = ZoneInfo("UTC")
INSTANTS = st.datetimes(datetime(1990, 1, 1), datetime(2068, 12, 31), timezones=st.just(UTC))


def test_the_two_sentences_read_exactly_so() -> None:
    at = datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)
    assert (
        note_title(Kind.UNSUBSCRIBE, ObjectType.CONTACT, at, UTC_ZONE, "Informz")
        == "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"
    )
    assert (
        note_title(Kind.RESUBSCRIBE, ObjectType.LEAD, at, UTC_ZONE, "Informz")
        == "Lead resubscribed to Informz on 11/23/26 09:05:07 AM"
    )


@pytest.mark.parametrize(
    ("hour", "text"),
    [
        (0, "12:00:00 AM"),
        (1, "01:00:00 AM"),
        (11, "11:00:00 AM"),
        (12, "12:00:00 PM"),
        (13, "01:00:00 PM"),
        (23, "11:00:00 PM"),
    ],
)
def test_hours_are_of_twelve_and_midnight_is_twelve_am(hour: int, text: str) -> None:
    assert note_timestamp(datetime(2026, 1, 2, hour, tzinfo=UTC), UTC_ZONE) == f"01/02/26 {text}"


def test_the_time_is_that_of_the_bridges_zone() -> None:
    at = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    new_york = ZoneInfo("America/New_York")
    assert note_timestamp(at, new_york) == "11/01/26 01:30:00 AM"
    assert note_timestamp(at + timedelta(hours=1), new_york) == "11/01/26 01:30:00 AM"  # the hour that comes twice
    assert note_timestamp(at, ZoneInfo("Asia/Kathmandu")) == "11/01/26 11:15:00 AM"


@given(INSTANTS, st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia"]))
def test_the_timestamp_agrees_with_the_clock_on_the_wall(at: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    text = note_timestamp(at, zone)
    assert datetime.strptime(text, "%m/%d/%y %I:%M:%S %p") == at.astimezone(zone).replace(tzinfo=None, microsecond=0)


@given(st.sampled_from([Kind.UNSUBSCRIBE, Kind.RESUBSCRIBE]), st.sampled_from(ObjectType), INSTANTS)
def test_a_title_fits_the_field_even_with_the_longest_platform_name(kind: Kind, what: ObjectType, at: datetime) -> None:
    assert len(note_title(kind, what, at, UTC_ZONE, "x" * 20)) <= 80


def test_the_reason_stands_below_the_sentence_and_never_changes_it() -> None:
    assert note_body("The sentence", "Bad Email") == "The sentence\nReason: Bad Email"
    assert note_body("The sentence", None) == note_body("The sentence", " \n ") == "The sentence"


@given(st.text(alphabet=st.characters(), max_size=200), st.integers(0, 400))
def test_any_reason_makes_a_body_that_every_store_and_the_api_carry(reason: str, repeat: int) -> None:
    body = note_body("The sentence", reason * repeat)
    assert body.startswith("The sentence")
    assert len(body.encode()) <= BODY_LIMIT
    assert "\0" not in body


def test_a_text_that_was_cut_says_so_and_is_cut_between_characters() -> None:
    body = note_body("s", "é" * 20_000)
    assert body.endswith("… [cut]")
    assert 0 <= BODY_LIMIT - len(body.encode()) < 2
    assert cut("short", 100) == "short"


def test_control_characters_and_lone_surrogates_are_replaced_and_line_breaks_kept() -> None:
    assert clean_text("a\x00b\x1bc\ud800d\r\n\te\x7f") == "a\ufffdb\ufffdc\ufffdd\r\n\te\ufffd"


def markup(body: str) -> str:
    return b64decode(content_note(body)).decode()


def test_a_content_note_is_html_with_one_line_below_the_other() -> None:
    assert markup("The sentence\nReason: Bad Email") == "<p>The sentence<br>Reason: Bad Email</p>"
    assert markup("a\r\nb\n\nc\u2028d") == "<p>a<br>b<br><br>c<br>d</p>"


def test_what_html_would_take_for_its_own_is_escaped_in_the_five_ways_that_salesforce_knows() -> None:
    assert markup('<b>&amp; "it\'s"') == "<p>&lt;b&gt;&amp;amp; &quot;it&#39;s&quot;</p>"


def test_a_content_note_carries_no_character_that_salesforce_refuses() -> None:
    assert markup("a\tb\x80c\x9fd") == "<p>a b\ufffdc\ufffdd</p>"
    assert markup("Zoë 你好 👩\u200d🚀") == "<p>Zoë 你好 👩\u200d🚀</p>"


@given(st.text(alphabet="<>&\"'; abpr/#39lt\n", max_size=60))
def test_a_reader_sees_the_very_text_again(reason: str) -> None:
    body = note_body("The sentence", reason)
    shown = markup(body).removeprefix("<p>").removesuffix("</p>").split("<br>")
    assert not any("<" in line or ">" in line for line in shown)
    assert [html.unescape(line) for line in shown] == body.splitlines()
