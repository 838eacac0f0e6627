"""What a fault does to a written row: alone, in a collection, in a transaction that shares its fate."""

from typing import Any

import pytest
import requests

from writeback_pipeline.local_org import admin, faults
from writeback_pipeline_tests.local_org.support import Api, Org, error, row_error

LOCKED = "UNABLE_TO_LOCK_ROW"


@pytest.fixture
def contact(api: Api) -> str:
    return api.create("Contact", LastName="Struck")


def opt_out(api: Api, *contacts: str, **more: Any) -> list[dict[str, Any]]:
    records = [{"attributes": {"type": "Contact"}, "Id": each, "HasOptedOutOfEmail": True} for each in contacts]
    answer = api.patch("composite/sobjects", {"records": records, **more})
    assert answer.status_code == 200, answer.text
    outcomes: list[dict[str, Any]] = answer.json()
    return outcomes


def many(api: Api, number: int) -> list[str]:
    records = [{"attributes": {"type": "Contact"}, "LastName": str(each)} for each in range(number)]
    return [row["id"] for row in api.post("composite/sobjects", {"records": records}).json()]


def test_a_record_is_locked_so_many_times_and_then_free(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "row_lock", record_id=contact, times=2)
    other = api.create("Contact", LastName="Free")
    answers = [api.patch(f"sobjects/Contact/{contact}", {"HasOptedOutOfEmail": True}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [400, 400, 204]
    assert answers[0].json() == [
        {
            "message": "unable to obtain exclusive access to this record",
            "errorCode": LOCKED,
            "fields": [],
        }
    ]
    assert opt_out(api, contact, other)[1]["success"]


def test_a_locked_row_leaves_its_neighbours_alone(api: Api, org: Org, contact: str) -> None:
    other = api.create("Contact", LastName="Neighbour")
    faults.arm(org.connection, "row_lock", record_id=contact, times=1)
    locked, free = opt_out(api, contact, other)
    assert row_error(locked) == LOCKED
    assert free == {"id": other, "success": True, "errors": []}
    assert api.read("Contact", contact)["HasOptedOutOfEmail"] is False


def test_under_all_or_none_a_locked_row_takes_the_others_along_once(api: Api, org: Org, contact: str) -> None:
    other = api.create("Contact", LastName="Neighbour")
    faults.arm(org.connection, "row_lock", record_id=contact, times=1)
    locked, undone = opt_out(api, contact, other, allOrNone=True)
    assert (row_error(locked), row_error(undone)) == (LOCKED, "ALL_OR_NONE_OPERATION_ROLLED_BACK")
    assert all(row["success"] for row in opt_out(api, contact, other, allOrNone=True))


def test_a_new_note_locks_the_person_it_hangs_on(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "row_lock", object="Note", record_id=contact, times=1)
    note = {"ParentId": contact, "Title": "Hello"}
    assert error(api.post("sobjects/Note", note)) == (400, LOCKED)
    assert api.patch(f"sobjects/Contact/{contact}", {"Title": "Dr"}).status_code == 204
    assert api.post("sobjects/Note", note).status_code == 201


def test_a_share_of_the_rows_is_locked(api: Api, org: Org) -> None:
    contacts = many(api, 200)
    faults.arm(org.connection, "row_lock", probability=0.1, seed=7)
    locked = [not row["success"] for row in opt_out(api, *contacts)]
    assert 8 <= sum(locked) <= 35
    assert [not row["success"] for row in opt_out(api, *contacts)] != locked


def test_a_share_of_the_records_is_locked_each_so_many_times(api: Api, org: Org) -> None:
    contacts = many(api, 200)
    faults.arm(org.connection, "row_lock", probability=0.1, times_per_record=2)
    first, second, third = ([not row["success"] for row in opt_out(api, *contacts)] for _ in range(3))
    assert 8 <= sum(first) <= 35
    assert first == second
    assert not any(third)


def test_a_trigger_can_fail_because_of_a_lock_or_of_anything_else(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "trigger_error", times=1)
    faults.arm(
        org.connection, "trigger_error", cause="System.LimitException: Too many SOQL queries: 101", trigger="Sync"
    )
    told = [opt_out(api, contact)[0]["errors"][0] for _ in range(2)]
    assert {each["statusCode"] for each in told} == {"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"}
    assert "first error: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access" in told[0]["message"]
    assert told[1]["message"].startswith("Sync: execution of AfterUpdate\n\ncaused by: System.LimitException: Too many")


def test_a_validation_rule_holds_for_one_object_and_not_for_deletion(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "validation_rule", object="Contact", message="Ask Sam first.", fields=["Email"])
    refused = api.patch(f"sobjects/Contact/{contact}", {"HasOptedOutOfEmail": True})
    assert refused.status_code == 400
    assert refused.json() == [
        {"message": "Ask Sam first.", "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["Email"]}
    ]
    assert error(api.post("sobjects/Contact", {"LastName": "New"})) == (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION")
    assert api.post("sobjects/Account", {"Name": "Acme"}).status_code == 201
    assert api.delete(f"sobjects/Contact/{contact}").status_code == 204


def test_what_is_wrong_in_itself_is_refused_for_that(api: Api, org: Org) -> None:
    faults.arm(org.connection, "validation_rule")
    assert error(api.post("sobjects/Contact", {"FirstName": "Nobody"})) == (400, "REQUIRED_FIELD_MISSING")


def test_a_duplicate_rule_names_the_other_record_to_a_single_call_only(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "duplicate_rule", object="Contact")
    (alone,) = api.post("sobjects/Contact", {"LastName": "Twin"}).json()
    assert (alone["errorCode"], alone["message"]) == ("DUPLICATES_DETECTED", "Use one of these records?")
    (match,) = alone["duplicateResult"]["matchResults"]
    assert match["matchRecords"][0]["record"]["Id"] == contact
    (together,) = opt_out(api, contact)
    assert together == {
        "success": False,
        "errors": [{"statusCode": "DUPLICATES_DETECTED", "message": "Use one of these records?", "fields": []}],
    }


def test_a_call_that_allows_duplicates_is_spared_the_rule(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "duplicate_rule")
    allowed = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    values = {"HasOptedOutOfEmail": True}
    assert api.patch(f"sobjects/Contact/{contact}", values, headers=allowed).status_code == 204
    assert error(api.patch(f"sobjects/Contact/{contact}", values)) == (400, "DUPLICATES_DETECTED")


def test_any_code_can_be_made_to_come_back(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "row_error", code="STORAGE_LIMIT_EXCEEDED", message="storage limit exceeded", status=403)
    assert error(api.delete(f"sobjects/Contact/{contact}")) == (403, "STORAGE_LIMIT_EXCEEDED")
    faults.clear(org.connection)
    faults.arm(org.connection, "row_error", operation="delete")
    assert row_error(api.delete("composite/sobjects", params={"ids": contact}).json()[0]) == "UNKNOWN_CODE"
    assert api.patch(f"sobjects/Contact/{contact}", {"Title": "Dr"}).status_code == 204


def test_in_a_graph_a_struck_row_undoes_its_graph_and_is_counted_once(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "row_lock", object="Note", times=1)
    root = f"{api.root}/sobjects"
    nodes = [
        {
            "method": "PATCH",
            "url": f"{root}/Contact/{contact}",
            "referenceId": "flag",
            "body": {"HasOptedOutOfEmail": True},
        },
        {
            "method": "POST",
            "url": f"{root}/Note",
            "referenceId": "note",
            "body": {"ParentId": contact, "Title": "Hello"},
        },
    ]

    def send() -> requests.Response:
        return api.post("composite/graph", {"graphs": [{"graphId": "p", "compositeRequest": nodes}]})

    assert send().json()["graphs"][0]["isSuccessful"] is False
    assert api.read("Contact", contact)["HasOptedOutOfEmail"] is False
    assert send().json()["graphs"][0]["isSuccessful"] is True


@pytest.mark.parametrize(("by", "expected"), [(-1, 1), (-2, 0), (1, 3)])
def test_a_collection_can_tell_a_wrong_number_of_results(
    api: Api, org: Org, contact: str, by: int, expected: int
) -> None:
    faults.arm(org.connection, "result_count", by=by, times=1)
    other = api.create("Contact", LastName="Neighbour")
    assert len(opt_out(api, contact, other)) == expected
    assert len(opt_out(api, contact, other)) == 2
    assert api.read("Contact", other)["HasOptedOutOfEmail"] is True


def test_what_people_do_in_the_organisations_own_pages_is_not_struck(api: Api, org: Org, contact: str) -> None:
    faults.arm(org.connection, "row_lock")
    admin.edit(org.administrator(), contact, {"Title": "Dr"})
    assert api.read("Contact", contact)["Title"] == "Dr"
