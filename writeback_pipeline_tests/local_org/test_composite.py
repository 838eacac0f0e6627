"""Composite calls: references, dependants, what all-or-none undoes, what it costs, and what it does not take."""

from typing import Any

import pytest

from writeback_pipeline_tests.local_org.support import Api, Org

ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


def sub(method: str, path: str, name: str, body: Any = None, **more: Any) -> dict[str, Any]:
    return {"method": method, "url": f"/services/data/v67.0/{path}", "referenceId": name, "body": body, **more}


def send(api: Api, *subrequests: dict[str, Any], all_or_none: bool = False) -> list[dict[str, Any]]:
    answer = api.post("composite", {"allOrNone": all_or_none, "compositeRequest": list(subrequests)})
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["compositeResponse"]
    assert [each["referenceId"] for each in told] == [each["referenceId"] for each in subrequests]
    return told


def statuses(told: list[dict[str, Any]]) -> list[int]:
    return [each["httpStatusCode"] for each in told]


def contact(name: str) -> dict[str, Any]:
    return {"attributes": {"type": "Contact"}, "LastName": name}


def named(api: Api, name: str) -> list[dict[str, Any]]:
    return api.query(f"SELECT Id FROM Contact WHERE LastName = '{name}'")


def test_later_requests_build_on_the_answers_of_earlier_ones(api: Api) -> None:
    told = send(
        api,
        sub("POST", "sobjects/Account", "company", {"Name": "Acme"}),
        sub("POST", "sobjects/Contact", "person", {"LastName": "Ng", "AccountId": "@{company.id}"}),
        sub("GET", "query?q=SELECT+Id,Name+FROM+Contact+WHERE+AccountId='@{company.id}'", "found"),
        sub("POST", "sobjects/Note", "note", {"ParentId": "@{found.records[0].Id}", "Title": "for @{found.totalSize}"}),
        sub("GET", "sobjects/Contact/@{person.id}", "shown"),
        sub("POST", "composite/sobjects", "more", {"records": [contact("Many")]}),
        sub("DELETE", "sobjects/Contact/@{more[0].id}", "gone"),
    )
    assert statuses(told) == [201, 201, 200, 201, 200, 200, 204]
    assert told[0]["httpHeaders"]["Location"].endswith(told[0]["body"]["id"])
    assert told[6] == {"body": None, "httpHeaders": {}, "httpStatusCode": 204, "referenceId": "gone"}
    note = api.read("Note", told[3]["body"]["id"])
    assert (note["ParentId"], note["Title"]) == (told[1]["body"]["id"], "for 1")
    assert told[4]["body"]["AccountId"] == told[0]["body"]["id"]


def test_a_call_is_counted_once_whatever_it_carries(api: Api) -> None:
    before = api.get("limits").json()["DailyApiRequests"]["Remaining"]
    send(api, *(sub("GET", "sobjects/Contact/describe", f"d{number}") for number in range(25)))
    assert api.get("limits").json()["DailyApiRequests"]["Remaining"] == before - 2


def test_without_all_or_none_a_failure_stops_only_its_dependants(api: Api) -> None:
    told = send(
        api,
        sub("POST", "sobjects/Contact", "bad", {}),
        sub("POST", "sobjects/Note", "dependant", {"ParentId": "@{bad.id}", "Title": "x"}),
        sub("POST", "sobjects/Note", "second", {"ParentId": "@{dependant.id}", "Title": "x"}),
        sub("POST", "sobjects/Contact", "good", {"LastName": "Stays"}),
    )
    assert statuses(told) == [400, 400, 400, 201]
    assert told[0]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    message = "Execution halted as previous operation (bad) was not successful."
    assert told[1]["body"] == [{"errorCode": "PROCESSING_HALTED", "message": message}]
    assert "(dependant)" in told[2]["body"][0]["message"]
    assert len(named(api, "Stays")) == 1


