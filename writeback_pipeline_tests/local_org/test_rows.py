"""One record per request: what is accepted, what comes back, and every refusal in its own words."""

from typing import Any
from urllib.parse import quote

import pytest

from writeback_pipeline.local_org import admin, ids
from writeback_pipeline_tests.local_org.support import Api, Org, error

UNKNOWN = ids.make("003", 62**8)


@pytest.fixture
def contact(api: Api) -> str:
    return api.create("Contact", LastName="Åberg", FirstName="Ada", Email="ada@example.org")


def test_a_new_record_is_told_with_its_address(api: Api) -> None:
    answer = api.post("sobjects/Contact", {"LastName": "Ng"})
    assert answer.status_code == 201
    told = answer.json()
    assert told == {"id": told["id"], "success": True, "errors": []}
    assert answer.headers["Location"] == f"/services/data/v67.0/sobjects/Contact/{told['id']}"
    assert ids.normalise(told["id"]) == told["id"]
    assert told["id"].startswith("003")


def test_a_record_shows_all_its_fields(api: Api, contact: str) -> None:
    shown = api.read("Contact", contact)
    assert shown["attributes"] == {"type": "Contact", "url": f"/services/data/v67.0/sobjects/Contact/{contact}"}
    assert (shown["Name"], shown["HasOptedOutOfEmail"], shown["MasterRecordId"]) == ("Ada Åberg", False, None)
    assert shown["CreatedDate"] == shown["LastModifiedDate"] == shown["SystemModstamp"]
    assert shown["CreatedDate"].endswith(".000+0000")
    assert shown["OwnerId"] == shown["CreatedById"] == shown["LastModifiedById"]


def test_chosen_fields_are_shown_with_the_id(api: Api, contact: str) -> None:
    shown = api.read("Contact", contact, "lastname", "Email")
    assert set(shown) == {"attributes", "Id", "LastName", "Email"}


def test_fifteen_characters_do_as_well_as_eighteen(api: Api, contact: str) -> None:
    assert api.read("Contact", contact[:15])["Id"] == contact
    assert api.patch(f"sobjects/Contact/{contact[:15]}", {"Title": "Dr"}).status_code == 204
    note = api.create("Note", ParentId=contact[:15], Title="t")
    assert api.read("Note", note)["ParentId"] == contact


def test_a_change_answers_without_a_body_and_moves_the_stamps(api: Api, org: Org, contact: str) -> None:
    before = api.read("Contact", contact)
    org.clock.now += 61
    answer = api.patch(f"sobjects/Contact/{contact}", {"HasOptedOutOfEmail": True, "LastName": "Berg"})
    assert (answer.status_code, answer.content) == (204, b"")
    after = api.read("Contact", contact)
    assert (after["HasOptedOutOfEmail"], after["Name"]) == (True, "Ada Berg")
    assert after["SystemModstamp"] == after["LastModifiedDate"] > before["SystemModstamp"]
    assert after["CreatedDate"] == before["CreatedDate"]


def test_an_empty_text_is_null(api: Api, contact: str) -> None:
    api.patch(f"sobjects/Contact/{contact}", {"Email": "", "FirstName": None})
    shown = api.read("Contact", contact)
    assert (shown["Email"], shown["FirstName"], shown["Name"]) == (None, None, "Åberg")


def test_deleting_twice_is_told(api: Api, contact: str) -> None:
    assert api.delete(f"sobjects/Contact/{contact}").status_code == 204
    again = api.delete(f"sobjects/Contact/{contact}")
    assert again.status_code == 404
    assert again.json() == [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}]
    gone = api.get(f"sobjects/Contact/{contact}")
    assert gone.status_code == 404
    assert gone.json() == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}]
    assert error(api.patch(f"sobjects/Contact/{contact}", {"Title": "x"})) == (404, "ENTITY_IS_DELETED")


