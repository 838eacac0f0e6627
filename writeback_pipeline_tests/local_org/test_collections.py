"""Many records per request: outcomes in order, failures that stay alone or take all along, and the limits."""

from typing import Any

import pytest

from writeback_pipeline.local_org import admin, ids
from writeback_pipeline_tests.local_org.support import Api, Org, error, row_error

UNKNOWN = ids.make("003", 62**8)
ROLLED_BACK = {
    "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "message": "Record rolled back because not all records were valid and the request was using AllOrNone header",
    "fields": [],
}


def record(sobject: str, **values: Any) -> dict[str, Any]:
    return {"attributes": {"type": sobject}, **values}


def send(api: Api, method: str, records: list[Any], path: str = "", **more: Any) -> list[dict[str, Any]]:
    answer = api.call(method, f"composite/sobjects{path}", json={"records": records, **more})
    assert answer.status_code == 200, answer.text
    outcomes: list[dict[str, Any]] = answer.json()
    assert len(outcomes) == len(records)
    return outcomes


@pytest.fixture
def contacts(api: Api) -> list[str]:
    made = send(api, "POST", [record("Contact", LastName=f"Person {number}") for number in range(3)])
    return [each["id"] for each in made]


def flags(api: Api, contacts: list[str]) -> list[bool]:
    shown = api.post("composite/sobjects/Contact", {"ids": contacts, "fields": ["HasOptedOutOfEmail"]}).json()
    return [each["HasOptedOutOfEmail"] for each in shown]


def test_a_failed_row_carries_no_id_and_leaves_the_others_alone(api: Api, contacts: list[str]) -> None:
    outcomes = send(
        api,
        "PATCH",
        [
            record("Contact", id=contacts[0], HasOptedOutOfEmail=True),
            record("Contact", id=contacts[1], HasOptedOutOfEmail=True, Email="badone"),
            record("Contact", Id=contacts[2][:15], HasOptedOutOfEmail=True),
        ],
    )
    assert outcomes[0] == {"id": contacts[0], "success": True, "errors": []}
    message = "Email: invalid email address: badone"
    assert outcomes[1] == {
        "success": False,
        "errors": [{"statusCode": "INVALID_EMAIL_ADDRESS", "message": message, "fields": ["Email"]}],
    }
    assert outcomes[2] == {"id": contacts[2], "success": True, "errors": []}
    assert flags(api, contacts) == [True, False, True]


def test_all_or_none_undoes_a_create_and_names_the_culprit(api: Api) -> None:
    before = len(api.query("SELECT Id FROM Contact"))
    records = [record("Contact", FirstName="No"), record("Contact", LastName="Fine")]
    culprit, victim = send(api, "POST", records, allOrNone=True)
    assert row_error(culprit) == "REQUIRED_FIELD_MISSING"
    assert victim == {"success": False, "errors": [ROLLED_BACK]}
    assert len(api.query("SELECT Id FROM Contact")) == before


def test_all_or_none_undoes_a_change_but_the_undone_rows_keep_their_ids(api: Api, contacts: list[str]) -> None:
    rows = [record("Contact", id=contacts[0], HasOptedOutOfEmail=True), record("Contact", id=UNKNOWN)]
    victim, culprit = send(api, "PATCH", rows, allOrNone=True)
    assert victim == {"id": contacts[0], "success": False, "errors": [ROLLED_BACK]}
    assert row_error(culprit) == "INVALID_CROSS_REFERENCE_KEY"
    assert "id" not in culprit
    assert flags(api, contacts) == [False, False, False]


