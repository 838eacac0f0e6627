"""Describe, and field-level security: what an administrator hides is gone, for reading, writing and querying alike."""

from typing import Any

import pytest

from writeback_pipeline.local_org import admin
from writeback_pipeline_tests.local_org.support import Api, Org, error


def fields(api: Api, sobject: str) -> dict[str, dict[str, Any]]:
    described = api.get(f"sobjects/{sobject}/describe").json()
    return {field["name"]: field for field in described["fields"]}


def test_the_list_of_objects_names_each_with_its_prefix(api: Api) -> None:
    told = api.get("sobjects").json()
    prefixes = {each["name"]: each["keyPrefix"] for each in told["sobjects"]}
    assert told["maxBatchSize"] == 200
    assert prefixes == {
        "Account": "001", "Note": "002", "Contact": "003", "User": "005", "Organization": "00D", "Lead": "00Q",
        "Task": "00T", "ContentNote": "069", "ContentDocument": "069", "ContentDocumentLink": "06A",
        "Writeback__c": "a00",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sobject", "name", "facts"),
    [
        ("Contact", "HasOptedOutOfEmail", {"type": "boolean", "label": "Email Opt Out", "nillable": False,
                                           "createable": True, "updateable": True, "defaultValue": False}),
        ("Contact", "Email", {"type": "email", "length": 80, "idLookup": True, "externalId": False, "nillable": True}),
        ("Contact", "LastName", {"length": 80, "nillable": False, "defaultedOnCreate": False}),
        ("Contact", "Name", {"createable": False, "updateable": False, "nameField": True}),
        ("Contact", "Description", {"type": "textarea", "length": 32000, "filterable": False}),
        ("Contact", "AccountId", {"type": "reference", "referenceTo": ["Account"], "relationshipName": "Account"}),
        ("Lead", "Company", {"length": 255, "nillable": False}),
        ("Lead", "IsConverted", {"createable": True, "updateable": False}),
        ("Lead", "Status", {"nillable": False, "defaultValue": "Open - Not Contacted", "defaultedOnCreate": True}),
        ("Writeback__c", "Key__c", {"length": 255, "nillable": False, "unique": True, "externalId": True,
                                    "caseSensitive": True, "custom": True}),
        ("Note", "Title", {"length": 80, "idLookup": True, "filterable": True}),
        ("Note", "Body", {"length": 32000, "filterable": False}),
        ("Note", "ParentId", {"createable": True, "updateable": False, "nillable": False,
                              "polymorphicForeignKey": True}),
        ("Task", "Status", {"defaultValue": "Not Started"}),
        ("Task", "TaskSubtype", {"createable": True, "updateable": False, "restrictedPicklist": True}),
        ("Task", "Writeback_Key__c", {"custom": True, "externalId": True, "unique": True, "length": 255}),
    ],
)  # fmt: skip
def test_a_field_is_described_as_salesforce_does(api: Api, sobject: str, name: str, facts: dict[str, Any]) -> None:
    described = fields(api, sobject)[name]
    assert {key: described[key] for key in facts} == facts


def test_children_are_told_with_the_relation_that_leads_to_them(api: Api) -> None:
    children = api.get("sobjects/Contact/describe").json()["childRelationships"]
    relations = {(each["childSObject"], each["field"]): each["relationshipName"] for each in children}
    assert relations["Note", "ParentId"] == "Notes"
    assert relations["Task", "WhoId"] == "Tasks"
    assert relations["ContentDocumentLink", "LinkedEntityId"] == "ContentDocumentLinks"


def test_the_short_form_lists_what_was_changed_last(api: Api) -> None:
    contact = api.create("Contact", LastName="Recent")
    told = api.get("sobjects/Contact").json()
    assert told["objectDescribe"]["keyPrefix"] == "003"
    assert contact in [each["Id"] for each in told["recentItems"]]


