"""Odd texts, ids and times: whatever the platform or a person sends arrives intact or visibly cut, and does no harm.

The pure rules see very many of them, the whole way from a file to the Writeback List and back a few hundred.
"""

import csv
import io
import json
import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from writeback_pipeline.cli import main
from writeback_pipeline.csv_cells import formula_safe, write_rows
from writeback_pipeline.domain.intake import COLUMNS, instant, parse_change
from writeback_pipeline.domain.notes import BODY_LIMIT, clean_text, note_body
from writeback_pipeline.domain.people import InvalidSalesforceId, ObjectType, PersonRef, normalise_id
from writeback_pipeline.domain.records import Answer, Operation, RowWrite
from writeback_pipeline.domain.writebacks import Change, Status, utc_text
from writeback_pipeline.intake.changes import read_changes
from writeback_pipeline.intake.rows import UnreadableFile
from writeback_pipeline.salesforce.bulk_csv import file_of
from writeback_pipeline_tests.torture import size, tell
from writeback_pipeline_tests.world import START, World

SENTENCE = "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM"

SEEDS = [
    "O'Brien \\' \\\\ \"quoted\"",
    "' OR Id != null OR Name = '",
    "x' LIMIT 0 -- ; DELETE FROM writebacks",
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1+1",
    '=HYPERLINK("https://evil.example","click")',
    "#N/A",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;&#39;",
    "</textarea><svg/onload=alert(1)>",
    "\u202eevil\u202c \u200f\u2066rtl\u2069",
    "شكرا لإلغاء الاشتراك",
    "👩‍👩‍👧‍👦 e\u0301 ﷽ 冬",
    "first\nsecond\r\nthird\rfourth\u2028fifth\x85sixth",
    "\x1b[2J\x07 bell",
    "\ud800 half \udfff a pair",
    "@{part0.id} and {curly} %s %(name)s ${HOME}",
    "null",
    "NaN",
    "a" * 32_001,
    "é" * 16_500,
    "𝕏" * 8_200,
    "🙂" * 32_001,
]

IDS = [
    "https://evil.example/x",
    "//evil.example/x",
    "../User/005000000000001",
    "..%2fUser%2f005000000000001",
    "003000000000001AAA/../../User",
    "003000000000001' OR '1'='1",
    "003000000000001AA\n",
    "003000000000001\u0000AA",
    "００３000000000001",
    "003000000000001AAB",
    "003000000000001aaa",
    "005000000000001AAA",
    "evil.example:443",
    "@evil.example",
    "003000000000001,003000000000002",
    "003000000000001&allOrNone=true",
]

OBEYED_BY_TERMINALS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")

ANY = st.text(st.characters(codec=None), max_size=80)
SHORT = st.one_of(
    st.sampled_from([seed for seed in SEEDS if len(seed) < 1_000]),
    ANY,
    st.lists(st.sampled_from(SEEDS[:22]) | ANY, max_size=4).map("".join),
)
LONG = st.sampled_from(SEEDS) | st.builds(lambda text, times: text * times, ANY, st.integers(1, 700))
TEXTS = st.integers(0, 19).flatmap(lambda number: SHORT if number else LONG)
"""One in twenty is long: those take most of the time."""

ODD = st.sampled_from(IDS) | TEXTS
many = settings(suppress_health_check=list(HealthCheck), database=None)


def good(**columns: str) -> dict[str, str]:
    return {
        "kind": "unsubscribe",
        "object_type": "Contact",
        "salesforce_id": "003000000000001AAA",
        "occurred_at": "2026-11-23T09:05:07Z",
    } | columns


def assert_valid_body(body: str, reason: str | None) -> None:
    """In the limit, whole characters, the sentence first, and then the reason intact or cut with a mark."""
    assert len(body.encode()) <= BODY_LIMIT
    assert not set(body) & {"\0", "\x1b"}
    assert body == SENTENCE or body.startswith(f"{SENTENCE}\nReason: ")
    if reason:
        whole = f"{SENTENCE}\nReason: {reason}"
        cut = body.removesuffix("… [cut]")
        assert body == whole or (whole.startswith(cut) and len(whole.encode()) > BODY_LIMIT and cut != body)


@settings(many, max_examples=size(800, 40_000))
@given(TEXTS)
def test_any_reason_becomes_a_valid_body_or_is_refused_in_words(text: str) -> None:
    parsed = parse_change(good(reason=text), START)
    if isinstance(parsed, Change):
        assert_valid_body(note_body(SENTENCE, parsed.reason), parsed.reason)
        assert parsed.reason is None or parsed.reason == clean_text(text)
    else:
        (problem,) = parsed
        assert problem.startswith("reason: ")
        assert "\0" in text or len(text) > 32_768