def test_a_record_purged_from_the_bin_is_as_unknown_as_one_that_never_was(api: Api, org: Org, contact: str) -> None:
    admin.delete(org.administrator(), contact)
    admin.purge(org.administrator(), contact)
    for record_id in (contact, UNKNOWN):
        assert error(api.patch(f"sobjects/Contact/{record_id}", {})) == (400, "INVALID_CROSS_REFERENCE_KEY")
        assert error(api.get(f"sobjects/Contact/{record_id}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("sobject", "values", "code", "message", "fields"),
    [
        ("Contact", {}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]", ["LastName"]),
        ("Contact", {"LastName": ""}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]",
         ["LastName"]),
        ("Lead", {}, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName, Company]",
         ["LastName", "Company"]),
        ("Contact", {"LastName": "x", "Nope": 1}, "INVALID_FIELD", "No such column 'Nope' on sobject of type Contact",
         None),
        ("Contact", {"LastName": "x" * 81}, "STRING_TOO_LONG",
         f"Last Name: data value too large: {'x' * 81} (max length=80)", ["LastName"]),
        ("Contact", {"LastName": "x", "Email": "badone"}, "INVALID_EMAIL_ADDRESS",
         "Email: invalid email address: badone", ["Email"]),
        ("Contact", {"LastName": "x", "HasOptedOutOfEmail": "maybe"}, "JSON_PARSER_ERROR", "VALUE_STRING", None),
        ("Contact", {"LastName": "x", "HasOptedOutOfEmail": None}, "JSON_PARSER_ERROR", "VALUE_NULL", None),
        ("Contact", {"LastName": 7}, "JSON_PARSER_ERROR", "VALUE_NUMBER_INT", None),
        ("Contact", {"LastName": True}, "JSON_PARSER_ERROR", "VALUE_TRUE", None),
        ("Contact", {"LastName": ["x"]}, "JSON_PARSER_ERROR", "START_ARRAY", None),
        ("Contact", {"LastName": "x", "Birthdate": "01.02.2026"}, "JSON_PARSER_ERROR", "instance of date", None),
        ("Contact", {"LastName": "x", "EmailBouncedDate": "2026-11-23"}, "JSON_PARSER_ERROR", "instance of datetime",
         None),
        ("Lead", {"LastName": "x", "Company": "y", "NumberOfEmployees": 1.5}, "JSON_PARSER_ERROR", "instance of int",
         None),
        ("Lead", {"LastName": "x", "Company": "y", "AnnualRevenue": "much"}, "JSON_PARSER_ERROR", "instance of double",
         None),
        ("Contact", {"LastName": "x", "AccountId": "abc"}, "MALFORMED_ID",
         "Account ID: id value of incorrect type: abc", ["AccountId"]),
        ("Contact", {"LastName": "x", "OwnerId": UNKNOWN}, "FIELD_INTEGRITY_EXCEPTION",
         f"Owner ID: id value of incorrect type: {UNKNOWN}", ["OwnerId"]),
        ("Note", {"Title": "x", "ParentId": UNKNOWN}, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []),
        ("Task", {"TaskSubtype": "Fax"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
         "Task Subtype: bad value for restricted picklist field: Fax", ["TaskSubtype"]),
        ("Contact", {"LastName": "x", "Name": "y"}, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields",
         ["Name"]),
        ("Contact", {"LastName": "x", "Id": UNKNOWN}, "INVALID_FIELD", "The Id field should not be specified", None),
        ("ContentNote", {"Title": "x", "Content": "no base64!"}, "JSON_PARSER_ERROR", "instance of base64Binary", None),
        ("User", {"LastName": "x"}, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "does not support create", []),
    ],
)  # fmt: skip
def test_a_refused_record_is_told_why(
    api: Api, sobject: str, values: dict[str, Any], code: str, message: str, fields: list[str] | None
) -> None:
    answer = api.post(f"sobjects/{sobject}", values)
    (told,) = answer.json()
    assert (answer.status_code, told["errorCode"]) == (400, code)
    assert message in told["message"]
    assert told.get("fields") == fields


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("sobjects/Contact/abc", (404, "NOT_FOUND")),
        ("sobjects/Contact/" + UNKNOWN[:-1] + "5", (400, "MALFORMED_ID")),
        ("sobjects/Contact/001dM00003kS2ndQAC", (400, "MALFORMED_ID")),
        ("sobjects/Nothing/" + UNKNOWN, (404, "NOT_FOUND")),
    ],
)
def test_a_change_at_a_wrong_address_is_refused(api: Api, path: str, outcome: tuple[int, str]) -> None:
    assert error(api.patch(path, {"LastName": "x"})) == outcome


def test_a_required_field_cannot_be_emptied(api: Api, contact: str) -> None:
    assert error(api.patch(f"sobjects/Contact/{contact}", {"LastName": None})) == (400, "REQUIRED_FIELD_MISSING")


def test_a_text_of_exactly_the_length_fits_whatever_its_characters(api: Api, contact: str) -> None:
    title = "é€𝒳" * 26 + "ab"
    body = "ü" * 32_000
    note = api.create("Note", ParentId=contact, Title=title, Body=body)
    shown = api.read("Note", note)
    assert (shown["Title"], shown["Body"]) == (title, body)
    assert error(api.post("sobjects/Note", {"ParentId": contact, "Title": title + "c"})) == (400, "STRING_TOO_LONG")
    assert error(api.post("sobjects/Note", {"ParentId": contact, "Title": "t", "Body": body + "ü"})) == (
        400,
        "STRING_TOO_LONG",
    )


