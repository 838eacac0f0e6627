"""What Salesforce does by itself: Tasks, Notes, ContentNotes with their documents, and the assignment rule."""

import base64
from typing import Any

import pytest

from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.local_org.support import Api, Org, error


@pytest.fixture
def contact(api: Api) -> str:
    account = api.create("Account", Name="Acme")
    return api.create("Contact", LastName="Ng", AccountId=account)


def test_a_key_record_is_numbered_and_its_key_is_the_only_one(api: Api) -> None:
    first = api.create("Writeback__c", Key__c="sent/one", Record_Id__c="002000000000001AAA")
    assert api.read("Writeback__c", first)["Name"].startswith("W-")
    refused = api.post("sobjects/Writeback__c", {"Key__c": "sent/one"})
    assert refused.status_code == 400
    assert refused.json() == [
        {
            "message": f"duplicate value found: Key__c duplicates value on record with id: {first[:15]}",
            "errorCode": "DUPLICATE_VALUE",
            "fields": [],
        }
    ]
    assert error(api.post("sobjects/Writeback__c", {})) == (400, "REQUIRED_FIELD_MISSING")
    api.create("Writeback__c", Key__c="SENT/ONE")


@pytest.fixture
def lead(api: Api) -> str:
    return api.create("Lead", LastName="Lim", Company="Bolt")


def test_a_task_begins_open_with_the_defaults(api: Api) -> None:
    task = api.read("Task", api.create("Task"))
    assert (task["Status"], task["Priority"], task["TaskSubtype"]) == ("Not Started", "Normal", "Task")
    assert (task["IsClosed"], task["IsHighPriority"], task["CompletedDateTime"]) == (False, False, None)


def test_a_completed_task_is_closed_until_it_is_opened_again(api: Api) -> None:
    task = api.create("Task", Status="Completed", TaskSubtype="Email", Priority="High", ActivityDate="2026-11-23")
    shown = api.read("Task", task)
    assert (shown["IsClosed"], shown["IsHighPriority"], shown["TaskSubtype"]) == (True, True, "Email")
    assert shown["CompletedDateTime"] == shown["CreatedDate"]
    assert shown["ActivityDate"] == "2026-11-23"
    api.patch(f"sobjects/Task/{task}", {"Status": "In Progress"})
    assert api.read("Task", task)["CompletedDateTime"] is None
    assert api.read("Task", task)["IsClosed"] is False


def test_the_subtype_of_a_task_is_given_once(api: Api) -> None:
    task = api.create("Task", TaskSubtype="Email")
    answer = api.patch(f"sobjects/Task/{task}", {"TaskSubtype": "Call"})
    assert error(answer) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


def test_a_task_takes_its_account_from_the_person(api: Api, contact: str, lead: str) -> None:
    account = api.read("Contact", contact)["AccountId"]
    assert api.read("Task", api.create("Task", WhoId=contact))["AccountId"] == account
    assert api.read("Task", api.create("Task", WhoId=lead))["AccountId"] is None


def test_a_task_of_a_lead_relates_to_nothing_else(api: Api, contact: str, lead: str) -> None:
    account = api.read("Contact", contact)["AccountId"]
    assert error(api.post("sobjects/Task", {"WhoId": lead, "WhatId": account})) == (400, "FIELD_INTEGRITY_EXCEPTION")
    assert api.post("sobjects/Task", {"WhoId": contact, "WhatId": account}).status_code == 201


def test_an_activity_date_has_no_time(api: Api) -> None:
    answer = api.post("sobjects/Task", {"ActivityDate": "2026-11-23T00:00:00Z"})
    assert error(answer) == (400, "JSON_PARSER_ERROR")


def test_a_task_hangs_on_people_only(api: Api, contact: str) -> None:
    account = api.read("Contact", contact)["AccountId"]
    assert error(api.post("sobjects/Task", {"WhoId": account})) == (400, "FIELD_INTEGRITY_EXCEPTION")


def test_a_note_stays_where_it_is(api: Api, contact: str, lead: str) -> None:
    note = api.create("Note", ParentId=contact, Title="t", Body="b")
    answer = api.patch(f"sobjects/Note/{note}", {"ParentId": lead})
    assert error(answer) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")
    assert answer.json()[0]["fields"] == ["ParentId"]
    assert api.patch(f"sobjects/Note/{note}", {"Body": "c"}).status_code == 204


@pytest.mark.parametrize("sobject", ["Note", "Task"])
def test_nothing_can_be_hung_on_a_converted_lead_or_a_deleted_person(
    api: Api, org: Org, contact: str, lead: str, sobject: str
) -> None:
    reference = {"Note": "ParentId", "Task": "WhoId"}[sobject]
    admin.convert_lead(org.administrator(), lead)
    api.delete(f"sobjects/Contact/{contact}")
    on_lead, on_contact = ({"Title": "t"} if sobject == "Note" else {} for _ in range(2))
    assert error(api.post(f"sobjects/{sobject}", {**on_lead, reference: lead})) == (400, "CANNOT_UPDATE_CONVERTED_LEAD")
    assert error(api.post(f"sobjects/{sobject}", {**on_contact, reference: contact})) == (404, "ENTITY_IS_DELETED")


