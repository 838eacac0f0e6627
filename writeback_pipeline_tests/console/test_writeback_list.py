"""The Writeback List over HTTP: what it shows of a ledger, what its address means, what a retry does and refuses."""

import csv
import io
import json
import os
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests

from writeback_pipeline.console import list_files
from writeback_pipeline.console.list_query import read_query
from writeback_pipeline.console.pages import retry as retry_page
from writeback_pipeline.console.ports import Links
from writeback_pipeline.domain.ledger import AttemptOutcome, Settlement, WritebackFilter
from writeback_pipeline.domain.listing import version_of
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.settings import Occurrence
from writeback_pipeline.domain.undoing import UNDONE
from writeback_pipeline.domain.window_ledger import OwedSummary, scope_of
from writeback_pipeline.domain.windows import Calendar, window_named
from writeback_pipeline.domain.writebacks import MISDATED, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.commands.support import COMMAND
from writeback_pipeline_tests.console.listed import fail, queue, rows
from writeback_pipeline_tests.console.serving import LOCAL_USER, START, VIEWER, Client, Served
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    claim_one,
    contact,
    intent,
    journalled,
    lead,
    resubscribe,
    settled,
    unsubscribe,
    written,
)
from writeback_pipeline_tests.words import words

WEEK = window_named("2026-11-16", Calendar(Occurrence.WEEKLY, ZoneInfo("UTC")))
HOSTILE = '"><script>alert(1)</script>{{7*7}}\u202eevil\u2066'


def shown(page: str) -> list[int]:
    """Ids of the rows on the page, in order."""
    return [int(id_) for id_ in re.findall(r'id="open-(\d+)"', page)]


def versions(store: Store) -> dict[str, list[str]]:
    return {"version": [f"{row.id}:{version_of(row)}" for row in rows(store)]}


def test_an_empty_ledger_says_how_changes_come_in(client: Client) -> None:
    assert "Nothing has been queued yet." in words(client.get("/writebacks"))


def test_a_time_that_cannot_be_true_is_marked_and_explained(served: Served, client: Client) -> None:
    served.store.change_settings({"time_zone": "Asia/Tokyo"}, "tester", START)
    last, first = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    served.store.enqueue([unsubscribe(contact(n), at) for n, at in enumerate((first, START, last), 1)], START)
    ahead, _, before = shown(client.get("/writebacks").text)
    assert words(client.get("/writebacks")).count("cannot be true") == 2
    for misdated in (ahead, before):
        assert MISDATED in words(client.get(f"/writebacks/{misdated}"))


def test_the_newest_come_first_and_pages_lead_on_and_back(served: Served, client: Client) -> None:
    queue(served.store, [contact(n) for n in range(120)])
    whole = [row.id for row in rows(served.store)]
    first = client.get("/writebacks").text
    assert shown(first) == whole[:50]
    assert "50 of 120" in first
    assert 'id="newer"' not in first
    second = client.get(address(first, "older")).text
    assert shown(second) == whole[50:100]
    third = client.get(address(second, "older")).text
    assert (shown(third), 'id="older"' in third) == (whole[100:], False)
    assert shown(client.get(address(third, "newer")).text) == whole[50:100]
    assert shown(client.get(address(second, "newer")).text) == whole[:50]


def address(page: str, id_: str) -> str:
    found = re.search(f'id="{id_}"[^>]* href="([^"]+)"', page)
    assert found
    return found[1].replace("&amp;", "&")


def test_the_address_holds_the_filter_and_each_part_can_be_left_out(served: Served, client: Client) -> None:
    queue(served.store, [contact(1), lead(2)], reason="Too many & <more>")
    fail(served.store)
    asked = "/writebacks?kind=unsubscribe&object=Lead&status=failed&error_code=NOT_FOUND&text=MANY+%26&from=2026-11-23"
    page = client.get(asked).text
    assert shown(page) == [rows(served.store)[1].id]
    chips = re.findall(r'class="chip" href="([^"]+)"', page)
    assert len(chips) == 6
    assert all(len(shown(client.get(chip.replace("&amp;", "&")).text)) >= 1 for chip in chips)
    assert 'name="text" type="search" value="MANY &amp;"' in page
    assert "No writeback matches this filter. Without the status there would be 1." in words(
        client.get(asked.replace("status=failed", "status=written"))
    )