@settings(many, max_examples=size(600, 20_000))
@given(st.dictionaries(st.sampled_from(COLUMNS), ODD))
def test_whatever_stands_in_a_row_it_is_a_sound_change_or_told_in_printable_words(row: dict[str, str]) -> None:
    parsed = parse_change(good() | row, START)
    if isinstance(parsed, Change):
        assert parsed.salesforce_id is None or normalise_id(parsed.salesforce_id) == parsed.salesforce_id
        assert parsed.occurred_at.tzinfo is UTC
        json.dumps([parsed.subscriber_id, parsed.email, parsed.delivery_key]).encode()
        for text in (parsed.reason, parsed.subscriber_id, parsed.email, parsed.delivery_key):
            (text or "").encode()
    else:
        assert all(problem.isprintable() for problem in parsed)


@settings(many, max_examples=size(500, 20_000))
@given(ODD)
def test_only_18_letters_and_digits_ever_count_as_an_id(text: str) -> None:
    try:
        full = normalise_id(text)
    except InvalidSalesforceId as error:
        assert str(error).isprintable()
    else:
        assert len(full) == 18
        assert full.isascii()
        assert full.isalnum()


@settings(many, max_examples=size(300, 10_000))
@given(ODD | st.datetimes().map(datetime.isoformat) | st.datetimes(timezones=st.timezones()).map(datetime.isoformat))
def test_a_time_is_an_instant_in_utc_or_told_in_printable_words(text: str) -> None:
    try:
        moment = instant(text)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert moment.utcoffset() == timedelta(0)
        assert instant(utc_text(moment)) == moment


@settings(many, max_examples=size(300, 10_000))
@given(st.lists(TEXTS.map(lambda text: clean_text(text)[:40_000]), min_size=1, max_size=5))
def test_no_cell_of_a_csv_file_is_a_formula_and_none_is_altered(texts: list[str]) -> None:
    written = io.StringIO(newline="")
    write_rows(written, [texts])
    (row,) = csv.reader(io.StringIO(written.getvalue(), newline=""))
    assert [cell.removeprefix("'") if cell != text else cell for cell, text in zip(row, texts, strict=True)] == texts
    assert not any(cell.startswith(FORMULA_STARTS) for cell in row)


@settings(many, max_examples=size(200, 3_000))
@given(TEXTS)
def test_a_bulk_file_has_the_rows_it_was_given_whatever_they_say(text: str) -> None:
    body = note_body(SENTENCE, clean_text(text))
    fields = {"ParentId": "003000000000001AAA", "Title": SENTENCE, "Body": body}
    rows = list(
        csv.reader(io.StringIO(file_of([RowWrite(Operation.CREATE_NOTE, "Note", fields)]).decode(), newline=""))
    )
    assert [len(row) for row in rows] == [3, 3]
    assert rows[1][2] == body.replace("\r\n", "\n").replace("\r", "\n")