def test_long_texts_cannot_be_filtered_by(api: Api) -> None:
    answer = api.get("query", params={"q": "SELECT Id FROM Note WHERE Body = 'x'"})
    assert answer.status_code == 400


def content(html: str) -> str:
    return base64.b64encode(html.encode()).decode()


def test_an_enhanced_note_comes_with_its_document(api: Api, contact: str) -> None:
    html = "<p>Reason: &quot;Bad Email&quot; &amp; more</p>"
    note = api.create("ContentNote", Title="unsubscribed", Content=content(html))
    assert note.startswith("069")
    shown = api.read("ContentNote", note)
    assert (shown["FileType"], shown["TextPreview"]) == ("SNOTE", 'Reason: "Bad Email" & more')
    assert shown["ContentSize"] == len(html)
    assert shown["LatestPublishedVersionId"].startswith("068")
    assert api.http.get(api.url + shown["Content"], timeout=30).content == html.encode()
    assert api.read("ContentDocument", note)["Title"] == "unsubscribed"
    assert api.get(f"sobjects/ContentDocument/{note}/Content").status_code == 404
    link = api.create("ContentDocumentLink", ContentDocumentId=note, LinkedEntityId=contact, ShareType="V")
    assert link.startswith("06A")
    links = api.query(f"SELECT LinkedEntityId, ShareType FROM ContentDocumentLink WHERE ContentDocumentId = '{note}'")
    owner = shown["OwnerId"]
    assert {(each["LinkedEntityId"], each["ShareType"]) for each in links} == {(contact, "V"), (owner, "I")}


def test_a_document_is_linked_to_a_record_once(api: Api, contact: str) -> None:
    note = api.create("ContentNote", Title="t", Content=content("x"))
    link: dict[str, Any] = {"ContentDocumentId": note, "LinkedEntityId": contact}
    assert api.post("sobjects/ContentDocumentLink", link).status_code == 201
    assert error(api.post("sobjects/ContentDocumentLink", link)) == (400, "DUPLICATE_VALUE")


def test_note_and_document_change_and_go_together(api: Api, contact: str) -> None:
    note = api.create("ContentNote", Title="before", Content=content("x"))
    link = api.create("ContentDocumentLink", ContentDocumentId=note, LinkedEntityId=contact)
    api.patch(f"sobjects/ContentNote/{note}", {"Title": "after"})
    assert api.read("ContentDocument", note)["Title"] == "after"
    assert api.delete(f"sobjects/ContentDocument/{note}").status_code == 204
    for path in (f"ContentNote/{note}", f"ContentDocument/{note}", f"ContentDocumentLink/{link}"):
        assert api.get(f"sobjects/{path}").status_code == 404


def test_enhanced_notes_cannot_be_upserted(api: Api) -> None:
    assert api.patch("sobjects/ContentNote/Title/x", {"Content": content("x")}).status_code == 400


@pytest.mark.parametrize(("header", "moves"), [(None, True), ("TRUE", True), ("FALSE", False), ("false", False)])
def test_a_lead_changes_hands_unless_the_request_forbids_it(
    api: Api, org: Org, lead: str, header: str | None, moves: bool
) -> None:
    (sales,) = api.query("SELECT Id FROM User WHERE Username = 'sales@local.example'")
    org.set(lead_assignment_owner=sales["Id"])
    headers = {"Sforce-Auto-Assign": header} if header else {}
    change = {"HasOptedOutOfEmail": True}
    api.patch(f"sobjects/Lead/{lead}", change, headers=headers)
    assert (api.read("Lead", lead)["OwnerId"] == sales["Id"]) is moves
    other = api.create("Lead", LastName="x", Company="y")
    record = {"attributes": {"type": "Lead"}, "id": other, **change}
    api.patch("composite/sobjects", {"records": [record]}, headers={"Sforce-Auto-Assign": "FALSE"} | headers)
    assert api.read("Lead", other)["OwnerId"] == sales["Id"]


def test_an_assignment_rule_is_for_leads_only(api: Api, org: Org, contact: str) -> None:
    (sales,) = api.query("SELECT Id FROM User WHERE Username = 'sales@local.example'")
    org.set(lead_assignment_owner=sales["Id"])
    api.patch(f"sobjects/Contact/{contact}", {"HasOptedOutOfEmail": True})
    assert api.read("Contact", contact)["OwnerId"] != sales["Id"]
