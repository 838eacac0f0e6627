"""The organisation's own pages over HTTP: what they show, what they change, and whom they turn away."""

import html
import re
from typing import Any

import pytest
import requests

from writeback_pipeline.local_org import admin, faults, package, settings, usage
from writeback_pipeline.local_org.fault_kinds import KINDS
from writeback_pipeline_tests.local_org.support import Api, Org
from writeback_pipeline_tests.words import words

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


class Pages:
    """A browser without a window: it says where a form was, as browsers do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.http.get(self.url + path, timeout=30, **more)

    def post(self, path: str, /, **form: str) -> requests.Response:
        return self.http.post(self.url + path, data=form, headers={"Origin": self.url}, timeout=30)

    def text(self, path: str) -> str:
        return words(self.get(path))


@pytest.fixture
def pages(api: Api) -> Pages:
    return Pages(api.url)


def test_a_person_is_found_by_name_address_and_id_of_either_length(api: Api, pages: Pages) -> None:
    person = api.create("Contact", FirstName="Zoë", LastName="Zweig", Email="zz@example.org")
    lead = api.create("Lead", LastName="Zweigle", Company="Zed")
    for wanted in ("zweig", "OË Zwei", "ZZ@EXAMPLE"):
        assert f'href="/record/{person}"' in pages.get("/", params={"q": wanted}).text
    assert f'href="/record/{lead}"' in pages.get("/", params={"q": "zweig"}).text
    for wanted in (person, person[:15], f" {person} "):
        found = pages.get("/", params={"q": wanted})
        assert (found.status_code, found.url) == (200, f"{pages.url}/record/{person}")


def test_wildcards_are_only_characters_when_somebody_searches(api: Api, pages: Pages) -> None:
    person = api.create("Contact", LastName="100% _sure")
    assert "1 found" in words(pages.get("/", params={"q": "0% _s"}))
    assert "0 found" in words(pages.get("/", params={"q": "1__%"}))
    assert f"/record/{person}" not in pages.get("/", params={"q": "\\"}).text


def test_the_first_page_shows_who_changed_last(api: Api, org: Org, pages: Pages) -> None:
    org.clock.now += 60
    person = api.create("Contact", LastName="Latest")
    first = re.search(r"/record/(\w{18})", pages.get("/").text)
    assert first is not None
    assert first[1] == person


@pytest.mark.parametrize("path", ["/lightning/r/Contact/{}/view", "/lightning/r/{}/view", "/record/{}"])
def test_a_link_made_for_salesforce_leads_to_the_record(api: Api, pages: Pages, path: str) -> None:
    person = api.create("Contact", LastName="Linked")
    shown = pages.get(path.format(person[:15]))
    assert (shown.status_code, shown.url) == (200, f"{pages.url}/record/{person}")


def test_a_note_and_a_task_lead_to_their_person(api: Api, pages: Pages) -> None:
    person = api.create("Lead", LastName="Parent", Company="x")
    note = api.create("Note", ParentId=person, Title="t")
    task = api.create("Task", WhoId=person, Subject="s", Status="Completed")
    content = api.create("ContentNote", Title="c")
    api.create("ContentDocumentLink", LinkedEntityId=person, ContentDocumentId=content)
    for record in (note, task, content):
        shown = pages.get(f"/record/{record}")
        assert (shown.status_code, shown.url) == (200, f"{pages.url}/record/{person}#{record}")
        assert f'id="{record}"' in shown.text


@pytest.mark.parametrize("record_id", ["003wb000000zzzz", "nonsense", "001wb000000CcWN", "00T"])
def test_a_record_that_is_not_there_is_said_to_be_missing(pages: Pages, record_id: str) -> None:
    assert pages.get(f"/record/{record_id}").status_code == 404
    assert pages.post(f"/record/{record_id}/delete").status_code == 404


def test_a_record_shows_its_fields_notes_and_history(api: Api, pages: Pages) -> None:
    account = api.create("Account", Name="Lens Ltd")
    person = api.create(
        "Contact", LastName="Shown", AccountId=account, Phone="01 23", Title="Reader", Description="a\nb"
    )
    api.create("Note", ParentId=person, Title="A title", Body="A title\nReason: because")
    api.create(
        "Task", WhoId=person, Subject="2 sent", Status="Completed", ActivityDate="2026-11-22", Description="x: 2"
    )
    api.create("Task", WhoId=person, Subject="Call back", Status="Not Started")
    text = pages.text(f"/record/{person}")
    for shown in (
        "Lens Ltd",
        "01 23",
        "Reader",
        "a b",
        "A title Reason: because Integration User",
        "2 sent Task, completed, 2026-11-22 x: 2",
    ):
        assert shown in text
    assert "Activity History (1)" in text
    assert "Call back" not in text


def test_hostile_text_is_shown_as_text(api: Api, pages: Pages) -> None:
    person = api.create("Contact", LastName=HOSTILE, Email="h@example.org", Description=HOSTILE)
    api.create("Note", ParentId=person, Title=HOSTILE, Body=HOSTILE)
    api.create("Task", WhoId=person, Subject=HOSTILE, Status="Completed", Description=HOSTILE)
    for answer in (pages.get(f"/record/{person}"), pages.get("/", params={"q": HOSTILE})):
        assert not re.search(r"<(script|img)", answer.text)
        assert html.escape(HOSTILE).replace("&quot;", "&#34;").replace("&#x27;", "&#39;") in answer.text


def test_email_opt_out_is_saved_in_the_name_of_the_person_at_the_page(api: Api, org: Org, pages: Pages) -> None:
    person = api.create("Contact", LastName="Ticked")
    org.clock.now += 60
    saved = pages.post(f"/record/{person}/opt-out", was="clear", ticked="on")
    assert "Email Opt Out was saved." in words(saved)
    shown = api.read("Contact", person)
    assert shown["HasOptedOutOfEmail"] is True
    assert shown["LastModifiedById"] == org.administrator().user_id != shown["CreatedById"]
    assert shown["LastModifiedDate"] > shown["CreatedDate"]
    pages.post(f"/record/{person}/opt-out", was="ticked")
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is False


def test_a_box_that_changed_meanwhile_is_not_overwritten(api: Api, pages: Pages) -> None:
    person = api.create("Contact", LastName="Raced")
    api.patch(f"sobjects/Contact/{person}", {"HasOptedOutOfEmail": True})
    refused = pages.post(f"/record/{person}/opt-out", was="clear")
    assert refused.status_code == 409
    assert "Integration User changed Email Opt Out while you had the page open" in words(refused)
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is True


def test_a_deleted_record_says_so_and_comes_back(api: Api, pages: Pages) -> None:
    person = api.create("Contact", LastName="Gone")
    api.create("Note", ParentId=person, Title="with it")
    assert "This Contact is in the recycle bin." in words(pages.post(f"/record/{person}/delete"))
    assert api.query(f"SELECT Id FROM Contact WHERE Id = '{person}'") == []
    assert pages.post(f"/record/{person}/opt-out", was="clear", ticked="on").status_code == 404
    assert "back from the recycle bin" in words(pages.post(f"/record/{person}/undelete"))
    assert len(api.query(f"SELECT Id FROM Note WHERE ParentId = '{person}'")) == 1


def test_a_lead_is_converted_into_a_new_contact_or_a_given_one(api: Api, pages: Pages) -> None:
    first, second = (api.create("Lead", LastName=name, Company="x") for name in ("First", "Second"))
    new = pages.post(f"/record/{first}/convert", contact="")
    contact = new.url.split("/")[-1].partition("?")[0]
    assert api.read("Lead", first)["ConvertedContactId"] == contact
    assert f'href="/record/{contact}"' in pages.get(f"/record/{first}").text
    pages.post(f"/record/{second}/convert", contact=contact[:15])
    assert api.read("Lead", second)["ConvertedContactId"] == contact
    again = pages.post(f"/record/{second}/convert", contact="")
    assert (again.status_code, "cannot reference converted lead" in words(again)) == (400, True)


def test_records_are_merged_and_a_merged_one_names_its_master(api: Api, pages: Pages) -> None:
    master, one, two = (api.create("Contact", LastName=name) for name in ("Master", "One", "Two"))
    pages.post(f"/record/{master}/merge", others=f"{one[:15]}, {two}")
    assert f"merged into Contact {master}" in pages.text(f"/record/{one}")
    assert f'href="/record/{master}"' in pages.get(f"/record/{two}").text
    pages.post(f"/record/{two}/undelete")
    (back,) = api.query(f"SELECT MasterRecordId FROM Contact WHERE Id = '{two}'")
    assert back["MasterRecordId"] is None
    for wrong in (master, "nonsense", "", api.create("Lead", LastName="l", Company="x")):
        assert pages.post(f"/record/{master}/merge", others=wrong).status_code == 400


def test_setup_shows_who_used_how_many_calls_and_pages_use_none(api: Api, org: Org, pages: Pages) -> None:
    usage.add(org.connection, 1_234, org.clock())
    api.get("limits")
    used = usage.used(org.connection, org.clock())
    text = pages.text("/setup")
    assert f"{used:,} of 100,000 calls in the last 24 hours" in text
    assert "Other integrations 1,234" in text
    assert f"Integration User (local@local.example) {used - 1_234:,}" in text
    assert usage.used(org.connection, org.clock()) == used


def test_email_opt_out_is_hidden_from_the_api_and_shown_again(api: Api, org: Org, pages: Pages) -> None:
    org.set(hidden=frozenset({"Task.Description"}))
    person = api.create("Contact", LastName="Hidden")
    pages.post("/setup/visibility", **{"Lead.HasOptedOutOfEmail": "on"})
    assert settings.load(org.connection).hidden == {"Task.Description", "Contact.HasOptedOutOfEmail"}
    assert "HasOptedOutOfEmail" not in api.read("Contact", person)
    assert "Hidden from everybody else by field-level security" in pages.text(f"/record/{person}")
    pages.post("/setup/visibility", **{"Lead.HasOptedOutOfEmail": "on", "Contact.HasOptedOutOfEmail": "on"})
    assert settings.load(org.connection).hidden == {"Task.Description"}


def test_the_package_is_taken_away_and_installed(org: Org, pages: Pages) -> None:
    assert "is installed" in pages.text("/setup")
    assert "is not installed" in words(pages.post("/setup/package", to="missing"))
    assert settings.load(org.connection).hidden >= package.CONTENTS
    assert "is installed" in words(pages.post("/setup/package", to="installed"))


def test_a_fault_is_armed_counted_and_disarmed(api: Api, org: Org, pages: Pages) -> None:
    armed = pages.post("/setup/faults/unavailable", html="false", path="limits", times="2", probability="", method="")
    assert "The fault is armed." in words(armed)
    (fault,) = faults.armed(org.connection)
    assert (fault.path, fault.times, fault.options) == ("limits", 2, {"html": False})
    assert api.get("limits").json()[0]["errorCode"] == "SERVER_UNAVAILABLE"
    assert "unavailable path limits , html False 1 1 Disarm" in pages.text("/setup")
    pages.post("/setup/clear", fault=str(fault.id))
    assert faults.armed(org.connection) == ()
    assert "Struck so far: unavailable 1." in pages.text("/setup")
    pages.post("/setup/clear")
    assert "Struck so far" not in pages.text("/setup")


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_can_be_armed_as_its_form_comes(org: Org, pages: Pages, kind: str) -> None:
    form = pages.get(f"/setup/faults/{kind}").text
    inputs = dict(re.findall(r'<input id="\w+" name="(\w+)" value="([^"]*)"', form))
    assert pages.post(f"/setup/faults/{kind}", **{name: html.unescape(value) for name, value in inputs.items()}).ok
    (fault,) = faults.armed(org.connection)
    assert (fault.kind, fault.times, dict(fault.options)) == (kind, 1, dict(KINDS[kind].options))


def test_what_is_wrong_with_a_fault_is_said_and_what_was_typed_is_kept(org: Org, pages: Pages) -> None:
    refused = pages.post("/setup/faults/unavailable", path='(<"', times="many")
    assert refused.status_code == 400
    assert "times is not 'many' but of type int" in words(refused)
    assert 'value="(&lt;&#34;"' in refused.text
    assert pages.post("/setup/faults/earthquake").status_code == 404
    assert pages.post("/setup/nonsense").status_code == 404
    kept = faults.arm(org.connection, "slow")
    for number in ("", "x", "9" * 40):
        pages.post("/setup/clear", fault=number)
    assert faults.armed(org.connection) == (kept,)
    faults.clear(org.connection)
    assert faults.armed(org.connection) == ()


@pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "[", "localhost@evil.example"])
def test_no_other_host_name_is_answered(api: Api, pages: Pages, host: str) -> None:
    person = api.create("Contact", LastName="Private")
    for path in ("/", f"/record/{person}", "/setup"):
        refused = pages.get(path, headers={"Host": host})
        assert refused.status_code in (400, 403)
        assert "Private" not in refused.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "{url}", "Sec-Fetch-Site": "same-site"},
        {"Origin": "{url}", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_elsewhere_changes_nothing(api: Api, org: Org, pages: Pages, headers: dict[str, str]) -> None:
    person = api.create("Contact", LastName="Target")
    sent = {name: value.format(url=pages.url) for name, value in headers.items()}
    for path, form in (
        (f"/record/{person}/opt-out", {"was": "clear", "ticked": "on"}),
        (f"/record/{person}/delete", {}),
        ("/setup/package", {"to": "missing"}),
        ("/setup/faults/unavailable", {}),
        ("/setup/clear", {}),
    ):
        refused = requests.post(pages.url + path, data=form, headers=sent, timeout=30)
        assert refused.status_code == 403
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is False
    assert faults.armed(org.connection) == ()


def test_every_answer_forbids_scripts_frames_and_keeping(api: Api, pages: Pages) -> None:
    person = api.create("Contact", LastName="Framed")
    for path in ("/", "/org.css", f"/record/{person}", "/record/none", "/setup", "/setup/faults/slow"):
        headers = pages.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_is_for_looking_and_a_form_for_changing(api: Api, pages: Pages) -> None:
    person = api.create("Contact", LastName="Looked at")
    assert pages.get(f"/record/{person}/delete").status_code == 405
    assert pages.http.delete(f"{pages.url}/record/{person}", timeout=30).status_code == 405
    assert pages.http.head(f"{pages.url}/setup", timeout=30).status_code == 200


def test_faults_do_not_strike_the_pages(org: Org, pages: Pages) -> None:
    faults.arm(org.connection, "unavailable", path=".")
    faults.arm(org.connection, "row_lock")
    with_fault = admin.create(org.administrator(), "Contact", {"LastName": "Spared"})
    assert pages.post(f"/record/{with_fault}/opt-out", was="clear", ticked="on").status_code == 200


def test_what_is_no_page_is_answered_as_before(api: Api, pages: Pages) -> None:
    missing = pages.get("/services/nonsense")
    assert (missing.status_code, missing.text) == (404, "Not Found")
    assert api.get("nonsense").status_code == 404