def test_every_row_may_fail_and_the_call_still_succeeds(api: Api, org: Org, contacts: list[str]) -> None:
    lead = api.create("Lead", LastName="x", Company="y")
    admin.convert_lead(org.administrator(), lead)
    api.delete(f"sobjects/Contact/{contacts[0]}")
    outcomes = send(
        api,
        "PATCH",
        [
            record("Contact", HasOptedOutOfEmail=True),
            record("Contact", id=UNKNOWN),
            record("Contact", id=contacts[0]),
            record("Contact", id="001xx000003DGb2999"),
            record("Lead", id=lead, HasOptedOutOfEmail=True),
            record("Contact", id=contacts[1], Nope=1),
            {"id": contacts[1]},
            record("Nothing", id=contacts[1]),
            "no record",
        ],
    )
    assert [row_error(each) for each in outcomes] == [
        "MISSING_ARGUMENT", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED", "MALFORMED_ID",
        "CANNOT_UPDATE_CONVERTED_LEAD", "INVALID_FIELD", "JSON_PARSER_ERROR", "INVALID_TYPE", "JSON_PARSER_ERROR",
    ]  # fmt: skip
    assert outcomes[0]["errors"][0]["message"] == "Id not specified in an update call"
    assert outcomes[3]["errors"][0]["fields"] == ["Id"]
    assert outcomes[4]["errors"][0] == {
        "statusCode": "CANNOT_UPDATE_CONVERTED_LEAD",
        "message": "cannot reference converted lead",
        "fields": [],
    }


def test_no_records_and_too_many_are_refused_whole(api: Api) -> None:
    for method in ("POST", "PATCH"):
        empty = api.call(method, "composite/sobjects", json={"records": []})
        assert empty.status_code == 400
        assert empty.json() == [{"message": "At least 1 record is required", "errorCode": "REQUIRED_FIELD_MISSING"}]
        many = api.call(method, "composite/sobjects", json={"records": [record("Contact", LastName="x")] * 201})
        assert error(many) == (400, "EXCEEDED_ID_LIMIT")
    assert error(api.post("composite/sobjects", {"records": "x"})) == (400, "JSON_PARSER_ERROR")
    assert error(api.post("composite/sobjects", [])) == (400, "JSON_PARSER_ERROR")


def test_two_hundred_records_fit(api: Api) -> None:
    outcomes = send(api, "POST", [record("Account", Name=f"Account {number}") for number in range(200)])
    assert all(each["success"] for each in outcomes)
    names = [api.read("Account", outcomes[place]["id"])["Name"] for place in (0, 117, 199)]
    assert names == ["Account 0", "Account 117", "Account 199"]


def test_types_may_be_mixed_in_ten_runs_at_most(api: Api) -> None:
    ten = [record(name, Name="x", LastName="x") for name in ("Account", "Contact") * 5]
    assert len(send(api, "POST", ten)) == 10
    answer = api.post("composite/sobjects", {"records": [*ten, record("Account", Name="x")]})
    assert error(answer) == (400, "LIMIT_EXCEEDED")
    assert "Cannot have more than 10 chunks" in answer.json()[0]["message"]


def test_one_record_may_be_changed_twelve_times_in_a_call(api: Api, contacts: list[str]) -> None:
    outcomes = send(api, "PATCH", [record("Contact", id=contacts[0], Title=str(number)) for number in range(14)])
    assert [each["success"] for each in outcomes] == [True] * 12 + [False] * 2
    assert row_error(outcomes[12]) == "DUPLICATE_VALUE"
    assert outcomes[12]["errors"][0]["message"].startswith(
        "Maximum number of duplicate updates in one batch (12 allowed)"
    )
    assert api.read("Contact", contacts[0])["Title"] == "11"


def test_upsert_tells_what_was_created(api: Api) -> None:
    rows = [record("Task", Writeback_Key__c=key, Subject=key) for key in ("u1", "u2")]
    first = send(api, "PATCH", rows, "/Task/Writeback_Key__c")
    second = send(api, "PATCH", [*rows, record("Task", Writeback_Key__c="u3")], "/Task/Writeback_Key__c")
    assert [each["created"] for each in first] == [True, True]
    assert [each["created"] for each in second] == [False, False, True]
    assert [each["id"] for each in second[:2]] == [each["id"] for each in first]


def test_the_same_key_twice_in_one_upsert_fails_both(api: Api) -> None:
    rows = [record("Task", Writeback_Key__c=key) for key in ("d1", "d2", "d1")]
    outcomes = send(api, "PATCH", rows, "/Task/Writeback_Key__c")
    assert [each["success"] for each in outcomes] == [False, True, False]
    assert row_error(outcomes[0]) == row_error(outcomes[2]) == "DUPLICATE_VALUE"
    assert outcomes[0]["errors"][0]["message"] == "Duplicate external id specified: d1"