@pytest.fixture
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Every host name that is looked up on the way to a connection."""
    asked: Counter[str] = Counter()
    resolve = socket.getaddrinfo

    def counted(host: Any, *arguments: Any, **how: Any) -> Any:
        asked[str(host)] += 1
        return resolve(host, *arguments, **how)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    yield asked
    assert set(asked) <= {"127.0.0.1"}


def odd_reasons(count: int) -> list[str]:
    """The seeds and mixtures of them; NUL aside, which intake refuses."""
    chance = random.Random(7)
    mixed = ["".join(chance.sample(SEEDS[:22], 3)) for _ in range(count - len(SEEDS))]
    return [*SEEDS, *mixed][:count]


def listed(world: World, form: str) -> str:
    result = CliRunner().invoke(main, ["list", "--format", form], env=world.variables)
    assert result.exit_code == 0
    return result.stdout_bytes.decode()


def test_odd_texts_arrive_intact_from_the_file_to_salesforce_and_the_list(
    world: World, tmp_path: Path, only_this_machine: Counter[str]
) -> None:
    reasons = [reason for reason in odd_reasons(size(150, 2_000)) if len(reason) <= 32_768]
    people = [world.contact() for _ in reasons]
    path = tmp_path / "odd.jsonl"
    lines = [
        good(salesforce_id=person, reason=reason, subscriber_id=clean_names(reason), delivery_key=f"={number}")
        for number, (person, reason) in enumerate(zip(people, reasons, strict=True))
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    changes, bad = read_changes(path, START)
    assert bad == []
    world.ledger.enqueue(changes, world.clock())
    world.deliver()
    rows = {row.salesforce_id: row for row in world.rows()}
    assert Counter(row.status for row in rows.values()) == {Status.WRITTEN: len(people)}
    as_json = {row["salesforce_id"]: row for row in json.loads(listed(world, "json"))}
    as_csv = {row["salesforce_id"]: row for row in csv.DictReader(io.StringIO(listed(world, "csv"), newline=""))}
    for person, reason in zip(people, reasons, strict=True):
        (note,) = world.notes(person)
        kept = rows[person].reason
        assert (note["Title"], note["Body"]) == (SENTENCE, note_body(SENTENCE, clean_text(reason)))
        assert_valid_body(note["Body"], kept)
        assert as_json[person]["reason"] == kept
        assert as_csv[person]["reason"] == formula_safe(kept or "")
        assert not any((cell or "").startswith(FORMULA_STARTS) for cell in as_csv[person].values())
    assert not OBEYED_BY_TERMINALS.search(listed(world, "table"))
    tell(f"odd reasons from file to Salesforce and list: {len(people)}, altered 0, unescaped cells 0, other hosts 0")


def clean_names(text: str) -> str:
    """The text as far as a name may be it."""
    return "".join(character for character in text if character.isprintable())[:255].strip()


def test_odd_platform_names_and_looks_never_alter_a_query(world: World, only_this_machine: Counter[str]) -> None:
    person = world.contact()
    titles = [text[:80] for text in map(clean_text, SEEDS)]
    for title in titles:
        assert world.organisation.find_notes([(person, title)]) == {(person, title): []}
    world.ledger.change_settings({"platform_name": "O'Brien\\' OR ''='"}, "tester", START)
    world.unsubscribe(person)
    world.deliver()
    (note,) = world.notes(person)
    assert note["Title"].startswith("Contact unsubscribed from O'Brien\\' OR ''=' on ")
    key = (person, note["Title"])
    assert [found.note_id for found in world.organisation.find_notes([key])[key]] == [note["Id"]]


@pytest.mark.parametrize("odd", IDS)
def test_an_odd_id_reaches_neither_another_host_nor_another_object(
    world: World, odd: str, only_this_machine: Counter[str]
) -> None:
    before = world.select("SELECT * FROM User ORDER BY Id")
    organisation = world.organisation
    with pytest.raises(InvalidSalesforceId):
        organisation.look([PersonRef(ObjectType.CONTACT, odd)])
    if odd != "005000000000001AAA":
        with pytest.raises(InvalidSalesforceId):
            organisation.find_notes([(odd, "title")])
        with pytest.raises(InvalidSalesforceId):
            organisation.write([RowWrite(Operation.DELETE_NOTE, "Note", {}, record_id=odd)])
    flag = RowWrite(Operation.SET_FLAG, "Contact", {"HasOptedOutOfEmail": True}, record_id=odd)
    (result,) = organisation.write([flag])
    assert result.answer is not Answer.OK
    assert world.select("SELECT * FROM User ORDER BY Id") == before


WORDS = [
    "enqueue", "unsubscribe", "resubscribe", "list", "retry", "settings", "show", "set", "history", "undo", "why",
    "org", "faults", "kinds", "arm", "clear", "--contact", "--lead", "--reason", "--at", "--key", "--email", "--file",
    "--skip-bad", "--status", "--kind", "--person", "--since", "--until", "--limit", "--format", "--dry-run", "--times",
    "--help", "--", "failed", "json", "csv", "1", "0", "-1", "2026-11-23", "platform_name=", "",
]  # fmt: skip


def test_no_words_whatever_break_the_command_line(tmp_path: Path) -> None:
    chance = random.Random(11)
    codes: Counter[int] = Counter()
    odd = [word[:3_000] for word in [*SEEDS, *IDS] if "\0" not in word]
    for _ in range(size(250, 4_000)):
        words = [chance.choice(WORDS if chance.random() < 0.7 else odd) for _ in range(chance.randint(1, 6))]
        result = CliRunner().invoke(main, words, env={"WRITEBACK_HOME": str(tmp_path), "SALESFORCE_URL": None})
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exception)
        assert result.exit_code in (0, 1, 2), words
        codes[result.exit_code] += 1
    tell(f"odd command lines: {codes.total()}, crashes 0, exit codes {dict(sorted(codes.items()))}")


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_no_damage_to_a_file_breaks_its_reader(tmp_path: Path, ending: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    chance = random.Random(13)
    path = tmp_path / f"changes{ending}"
    rows = [good(reason=clean_text(reason)[:500]) for reason in SEEDS]
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    whole = path.read_bytes()
    told: Counter[str] = Counter()
    for _ in range(size(150, 3_000)):
        spoilt = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        if chance.random() < 0.3:
            del spoilt[chance.randrange(len(spoilt)) :]
        path.write_bytes(spoilt)
        try:
            changes, bad = read_changes(path, START)
        except UnreadableFile as error:
            assert str(path) in str(error)
            told["refused as a whole"] += 1
        else:
            told["read, bad lines named" if bad else "read"] += 1
            assert all(isinstance(change, Change) for change in changes)
    tell(f"damaged {ending} files: {told.total()}, crashes 0, {dict(sorted(told.items()))}")