@pytest.mark.parametrize("reference", ["found.records[0].Id", "found.nothing", "nowhere.id", "found.records"])
def test_a_reference_to_nothing_is_refused(api: Api, reference: str) -> None:
    told = send(
        api,
        sub("GET", "query?q=SELECT+Id+FROM+Contact+WHERE+LastName='Nobody'", "found"),
        sub("POST", "sobjects/Note", "note", {"ParentId": f"@{{{reference}}}", "Title": "x"}),
    )
    assert statuses(told) == [200, 400]
    (refusal,) = told[1]["body"]
    assert refusal["errorCode"] == "PROCESSING_HALTED"
    start = f"Invalid reference specified. No value for {reference} found in {reference.split('.')[0]}."
    assert refusal["message"].startswith(start)


def test_all_or_none_undoes_everything_and_says_so(api: Api) -> None:
    told = send(
        api,
        sub("POST", "sobjects/Contact", "one", {"LastName": "Undone"}),
        sub("GET", "query?q=SELECT+Id+FROM+Contact+LIMIT+1", "query"),
        sub("POST", "sobjects/Contact", "bad", {}),
        sub("POST", "sobjects/Contact", "never", {"LastName": "Undone"}),
        all_or_none=True,
    )
    assert statuses(told) == [400, 400, 400, 400]
    for place in (0, 1, 3):
        assert told[place]["body"] == [{"errorCode": "PROCESSING_HALTED", "message": ROLLED_BACK}]
    assert told[2]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert named(api, "Undone") == []


def test_all_or_none_keeps_everything_when_all_goes_well(api: Api) -> None:
    told = send(
        api,
        sub("POST", "composite/sobjects", "rows", {"records": [contact("Kept"), contact("Kept")]}),
        sub("POST", "sobjects/Contact", "one", {"LastName": "Kept"}),
        sub("POST", "composite/sobjects/Contact", "read", {"ids": ["@{one.id}", "@{rows[0].id}"], "fields": ["Id"]}),
        all_or_none=True,
    )
    assert statuses(told) == [200, 201, 200]
    assert [row["Id"] for row in told[2]["body"]] == [told[1]["body"]["id"], told[0]["body"][0]["id"]]
    assert len(named(api, "Kept")) == 3


def test_rows_of_an_earlier_collection_still_read_as_written_although_they_are_undone(api: Api) -> None:
    told = send(
        api,
        sub("POST", "composite/sobjects", "rows", {"records": [contact("Ghost"), contact("Ghost")]}),
        sub("POST", "sobjects/Contact", "bad", {}),
        all_or_none=True,
    )
    assert statuses(told) == [200, 400]
    assert [row["success"] for row in told[0]["body"]] == [True, True]
    assert named(api, "Ghost") == []
    assert api.get(f"sobjects/Contact/{told[0]['body'][0]['id']}").status_code == 404


@pytest.mark.parametrize(
    ("outer", "inner", "left"), [(False, False, 2), (False, True, 1), (True, True, 0), (True, False, 0)]
)
def test_the_outer_and_the_inner_all_or_none_work_together(api: Api, outer: bool, inner: bool, left: int) -> None:
    name = f"Pair {outer} {inner}"
    told = send(
        api,
        sub("POST", "composite/sobjects", "rows", {"allOrNone": inner, "records": [contact(name), contact("")]}),
        sub("POST", "sobjects/Contact", "after", {"LastName": name}),
        all_or_none=outer,
    )
    assert statuses(told) == [200, 400 if outer else 201]
    assert [row["success"] for row in told[0]["body"]] == [not inner, False]
    assert len(named(api, name)) == left


def test_an_undone_id_is_not_given_to_anybody_else(api: Api) -> None:
    told = send(
        api,
        sub("POST", "composite/sobjects", "rows", {"records": [contact("Ghost")]}),
        sub("POST", "sobjects/Contact", "bad", {}),
        all_or_none=True,
    )
    assert api.create("Contact", LastName="Later") != told[0]["body"][0]["id"]


def test_twenty_five_requests_are_the_most(api: Api) -> None:
    many = [sub("GET", "sobjects/Contact", f"s{number}") for number in range(26)]
    answer = api.post("composite", {"compositeRequest": many})
    assert answer.status_code == 400
    (refused,) = answer.json()["compositeResponse"]
    assert refused["body"][0]["errorCode"] == "LIMIT_EXCEEDED"
    assert (refused["httpStatusCode"], refused["referenceId"]) == (400, None)
    assert len(send(api, *many[:25])) == 25