def test_nothing_failed_is_told_apart_from_nothing_found(served: Served, client: Client) -> None:
    queue(served.store, [contact(1)])
    assert "Nothing failed." in words(client.get("/writebacks?status=failed"))
    assert "No writeback matches this filter." in words(client.get("/writebacks?status=failed&text=nobody"))
    written(served.store, claim_one(served.store, START))
    assert "Nothing failed, and nothing waits." in words(client.get("/writebacks"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("status=broken", "There is no status “broken”."),
        ("kind=bad_email", "There is no kind “bad_email”."),
        ("object=Account", "There is no object “Account”."),
        ("from=yesterday", "“yesterday” is no day: write it as 2026-11-23."),
        ("to=0000-01-01", "is no day"),
        ("text=" + "x" * 201, "is too long to look for."),
    ],
)
def test_a_filter_that_means_nothing_shows_no_other_list(served: Served, client: Client, query: str, says: str) -> None:
    queue(served.store, [contact(1)])
    answer = client.get(f"/writebacks?{query}")
    assert answer.status_code == 400
    assert says in words(answer)
    assert shown(answer.text) == []
    assert client.get(f"/writebacks/export.csv?{query}").status_code == 400
    assert client.get(f"/writebacks/retry?{query}").status_code == 400


def test_days_are_those_of_the_bridge_even_where_a_clock_changes() -> None:
    zone = ZoneInfo("America/New_York")
    only = read_query([("from", "2026-11-01"), ("to", "2026-11-01")], zone).only
    assert (only.since, only.until) == (
        datetime.fromisoformat("2026-11-01T04:00Z"),
        datetime.fromisoformat("2026-11-02T05:00Z"),
    )


@pytest.mark.parametrize(
    "place", ["x", "2026-11-23T12:00:00Z", "2026-99-23T12:00:00Z_1", "9999-12-31T23:59:59Z_1", "_1"]
)
def test_a_place_that_somebody_made_up_is_the_first_page_or_beside_it(
    served: Served, client: Client, place: str
) -> None:
    queue(served.store, [contact(1)])
    assert len(shown(client.get("/writebacks").text)) == 1
    assert client.get(f"/writebacks?older={place}").status_code == 200


def test_errors_are_grouped_with_their_advice_and_lead_to_their_rows(served: Served, client: Client) -> None:
    queue(served.store, [contact(n) for n in range(3)])
    fail(served.store, "LOCKED", "Unlock it.")
    queue(served.store, [lead(9)])
    fail(served.store, "GONE", "Undelete it.")
    answer = client.get("/writebacks")
    text = words(answer)
    assert "What needs a person" in text
    assert text.index("LOCKED Unlock it. 3 writebacks (unsubscribe)") < text.index("GONE Undelete it. 1 writeback")
    assert len(shown(client.get(address(answer.text, "show-0")).text)) == 3
    ask = client.get(address(answer.text, "all-0"))
    assert "Retry 3 writebacks?" in words(ask)
    assert "LOCKED 3 Unlock it." in words(ask)
    assert {row.status for row in rows(served.store)} == {Status.FAILED}, "asking changes nothing"


def test_what_was_taken_back_on_purpose_needs_nobody_and_is_retried_on_its_own_page(
    served: Served, client: Client
) -> None:
    queue(served.store, [contact(n) for n in range(2)])
    fail(served.store, UNDONE, "Undone by olga.")
    answer = client.get("/writebacks")
    text = words(answer)
    assert "What needs a person" not in text
    assert "What was taken back on purpose Nobody has to do anything. UNDONE It is not sent again by itself." in text
    assert text.count("failed taken back on purpose") == 2
    assert not re.search(r'id="(all|retry|row)-', answer.text)
    assert shown(client.get(address(answer.text, "show-0")).text) == [row.id for row in rows(served.store)]
    queue(served.store, [contact(5)])
    fail(served.store, "GONE", "Undelete it.")
    text = words(client.get("/writebacks"))
    assert text.index("What needs a person GONE") < text.index("What was taken back on purpose: nobody has to do")
    ask = words(client.get("/writebacks/retry?status=failed"))
    assert ("GONE 1" in ask, UNDONE in ask) == (True, False)
    undone = rows(served.store)[-1]
    page = words(client.get(f"/writebacks/{undone.id}"))
    assert (
        "Taken back on purpose Nobody has to do anything. A retry sends it to Salesforce once more. Undone by" in page
    )
    assert "What to do" not in page
    post(client, {"version": f"{undone.id}:{version_of(undone)}"})
    assert [row.status for row in rows(served.store) if row.id == undone.id] == [Status.PENDING]