def test_upsert_rows_fail_alone(api: Api) -> None:
    for _ in range(2):
        api.create("Contact", LastName="Twin", Email="twin@example.org")
    rows = [
        record("Contact", Email="twin@example.org", LastName="One"),
        record("Contact", LastName="No key"),
        record("Lead", Email="x@example.org"),
        record("Contact", Email="alone@example.org", LastName="Alone"),
    ]
    outcomes = send(api, "PATCH", rows, "/Contact/Email")
    assert [row_error(each) for each in outcomes[:3]] == ["DUPLICATE_EXTERNAL_ID", "MISSING_ARGUMENT", "INVALID_TYPE"]
    assert outcomes[3]["created"] is True


def test_upsert_by_id_changes_or_creates(api: Api, contacts: list[str]) -> None:
    rows = [record("Contact", id=contacts[0], Title="x"), record("Contact", LastName="New")]
    outcomes = send(api, "PATCH", rows, "/Contact/Id")
    assert [each["created"] for each in outcomes] == [False, True]


def test_upsert_by_a_field_that_is_no_key_is_not_found(api: Api) -> None:
    answer = api.patch("composite/sobjects/Task/Subject", {"records": [record("Task", Subject="x")]})
    assert error(answer) == (404, "NOT_FOUND")


def test_deletion_answers_row_by_row(api: Api, contacts: list[str]) -> None:
    given = ",".join([contacts[0], UNKNOWN, "abc", contacts[1][:15]])
    outcomes = api.delete("composite/sobjects", params={"ids": given}).json()
    assert outcomes[0] == {"id": contacts[0], "success": True, "errors": []}
    assert [row_error(each) for each in outcomes[1:3]] == ["INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"]
    assert outcomes[3]["id"] == contacts[1]


def test_deletion_can_be_all_or_none(api: Api, contacts: list[str]) -> None:
    given = {"ids": f"{contacts[0]},{UNKNOWN}", "allOrNone": "true"}
    victim, culprit = api.delete("composite/sobjects", params=given).json()
    assert victim == {"id": contacts[0], "success": False, "errors": [ROLLED_BACK]}
    assert row_error(culprit) == "INVALID_CROSS_REFERENCE_KEY"
    assert api.get(f"sobjects/Contact/{contacts[0]}").status_code == 200


def test_reading_answers_in_order_with_null_for_what_is_not_there(api: Api, contacts: list[str]) -> None:
    api.delete(f"sobjects/Contact/{contacts[1]}")
    given = [contacts[2], UNKNOWN, contacts[1], contacts[0][:15], "abc", contacts[2]]
    answer = api.post("composite/sobjects/Contact", {"ids": given, "fields": ["id", "name"]})
    shown = answer.json()
    assert [each and each["Id"] for each in shown] == [contacts[2], None, None, contacts[0], None, contacts[2]]
    assert shown[0] == {
        "attributes": {"type": "Contact", "url": f"/services/data/v67.0/sobjects/Contact/{contacts[2]}"},
        "Id": contacts[2],
        "Name": "Person 2",
    }
    by_url = api.get("composite/sobjects/Contact", params={"ids": ",".join(given), "fields": "id,name"})
    assert by_url.json() == shown


def test_reading_takes_two_thousand_ids(api: Api, contacts: list[str]) -> None:
    body = {"ids": [contacts[0]] * 2000, "fields": ["Id"]}
    assert len(api.post("composite/sobjects/Contact", body).json()) == 2000
    assert error(api.post("composite/sobjects/Contact", {**body, "ids": [contacts[0]] * 2001})) == (
        400,
        "EXCEEDED_ID_LIMIT",
    )


@pytest.mark.parametrize("body", [{}, {"ids": ["x"]}, {"ids": ["x"], "fields": []}, {"ids": "x", "fields": ["Id"]}])
def test_reading_needs_ids_and_fields(api: Api, body: dict[str, Any]) -> None:
    assert error(api.post("composite/sobjects/Contact", body)) == (400, "JSON_PARSER_ERROR")


def test_reading_an_unknown_field_is_refused_whole(api: Api) -> None:
    answer = api.post("composite/sobjects/Contact", {"ids": [UNKNOWN], "fields": ["Nope"]})
    assert error(answer) == (400, "INVALID_FIELD")
