"""The overview over HTTP: what it says of a ledger, its pictures, and how it keeps its word when things are bad."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.alerts import Severity, Sighting
from writeback_pipeline.domain.budget import Caller, Purpose
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import ApiUsage
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline_tests.console.serving import START, Client, Served
from writeback_pipeline_tests.contracts.story import claim_one, contact, settled
from writeback_pipeline_tests.words import words

HOSTILE = "<script>alert(1)</script>"


def fill(served: Served, failures: int = 1) -> None:
    """Three opt-outs queued five minutes ago: one written, one waiting, the others failed."""
    queued = START - timedelta(minutes=5)
    people = [contact(number).salesforce_id for number in range(2 + failures)]
    changes = [Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, queued) for person in people]
    served.store.enqueue(changes, queued)
    for status in [Status.WRITTEN, *[Status.FAILED] * failures]:
        claim = claim_one(served.store, START)
        how = settled(claim, status)
        if status is Status.FAILED:
            how = type(how)(how.writeback_id, how.person_id, how.epoch, status, error_code=HOSTILE, advice=HOSTILE)
        served.store.record([], [how], [], START, release=True)


def test_a_new_home_is_told_what_to_do_first(client: Client) -> None:
    text = words(client.get("/"))
    assert "Nothing has been queued yet" in text
    assert "writebacks enqueue unsubscribe --contact ID" in text
    assert "None yet; the first delivery pins the one it meets." in text


def test_what_is_owed_and_what_needs_a_person_is_told(served: Served, client: Client) -> None:
    fill(served, failures=2)
    served.store.pin_organisation("00D000000000001AAA")
    text = words(client.get("/"))
    assert "opt-outs waiting 1 oldest of them, queued 5 min ago in need of a person 2" in text
    assert "of 7,500 API calls in 24 hours 0 last write never" in text
    assert "00D000000000001AAA , pinned" in text
    assert "Nothing has been queued yet" not in text


def test_an_error_is_shown_as_text_and_leads_to_its_rows(served: Served, client: Client) -> None:
    fill(served)
    page = client.get("/").text
    assert HOSTILE not in page
    assert 'href="/writebacks?status=failed&amp;error_code=%3Cscript%3Ealert%281%29%3C/script%3E"' in page


def test_a_hold_says_why_and_until_when(served: Served, client: Client) -> None:
    caller = Caller("caller", Purpose.OPT_OUTS, WritebackSettings())
    served.store.admit(caller, ApiUsage(0, 200, 200), START, calls=0)
    text = words(client.get("/"))
    assert "Opt-outs and activity are held back. Salesforce is tried again at 2026-11-23 13:00:00 UTC" in text
    assert "has used 200 of its 200 API requests" in text


def test_what_is_wrong_and_what_went_silent_is_told(served: Served, client: Client) -> None:
    assert "None yet: start Dagster's daemon" in words(client.get("/"))
    wrong = Sighting("key", "opt-out-overdue", Severity.PAGE, f"An opt-out waits. {HOSTILE}")
    served.store.enter_incidents([wrong], {"opt-out-overdue"}, START)
    served.store.beat("opt_out_queue_sensor", timedelta(seconds=30), START - timedelta(seconds=20))
    served.store.beat("hourly", timedelta(hours=1), START - timedelta(hours=9))
    page = client.get("/")
    text = words(page)
    assert f"page since 2026-11-23 12:00:00 UTC An opt-out waits. {HOSTILE}" in text
    assert HOSTILE not in page.text
    assert "opt_out_queue_sensor, 20 s ago" in text
    assert "hourly is silent : it ticked 9 h ago." in text
    assert '<a href="https://wiki.example/runbook#opt-out-overdue" rel="noreferrer">runbook</a>' in page.text


def test_each_chart_is_a_picture_of_its_own_with_its_numbers_in_a_table(served: Served, client: Client) -> None:
    fill(served)
    page = client.get("/").text
    addresses = re.findall(r'<img src="([^"]+)" alt="([^"]+)"', page)
    assert [address.split("?")[0] for address, _ in addresses] == ["/charts/opt-outs.svg", "/charts/latency.svg"]
    for address, alt in addresses:
        assert "From 10 Nov to 23 Nov" in alt
        picture = client.get(address.replace("&amp;", "&"))
        assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/svg+xml")
        assert "max-age" in picture.headers["Cache-Control"]
        dark = client.get(f"{address}&theme=dark&size=narrow")
        assert dark.content != picture.content
    assert re.search(r"<th scope=\"row\">23 Nov</th>(<td class=\"number\">1</td>){3}<td class=\"number\">0</td>", page)


def test_a_picture_of_older_numbers_is_not_kept(served: Served, client: Client) -> None:
    assert client.get("/charts/opt-outs.svg?v=old").headers["Cache-Control"] == "no-store"
    assert client.get("/charts/nonsense.svg").status_code == 404


def test_nobody_sees_a_picture_without_signing_in(guarded: Served) -> None:
    for path in ("/", "/charts/opt-outs.svg"):
        answer = Client(guarded.address).get(path)
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (303, "/sign-in")


@pytest.mark.duckdb_file
def test_a_database_that_cannot_be_used_is_told_and_nothing_more(client: Client, tmp_path: Path) -> None:
    (tmp_path / "writebacks.duckdb").write_bytes(b"no database at all" * 100)
    for path in ("/", "/charts/opt-outs.svg"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "Not possible now" in words(answer)
        assert "Traceback" not in answer.text