def post(client: Client, fields: Mapping[str, object]) -> requests.Response:
    """Send the form of the list, with the token that all forms of this session have."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/writebacks").text)
    assert found
    return client.post("/writebacks/retry", {"csrf": found[1], **fields})


def confirm(client: Client, page: str) -> str:
    """Say yes on the page that asks; what the next page says."""
    fields = dict(re.findall(r'name="(version|back|confirmed)" value="([^"]*)"', page))
    answer = post(client, {name: value.replace("&amp;", "&") for name, value in fields.items()})
    return words(client.get(answer.headers["Location"]) if answer.is_redirect else answer)


def test_a_group_is_retried_as_it_was_seen(served: Served, client: Client) -> None:
    queue(served.store, [contact(n) for n in range(4)])
    fail(served.store, "LOCKED")
    page = client.get("/writebacks/retry?status=failed&error_code=LOCKED").text
    queue(served.store, [contact(10)])
    fail(served.store, "LOCKED")
    *_, touched, newer = sorted(row.id for row in rows(served.store))
    served.store.retry(ids=[touched])
    fail(served.store, "GONE")
    text = confirm(client, page)
    assert "3 back to pending" in text
    assert f"1 was left as it is: {touched} : somebody or something dealt with it after it was shown" in text
    statuses = {row.id: row.status for row in rows(served.store)}
    assert [id_ for id_, status in statuses.items() if status is Status.FAILED] == [newer, touched]
    assert "Nothing was retried" in confirm(client, page), "a second click does nothing"


def test_who_retried_is_kept_and_shown(served: Served, client: Client) -> None:
    queue(served.store, [contact(1)])
    fail(served.store)
    (row,) = rows(served.store)
    answer = post(client, {**versions(served.store), "back": f"/writebacks/{row.id}"})
    assert answer.headers["Location"] == f"/writebacks/{row.id}"
    text = words(client.get(answer.headers["Location"]))
    assert "The writeback was put back to pending." in text
    assert f"Retry by {LOCAL_USER}" in text


def test_several_chosen_rows_are_asked_about_first(served: Served, client: Client) -> None:
    queue(served.store, [contact(n) for n in range(3)])
    fail(served.store)
    answer = post(client, {"version": versions(served.store)["version"][:2]})
    assert "Retry 2 writebacks?" in words(answer)
    assert {row.status for row in rows(served.store)} == {Status.FAILED}
    assert "2 writebacks were put back to pending" in confirm(client, answer.text)
    assert [row.status for row in rows(served.store)] == [Status.PENDING, Status.PENDING, Status.FAILED]


@pytest.mark.parametrize("fields", [{}, {"version": "nonsense"}, {"version": "77:abc"}, {"version": ""}])
def test_a_retry_of_nothing_changes_nothing(served: Served, client: Client, fields: dict[str, object]) -> None:
    queue(served.store, [contact(1)])
    fail(served.store)
    answer = post(client, fields)
    assert "nothing was changed" in words(client.get(answer.headers["Location"]))
    assert [row.status for row in rows(served.store)] == [Status.FAILED]


def test_what_is_written_is_not_retried_and_says_why(served: Served, client: Client) -> None:
    queue(served.store, [contact(1), contact(2)])
    written(served.store, claim_one(served.store, START))
    fail(served.store)
    row = next(row for row in rows(served.store) if row.status is Status.WRITTEN)
    assert 'id="retry"' not in client.get(f"/writebacks/{row.id}").text
    assert "sending it again would write it twice" in words(client.get(f"/writebacks/{row.id}"))
    before = rows(served.store)
    answer = post(client, {"version": f"{row.id}:{version_of(row)}"})
    assert answer.status_code == 409
    assert "Salesforce has confirmed it; sending it again would write it twice" in words(answer)
    assert rows(served.store) == before
    assert client.get("/writebacks/retry?status=written").status_code == 400


def test_a_viewer_sees_everything_and_can_retry_nothing(guarded: Served) -> None:
    queue(guarded.store, [contact(1)])
    fail(guarded.store)
    viewer = Client(guarded.address)
    viewer.sign_in(VIEWER)
    for path in ("/writebacks", f"/writebacks/{rows(guarded.store)[0].id}"):
        page = viewer.get(path).text
        assert "NOT_FOUND" in page
        assert "<button>Retry" not in page
        assert "/writebacks/retry" not in page
    assert post(viewer, versions(guarded.store)).status_code == 403
    assert [row.status for row in rows(guarded.store)] == [Status.FAILED]


def test_more_than_can_go_at_once_is_told(served: Served, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_page, "MOST", 3)
    queue(served.store, [contact(n) for n in range(5)])
    fail(served.store)
    page = client.get("/writebacks/retry?status=failed")
    assert "These are the newest 3 of 5; the others stay as they are." in words(page)
    assert "3 writebacks were put back to pending" in confirm(client, page.text)


def test_a_row_opens_to_its_attempts_with_before_and_after(served: Served, client: Client) -> None:
    queue(served.store, [contact(1)], email="zoe@x.example", reason="line one\nline two")
    claim = claim_one(served.store, START)
    flag, note = journalled(
        served.store, [intent(claim, Operation.SET_FLAG, run_id="run-1"), intent(claim, Operation.CREATE_NOTE)]
    )
    answers = [
        AttemptOutcome(flag, Answer.OK, START),
        AttemptOutcome(note, Answer.REJECTED, START, "STRING_TOO_LONG", "too long"),
    ]
    served.store.record(answers, [settled(claim, Status.FAILED)], [], START, release=True)
    (row,) = rows(served.store)
    text = words(client.get(f"/writebacks/{row.id}"))
    assert f"Set flag {contact(1).salesforce_id} not ticked ticked ok" in text
    assert f"Create note {contact(1).salesforce_id} none as before rejected: STRING_TOO_LONG too long" in text
    assert "line one\nline two" in client.get(f"/writebacks/{row.id}").text
    assert client.get(f"/writebacks/{row.id + 1}").status_code == 404
    assert client.get("/writebacks/x").status_code == 404


def test_activity_leads_to_the_delivery_of_its_window(served: Served, client: Client) -> None:
    person, scope = contact(1), scope_of(Kind.OPENED, WEEK)
    found = served.store.lease_window(scope, "worker", START)
    assert found is not None
    owed = OwedSummary(f"{scope}:{person.salesforce_id}", Kind.OPENED, person, None, WEEK.start)
    served.store.owe_summaries(found[0], WEEK, [owed], START, "run-1")
    page = client.get(f"/writebacks/{rows(served.store)[0].id}")
    assert "the week of 2026-11-16; nothing does that by itself, as mailing activity is sent by hand." in words(page)
    link = address(page.text, "send")
    assert link == "/settings/send?occurrence=weekly&from=2026-11-16&to=2026-11-16&kind=opened"
    served.store.change_settings({"frequency": "daily"}, "tester", START)
    assert "at the next daily delivery" in words(client.get(f"/writebacks/{rows(served.store)[0].id}"))


def test_activity_that_waits_takes_somebody_where_no_schedule_comes_back(served: Served, client: Client) -> None:
    person, scope = contact(1), scope_of(Kind.OPENED, WEEK)
    found = served.store.lease_window(scope, "worker", START)
    assert found is not None
    lease = found[0]
    owed = OwedSummary(f"{scope}:{person.salesforce_id}", Kind.OPENED, person, None, WEEK.start)
    ids = served.store.owe_summaries(lease, WEEK, [owed], START, "run-1")
    waiting = Settlement(ids[owed.key], lease.scope, lease.epoch, Status.WAITING, error_code="BUSY")
    served.store.record([], [waiting._replace(next_attempt_at=START + MINUTE)], [], START, release=False)
    row = f"/writebacks/{ids[owed.key]}"
    assert "Nobody has to do anything" not in words(client.get("/writebacks"))
    text = words(client.get(row))
    assert "It is tried again with its window from" in text
    assert "nothing does that by itself, as mailing activity is sent by hand. Send the window now" in text
    served.store.change_settings({"frequency": "daily"}, "tester", START)
    assert "What waits Nobody has to do anything." in words(client.get("/writebacks"))
    assert "at the next daily delivery" in words(client.get(row))


def test_addresses_lead_to_the_record_and_the_run_where_they_are_known() -> None:
    links = Links("https://org.example", "http://127.0.0.1:3000")
    assert links.record("003/../x") == "https://org.example/lightning/r/003%2F..%2Fx/view"
    assert links.run("a b") == "http://127.0.0.1:3000/runs/a%20b"
    assert (Links().record("x"), Links().run("x")) == (None, None)


def test_hostile_texts_stay_texts(served: Served, client: Client) -> None:
    queue(served.store, [contact(1)], email=HOSTILE, reason=HOSTILE, subscriber_id=HOSTILE, key=HOSTILE)
    fail(served.store, HOSTILE, HOSTILE, error_message=HOSTILE, run_id=HOSTILE)
    (row,) = rows(served.store)
    for path in (
        "/writebacks",
        f"/writebacks/{row.id}",
        "/writebacks/retry?status=failed",
        "/writebacks?text=%3Cscript%3E",
    ):
        page = client.get(path).text
        assert "<script>alert" not in page
        assert "{{7*7}}" in page
        assert "&lt;script&gt;alert(1)" in page
    hostile_filter = client.get("/writebacks").text
    assert shown(client.get(address(hostile_filter, "show-0")).text) == [row.id]


@pytest.fixture
def many(served: Served, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Rows for several chunks of a file, with texts that files have trouble with."""
    monkeypatch.setattr(list_files, "AT_ONCE", 4)
    queue(served.store, [contact(n) for n in range(9)], reason='=1+1,\n"x"')
    queue(served.store, [lead(1)], reason="Çok fazla 🙅\r")
    served.store.enqueue([resubscribe(contact(3), START + timedelta(seconds=1.5))], START)
    return served.store


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_file_is_what_the_command_line_prints(client: Client, many: Store, tmp_path: Path, form: str) -> None:
    for query, options in (
        ("", []),
        ("?kind=resubscribe", ["--kind", "resubscribe"]),
        ("?status=failed", ["--status", "failed"]),
    ):
        answer = client.get(f"/writebacks/export.{form}{query}")
        environment = {**os.environ, **ledgers.variables(tmp_path)}
        printed = subprocess.run(
            [*COMMAND, "list", "--format", form, *options], env=environment, capture_output=True, check=True
        )
        assert answer.content == printed.stdout
        assert f'filename="writebacks-2026-11-23.{form}"' in answer.headers["Content-Disposition"]
    assert client.get("/writebacks/export.xlsx").status_code == 404