def test_half_a_surrogate_pair_is_replaced(api: Api, contact: str) -> None:
    answer = api.call(
        "POST",
        "sobjects/Note",
        data=b'{"ParentId":"%s","Title":"a\\ud83db \\ud83d\\ude00"}' % contact.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert api.read("Note", answer.json()["id"])["Title"] == "a?b 😀"


def test_values_of_every_kind_come_back_as_they_went(api: Api) -> None:
    values = {"LastName": "x", "Company": "y", "AnnualRevenue": 12.5, "NumberOfEmployees": 7, "Rating": "Odd"}
    lead = api.create("Lead", attributes={"type": "Lead"}, OwnerId="", HasOptedOutOfEmail="true", **values)
    shown = api.read("Lead", lead)
    assert {name: shown[name] for name in values} == values
    assert shown["HasOptedOutOfEmail"] is True
    assert shown["OwnerId"] == shown["CreatedById"]


@pytest.mark.parametrize("given", ["2026-02-30T00:00:00Z", "0001-01-01T00:00:00+14:00", "2026-11-23T09:05:07"])
def test_a_datetime_that_names_no_instant_is_refused(api: Api, contact: str, given: str) -> None:
    answer = api.patch(f"sobjects/Contact/{contact}", {"EmailBouncedDate": given})
    assert error(answer) == (400, "JSON_PARSER_ERROR")


def test_a_datetime_in_another_zone_is_shown_in_utc(api: Api, contact: str) -> None:
    api.patch(f"sobjects/Contact/{contact}", {"EmailBouncedDate": "2026-11-23T09:05:07+02:00"})
    shown = api.read("Contact", contact)
    assert shown["EmailBouncedDate"] == "2026-11-23T07:05:07.000+0000"
    assert shown["IsEmailBounced"] is True


def test_a_record_is_found_by_its_external_id(api: Api) -> None:
    task = api.create("Task", Subject="s", Writeback_Key__c="key-1")
    answer = api.get("sobjects/Task/Writeback_Key__c/key-1")
    assert answer.json()["Id"] == task
    assert error(api.get("sobjects/Task/Writeback_Key__c/key-2")) == (404, "NOT_FOUND")
    assert error(api.get("sobjects/Task/Subject/s")) == (404, "NOT_FOUND")
    assert api.delete("sobjects/Task/Writeback_Key__c/key-1").status_code == 204
    assert error(api.delete("sobjects/Task/Writeback_Key__c/key-1")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "key", ["plain", "with space", "with/slash", "100%", "ä€𝒳", "a+b?c&d#e", "'); DROP TABLE Task;--"]
)
def test_upsert_creates_once_and_then_changes(api: Api, key: str) -> None:
    path = f"sobjects/Task/Writeback_Key__c/{quote(key, safe='')}"
    first, second = api.patch(path, {"Subject": "one"}), api.patch(path, {"Subject": "two"})
    assert (first.status_code, second.status_code) == (201, 200)
    record_id = first.json()["id"]
    assert first.json() == {"id": record_id, "success": True, "errors": [], "created": True}
    assert second.json() == {"id": record_id, "success": True, "errors": [], "created": False}
    assert first.headers["Location"].endswith(record_id)
    shown = api.read("Task", record_id)
    assert (shown["Subject"], shown["Writeback_Key__c"]) == ("two", key)


def test_old_versions_answer_an_upsert_in_the_old_way(api: Api) -> None:
    api.version = "45.0"
    first = api.patch("sobjects/Task/Writeback_Key__c/old", {"Subject": "one"})
    second = api.patch("sobjects/Task/Writeback_Key__c/old", {"Subject": "two"})
    assert (first.status_code, set(first.json())) == (201, {"id", "success", "errors"})
    assert (second.status_code, second.content) == (204, b"")


def test_upsert_works_on_standard_look_up_fields(api: Api, contact: str) -> None:
    created = api.patch("sobjects/Contact/Email/new%40example.org", {"LastName": "New"})
    assert (created.status_code, created.json()["created"]) == (201, True)
    changed = api.patch("sobjects/Contact/Email/NEW%40EXAMPLE.ORG", {"LastName": "Newer"})
    assert (changed.status_code, changed.json()["id"]) == (200, created.json()["id"])
    note = api.patch("sobjects/Note/Title/A%20title", {"ParentId": contact})
    assert note.status_code == 201
    again = api.patch("sobjects/Note/Title/A%20title", {"ParentId": contact})
    assert error(again) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


def test_upsert_of_several_matches_lists_their_addresses(api: Api) -> None:
    twins = [api.create("Lead", LastName="Twin", Company="x", Email="twin@example.org") for _ in range(2)]
    answer = api.patch("sobjects/Lead/Email/twin@example.org", {"LastName": "One"})
    assert answer.status_code == 300
    assert answer.json() == [f"/services/data/v67.0/sobjects/Lead/{record_id}" for record_id in twins]
    assert api.get("sobjects/Lead/Email/twin@example.org").json() == answer.json()
    assert api.delete("sobjects/Lead/Email/twin@example.org").status_code == 300


def test_upsert_that_may_only_change_creates_nothing(api: Api) -> None:
    path = "sobjects/Task/Writeback_Key__c/absent?updateOnly=true"
    assert error(api.patch(path, {"Subject": "x"})) == (404, "NOT_FOUND")
    assert api.query("SELECT Id FROM Task WHERE Writeback_Key__c = 'absent'") == []


def test_the_key_of_an_upsert_may_not_stand_in_the_body(api: Api) -> None:
    answer = api.patch("sobjects/Task/Writeback_Key__c/k9", {"Writeback_Key__c": "k9"})
    assert error(answer) == (400, "INVALID_FIELD")
    assert answer.json()[0]["message"] == "The Writeback_Key__c field should not be specified in the sobject data."


def test_a_unique_value_names_its_holder(api: Api) -> None:
    holder = api.create("Task", Writeback_Key__c="mine")
    answer = api.post("sobjects/Task", {"Writeback_Key__c": "mine"})
    assert error(answer) == (400, "DUPLICATE_VALUE")
    assert answer.json()[0]["message"] == (
        f"duplicate value found: Writeback_Key__c duplicates value on record with id: {holder[:15]}"
    )
    api.delete(f"sobjects/Task/{holder}")
    assert api.post("sobjects/Task", {"Writeback_Key__c": "mine"}).status_code == 201


def test_a_change_can_be_made_conditional(api: Api, org: Org, contact: str) -> None:
    path = f"sobjects/Contact/{contact}"
    seen = {"If-Unmodified-Since": "Mon, 23 Nov 2026 09:00:00 GMT"}
    org.clock.now = 1_795_424_400.0 + 3600
    api.sign_in()
    assert api.patch(path, {"Title": "first"}).status_code == 204
    refused = api.patch(path, {"Title": "second"}, headers=seen)
    assert refused.status_code == 412
    later = {"If-Unmodified-Since": "Mon, 23 Nov 2026 10:00:00 GMT"}
    assert api.patch(path, {"Title": "third"}, headers=later).status_code == 204
    assert api.patch(path, {"Title": "x"}, headers={"If-Unmodified-Since": "soon"}).status_code == 400
    assert api.read("Contact", contact)["Title"] == "third"


def test_changes_and_deletions_of_a_stretch_of_time_are_listed(api: Api, org: Org) -> None:
    start = "2026-11-23T10:30:00+00:00"
    org.clock.now = 1_795_424_400.0 + 2 * 3600
    api.sign_in()
    kept, dropped = (api.create("Account", Name=name) for name in ("Kept", "Dropped"))
    api.delete(f"sobjects/Account/{dropped}")
    window = {"start": start, "end": "2026-11-23T11:30:00Z"}
    updated = api.get("sobjects/Account/updated/", params=window).json()
    deleted = api.get("sobjects/Account/deleted/", params=window).json()
    assert updated == {"ids": [kept], "latestDateCovered": "2026-11-23T11:00:00.000+0000"}
    assert deleted["deletedRecords"] == [{"id": dropped, "deletedDate": "2026-11-23T11:00:00.000+0000"}]
    assert set(deleted) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}
    assert api.get("sobjects/User/deleted/", params=window).json()["deletedRecords"] == []


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-11-23T10:00:00Z", "2026-11-23T09:00:00Z"), ("2026-01-01T00:00:00Z", "2026-11-23T00:00:00Z"),
     ("yesterday", "2026-11-23T00:00:00Z"), ("2026-11-20T00:00:00", "2026-11-23T00:00:00Z")],
)  # fmt: skip
def test_a_stretch_of_time_must_make_sense(api: Api, start: str, end: str) -> None:
    answer = api.get("sobjects/Account/updated/", params={"start": start, "end": end})
    assert error(answer) == (400, "INVALID_REPLICATION_DATE")