def test_five_queries_or_collections_are_the_most(api: Api) -> None:
    query = "query?q=SELECT+Id+FROM+Contact+LIMIT+1"
    heavy = [
        sub("GET", query, "q1"),
        sub("GET", query.replace("query", "queryAll"), "q2"),
        sub("POST", "composite/sobjects", "c1", {"records": [contact("x")]}),
        sub("POST", "composite/sobjects/Contact", "c2", {"ids": ["x"], "fields": ["Id"]}),
        sub("PATCH", "composite/sobjects/Task/Writeback_Key__c", "c3", {"records": [{}]}),
    ]
    assert statuses(send(api, *heavy)) == [200] * 5
    answer = api.post("composite", {"compositeRequest": [*heavy, sub("GET", query, "q3")]})
    assert answer.status_code == 400


def test_only_records_queries_and_collections_can_be_asked_for(api: Api) -> None:
    told = send(api, sub("GET", "limits", "a"), sub("POST", "composite", "b", {}), sub("POST", "composite/graph", "c"))
    assert statuses(told) == [400, 400, 400]


def test_headers_of_the_call_are_not_headers_of_its_requests(api: Api, org: Org) -> None:
    sales = api.query("SELECT Id FROM User WHERE Username = 'sales@local.example'")[0]["Id"]
    leads = [api.create("Lead", LastName="x", Company="y") for _ in range(2)]
    org.set(lead_assignment_owner=sales)
    change = {"HasOptedOutOfEmail": True}
    body = {
        "compositeRequest": [
            sub("PATCH", f"sobjects/Lead/{leads[0]}", "without", change),
            sub("PATCH", f"sobjects/Lead/{leads[1]}", "with", change, httpHeaders={"Sforce-Auto-Assign": "FALSE"}),
        ]
    }
    api.post("composite", body, headers={"Sforce-Auto-Assign": "FALSE"})
    assert api.read("Lead", leads[0])["OwnerId"] == sales
    assert api.read("Lead", leads[1])["OwnerId"] != sales


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"compositeRequest": []},
        {"compositeRequest": ["x"]},
        {"compositeRequest": [{"method": "GET", "url": "/services/data/v67.0/sobjects"}]},
        {"compositeRequest": [sub("GET", "sobjects", "a"), sub("GET", "sobjects", "a")]},
        {"compositeRequest": [sub("GET", "sobjects", "not ok")]},
        {"compositeRequest": [sub("GET", "sobjects", "a", httpHeaders={"Authorization": "x"})]},
    ],
)
def test_a_call_of_another_shape_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.post("composite", body).status_code == 400


def test_a_thousand_changes_go_in_one_call(api: Api) -> None:
    made = [
        row["id"]
        for _ in range(5)
        for row in api.post("composite/sobjects", {"records": [contact("Thousand")] * 200}).json()
    ]
    chunks = [made[start : start + 200] for start in range(0, 1000, 200)]
    told = send(
        api,
        *(
            sub("PATCH", "composite/sobjects", f"chunk{place}", {
                "records": [{"attributes": {"type": "Contact"}, "id": each, "HasOptedOutOfEmail": True}
                            for each in chunk]})
            for place, chunk in enumerate(chunks)
        ),
    )  # fmt: skip
    assert [row["id"] for each in told for row in each["body"]] == made
    counted = api.get("query", params={"q": "SELECT COUNT() FROM Contact WHERE HasOptedOutOfEmail = true"}).json()
    assert counted["totalSize"] == 1000


def test_an_unknown_version_or_resource_inside_is_told_inside(api: Api) -> None:
    wrong = {"method": "GET", "url": "/services/data/v99.0/sobjects/Contact", "referenceId": "a"}
    told = send(api, wrong, sub("GET", "sobjects/Nothing/describe", "b"), sub("PUT", "sobjects/Contact", "c"))
    assert statuses(told) == [404, 404, 405]