def test_a_file_has_every_row_once_though_rows_arrive_and_change_while_it_is_read(many: Store) -> None:
    ids = many.listed(WritebackFilter())
    chunks = list_files.FILES["csv"].write(many, ids)
    text = next(chunks) + next(chunks)
    queue(many, [contact(n) for n in range(40, 50)])
    written(many, claim_one(many, START))
    text += "".join(chunks)
    found = [int(row["id"]) for row in csv.DictReader(io.StringIO(text))]
    assert found == list(ids)


@pytest.mark.duckdb_file
def test_a_file_that_breaks_off_is_no_whole_document(many: Store, tmp_path: Path) -> None:
    chunks = list_files.FILES["json"].write(many, many.listed(WritebackFilter()))
    text = next(chunks) + next(chunks)
    (tmp_path / "writebacks.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(Exception, match=r"writebacks\.duckdb"):
        "".join(chunks)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_a_page_looks_again_only_while_something_is_under_way(served: Served, client: Client) -> None:
    queue(served.store, [contact(1)])
    assert 'data-live="2"' in client.get("/writebacks").text
    (row,) = rows(served.store)
    assert 'data-live="2"' in client.get(f"/writebacks/{row.id}").text
    written(served.store, claim_one(served.store, START))
    assert "data-live" not in client.get("/writebacks").text
    assert "data-live" not in client.get(f"/writebacks/{row.id}").text


@pytest.mark.duckdb_file
def test_a_database_that_cannot_be_used_is_told_on_every_page(client: Client, tmp_path: Path) -> None:
    (tmp_path / "writebacks.duckdb").write_bytes(b"no database at all" * 100)
    for path in ("/writebacks", "/writebacks/1", "/writebacks/retry", "/writebacks/export.csv"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "Not possible now" in words(answer)
