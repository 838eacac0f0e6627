"""One reported change: what is taken, what is refused, and that the refusal says what to do."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from writeback_pipeline.domain.intake import AHEAD, COLUMNS, column_problems, parse_change
from writeback_pipeline.domain.notes import REASON_LIMIT
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, utc_text

RECEIVED_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
CONTACT, LEAD = "003wb000000CcWNAA0", "00Qwb000000Cb4jEAC"
GOOD = {
    "kind": "unsubscribe",
    "object_type": "Contact",
    "salesforce_id": CONTACT,
    "occurred_at": "2026-11-23T09:05:07Z",
}


def change(**columns: str) -> Change:
    parsed = parse_change(GOOD | columns, RECEIVED_AT)
    assert isinstance(parsed, Change), parsed
    return parsed


def problem(**columns: str) -> str:
    parsed = parse_change(GOOD | columns, RECEIVED_AT)
    assert isinstance(parsed, tuple)
    assert len(parsed) == 1, parsed
    return parsed[0]


def test_a_row_with_the_required_columns_is_a_change() -> None:
    assert change() == Change(
        Kind.UNSUBSCRIBE, ObjectType.CONTACT, CONTACT, datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)
    )


def test_the_optional_columns_are_carried() -> None:
    full = change(reason="Bad Email", subscriber_id="42", email="a@b.example", delivery_key="k-1")
    assert (full.reason, full.subscriber_id, full.email, full.key) == ("Bad Email", "42", "a@b.example", "k-1")


def test_case_and_surrounding_space_of_the_words_do_not_matter() -> None:
    assert change(kind=" Resubscribe ", object_type="LEAD", salesforce_id=f" {LEAD} ").object_type is ObjectType.LEAD


def test_a_15_character_id_becomes_the_18_character_one() -> None:
    assert change(salesforce_id=CONTACT[:15]).salesforce_id == CONTACT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (CONTACT[:15] + "AAA", "last three characters do not fit"),
        (CONTACT.lower(), "is not a Salesforce id"),
        ("003", "15 letters and digits"),
        ("https://evil.example/x", "is not a Salesforce id"),
        (LEAD, "is not the id of a Contact"),
        ("001wb000000CcWNAA0", "those begin with 003"),
    ],
)
def test_an_id_that_is_not_of_that_object_is_refused(text: str, says: str) -> None:
    assert problem(salesforce_id=text).startswith("salesforce_id: ")
    assert says in problem(salesforce_id=text)


@pytest.mark.parametrize("known_as", ["subscriber_id", "email"])
def test_the_id_may_be_empty_for_somebody_who_is_known_otherwise(known_as: str) -> None:
    assert change(salesforce_id=" ", **{known_as: "x@y.example"}).salesforce_id is None


def test_the_id_may_not_be_empty_for_somebody_who_is_not_known_at_all() -> None:
    assert "subscriber_id or email" in problem(salesforce_id="", email="  ")


@pytest.mark.parametrize("spelling", ["bad_email", "Bad Email", "bad-email", "BADEMAIL", " bad.email "])
def test_a_bad_email_writeback_is_refused_and_the_way_to_do_it_named(spelling: str) -> None:
    message = problem(kind=spelling)
    assert "Bad Email is not a writeback of its own" in message
    assert 'queue an unsubscribe whose reason is "Bad Email"' in message


@pytest.mark.parametrize("kind", ["sent", "Opened"])
def test_activity_is_refused_because_it_comes_from_the_mailing_events(kind: str) -> None:
    assert "comes from the mailing events" in problem(kind=kind)


@pytest.mark.parametrize("kind", ["", "delete", "unsubscribed", "\0"])
def test_any_other_kind_is_refused(kind: str) -> None:
    assert "must be unsubscribe or resubscribe" in problem(kind=kind)


@pytest.mark.parametrize("text", ["", "Account", "Contacts", "Kontakt"])
def test_an_object_other_than_contact_and_lead_is_refused(text: str) -> None:
    assert "object_type: must be Contact or Lead" in problem(object_type=text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-23T09:05:07+00:00",
        "2026-11-23T04:05:07-05:00",
        "2026-11-23 09:05:07Z",
        "2026-11-23t09:05:07z",
        "20261123T090507Z",
        "2026-11-23T09:05:07.000000000Z",
        " 2026-11-23T14:35:07+0530 ",
    ],
)
def test_times_in_any_zone_become_the_same_utc_instant(text: str) -> None:
    assert change(occurred_at=text).occurred_at == datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC)
    assert change(occurred_at=text).delivery_key == change().delivery_key


@pytest.mark.parametrize("text", ["2026-11-23T09:05:07", "2026-11-23", "2026-11-23 09:05"])
def test_a_time_without_a_zone_is_refused_with_the_remedy(text: str) -> None:
    assert "has no time zone: add the offset" in problem(occurred_at=text)


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "23.11.2026",
        "11/23/26 09:05:07 AM",
        "1763888707",
        "2026-11-31T09:05:07Z",
        "2026-W48-1T00:00:00Z",
        "٢٠٢٦-11-23T00:00:00Z",
    ],
)
def test_what_is_not_iso_8601_is_refused_with_an_example(text: str) -> None:
    assert "is not an ISO 8601 time such as 2026-11-23T09:05:07Z" in problem(occurred_at=text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1989-12-31T23:59:59Z"])
def test_a_time_before_the_nineties_is_refused_of_a_resubscribe_alone(text: str) -> None:
    assert "correct the year" in problem(kind="resubscribe", occurred_at=text)
    assert utc_text(change(kind="unsubscribe", occurred_at=text).occurred_at) == text


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_does_not_have_is_refused(text: str) -> None:
    assert "outside the calendar" in problem(occurred_at=text)


def test_a_resubscribe_from_the_future_is_refused_with_the_value_and_the_remedy() -> None:
    text = utc_text(RECEIVED_AT + AHEAD + timedelta(seconds=1))
    assert problem(kind="resubscribe", occurred_at=text) == (
        f"occurred_at: '{text}' is more than 2 days in the future, where a resubscribe would outrank every unsubscribe "
        "until then: correct the time"
    )
    assert "in the future" in problem(kind="Resubscribe", occurred_at="9999-12-31T23:59:59Z")


def test_a_resubscribe_may_be_as_much_ahead_as_clocks_and_zones_go_wrong() -> None:
    moment = RECEIVED_AT + AHEAD
    assert change(kind="resubscribe", occurred_at=utc_text(moment)).occurred_at == moment


@pytest.mark.parametrize("text", ["2026-11-26T00:00:00Z", "2062-11-23T09:05:07Z", "9999-12-31T23:59:59Z"])
def test_an_unsubscribe_is_taken_however_far_ahead_its_clock_is(text: str) -> None:
    assert utc_text(change(kind="unsubscribe", occurred_at=text).occurred_at) == text


def test_a_missing_time_is_refused_with_an_example() -> None:
    assert problem(occurred_at="") == (
        "occurred_at: is empty: give the time of the change, such as 2026-11-23T09:05:07Z"
    )


def test_a_reason_keeps_its_lines_quotes_and_scripts() -> None:
    text = 'He said "stop",\nthen =HYPERLINK("x")\t\u202eright to left 🙅'
    assert change(reason=text).reason == text


def test_a_blank_reason_is_none() -> None:
    assert change(reason=" \n\t").reason is None


def test_what_no_store_carries_is_replaced_in_a_reason() -> None:
    assert change(reason="a\x1bb\ud800c").reason == "a\ufffdb\ufffdc"


def test_a_reason_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert len(change(reason="x" * REASON_LIMIT).reason or "") == REASON_LIMIT
    assert "shorten it to 32,768" in problem(reason="x" * (REASON_LIMIT + 1))


def test_a_reason_with_nul_is_refused() -> None:
    assert "NUL" in problem(reason="a\0b")


@pytest.mark.parametrize("column", ["subscriber_id", "email", "delivery_key"])
def test_names_are_bounded_and_free_of_control_characters(column: str) -> None:
    assert change(**{column: "x" * 255})
    assert "shorten it to 255" in problem(**{column: "x" * 256})
    for bad in ("a\nb", "a\0b", "a\x1b[31mb", "a\x85b", "a\udcffb"):
        assert "control character" in problem(**{column: bad})


def test_every_problem_of_a_row_is_told_at_once() -> None:
    parsed = parse_change(
        {"kind": "bad_email", "salesforce_id": "x", "occurred_at": "now", "reason": "\0"}, RECEIVED_AT
    )
    assert isinstance(parsed, tuple)
    assert [text.partition(":")[0] for text in parsed] == [
        "kind",
        "object_type",
        "salesforce_id",
        "occurred_at",
        "reason",
    ]


def test_missing_unknown_and_repeated_columns_are_named() -> None:
    missing, unknown, twice = column_problems(["kind", "object_type", "e-mail", "kind", "salesforce_id"])
    assert missing.startswith("column occurred_at is missing")
    assert "'e-mail'" in unknown
    assert twice.startswith("column kind is there more than once")


def test_the_documented_columns_in_any_order_are_right() -> None:
    assert column_problems(reversed(COLUMNS)) == []
    assert column_problems(["occurred_at", "salesforce_id", "object_type", "kind"]) == []


ANY_TEXT = st.text(st.characters(codec=None), max_size=60)


@given(st.dictionaries(st.sampled_from(COLUMNS), ANY_TEXT | st.sampled_from(sorted(GOOD.values()))))
def test_no_text_whatever_breaks_the_parser(row: dict[str, str]) -> None:
    parsed = parse_change(row, RECEIVED_AT)
    if isinstance(parsed, tuple):
        assert parsed
        assert all(text.partition(":")[0] in COLUMNS and text.isprintable() for text in parsed)
    else:
        parsed.delivery_key.encode()


@given(ANY_TEXT)
def test_a_reason_that_is_taken_can_be_stored_and_sent(text: str) -> None:
    parsed = parse_change(GOOD | {"reason": text}, RECEIVED_AT)
    if isinstance(parsed, Change):
        assert "\0" not in (parsed.reason or "").encode().decode()