def test_a_hidden_field_is_as_if_it_had_never_been(api: Api, org: Org) -> None:
    contact = api.create("Contact", LastName="Hidden", HasOptedOutOfEmail=True)
    org.set(hidden=frozenset({"Contact.HasOptedOutOfEmail"}))
    assert "HasOptedOutOfEmail" not in fields(api, "Contact")
    assert "HasOptedOutOfEmail" in fields(api, "Lead")
    assert "HasOptedOutOfEmail" not in api.read("Contact", contact)
    refused = api.patch(f"sobjects/Contact/{contact}", {"HasOptedOutOfEmail": False})
    assert refused.status_code == 400
    message = "No such column 'HasOptedOutOfEmail' on sobject of type Contact"
    assert refused.json() == [{"message": message, "errorCode": "INVALID_FIELD"}]
    asked = api.get("query", params={"q": f"SELECT HasOptedOutOfEmail FROM Contact WHERE Id = '{contact}'"})
    assert error(asked) == (400, "INVALID_FIELD")
    assert error(api.get(f"sobjects/Contact/{contact}?fields=HasOptedOutOfEmail")) == (400, "INVALID_FIELD")
    org.set(hidden=frozenset())
    assert api.read("Contact", contact)["HasOptedOutOfEmail"] is True


def test_a_record_made_while_a_checkbox_was_hidden_is_unchecked(api: Api, org: Org) -> None:
    org.set(hidden=frozenset({"Contact.HasOptedOutOfEmail"}))
    contact = api.create("Contact", LastName="Unseen")
    org.set(hidden=frozenset())
    assert api.query(f"SELECT Id FROM Contact WHERE Id = '{contact}' AND HasOptedOutOfEmail = false")


def test_a_read_only_field_is_seen_but_not_written(api: Api, org: Org) -> None:
    contact = api.create("Contact", LastName="Fixed")
    org.set(read_only=frozenset({"Contact.HasOptedOutOfEmail"}))
    assert fields(api, "Contact")["HasOptedOutOfEmail"]["updateable"] is False
    assert api.read("Contact", contact)["HasOptedOutOfEmail"] is False
    refused = api.patch(f"sobjects/Contact/{contact}", {"HasOptedOutOfEmail": True})
    assert error(refused) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")
    assert refused.json()[0]["fields"] == ["HasOptedOutOfEmail"]
    assert refused.json()[0]["message"].startswith("Unable to create/update fields: HasOptedOutOfEmail. Please check")


def test_an_administrator_writes_what_the_api_may_not_see(api: Api, org: Org) -> None:
    contact = api.create("Contact", LastName="Fixed")
    org.set(hidden=frozenset({"Contact.HasOptedOutOfEmail"}))
    admin.edit(org.administrator(), contact, {"HasOptedOutOfEmail": True})
    org.set(hidden=frozenset())
    assert api.read("Contact", contact)["HasOptedOutOfEmail"] is True


def test_a_feature_that_is_off_has_no_objects(api: Api, org: Org) -> None:
    assert api.get("sobjects/ContentNote/describe").status_code == 200
    org.set(hidden=frozenset({"ContentNote"}))
    assert error(api.get("sobjects/ContentNote/describe")) == (404, "NOT_FOUND")
    assert "ContentNote" not in [each["name"] for each in api.get("sobjects").json()["sobjects"]]
    records = [{"attributes": {"type": "ContentNote"}, "Title": "x"}]
    (outcome,) = api.post("composite/sobjects", {"records": records}).json()
    assert outcome["errors"][0]["statusCode"] == "INVALID_TYPE"


def test_the_external_id_field_can_be_missing(api: Api, org: Org) -> None:
    org.set(hidden=frozenset({"Task.Writeback_Key__c"}))
    answer = api.patch("sobjects/Task/Writeback_Key__c/k", {"Subject": "x"})
    assert answer.status_code == 404
    message = "Provided external ID field does not exist or is not accessible: Writeback_Key__c"
    assert answer.json() == [{"message": message, "errorCode": "NOT_FOUND"}]
