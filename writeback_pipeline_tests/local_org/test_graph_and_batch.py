"""Graphs, each a transaction of its own in one counted call; and batches, whose requests share nothing."""

from typing import Any
from urllib.parse import quote

import pytest

from writeback_pipeline_tests.local_org.support import Api, Org, error


def node(name: str, path: str = "sobjects/Account", method: str = "POST", **body: Any) -> dict[str, Any]:
    return {"method": method, "url": f"/services/data/v67.0/{path}", "referenceId": name, "body": body}


def graph(graph_id: str, *nodes: dict[str, Any]) -> dict[str, Any]:
    return {"graphId": graph_id, "compositeRequest": list(nodes)}


def send(api: Api, *graphs: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.post("composite/graph", {"graphs": list(graphs)})
    assert answer.status_code == 200, answer.text
    told: list[dict[str, Any]] = answer.json()["graphs"]
    return told


def responses(told: dict[str, Any]) -> list[dict[str, Any]]:
    inner: list[dict[str, Any]] = told["graphResponse"]["compositeResponse"]
    return inner


def person(name: str) -> dict[str, Any]:
    return graph(
        name,
        node("person", "sobjects/Contact", LastName=name),
        node("note", "sobjects/Note", ParentId="@{person.id}", Title="unsubscribed"),
    )


def test_a_graph_makes_a_person_and_the_note_together(api: Api) -> None:
    (told,) = send(api, person("Pair"))
    assert (told["graphId"], told["isSuccessful"]) == ("Pair", True)
    made, noted = responses(told)
    assert (made["httpStatusCode"], made["referenceId"]) == (201, "person")
    assert made["httpHeaders"]["Location"].endswith(made["body"]["id"])
    assert api.read("Note", noted["body"]["id"])["ParentId"] == made["body"]["id"]


def test_a_failed_graph_leaves_nothing_and_the_others_alone(api: Api) -> None:
    bad = graph("bad", node("a", Name="Left behind"), node("b", "sobjects/Contact"), node("c", Name="Left behind"))
    told = send(api, person("First"), bad, person("Second"))
    assert [each["isSuccessful"] for each in told] == [True, False, True]
    halted, culprit, never = responses(told[1])
    for each in (halted, never):
        assert each["httpStatusCode"] == 400
        assert each["body"][0]["errorCode"] == "PROCESSING_HALTED"
    assert culprit["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert api.query("SELECT Id FROM Account WHERE Name = 'Left behind'") == []
    assert len(api.query("SELECT Id FROM Contact WHERE LastName IN ('First', 'Second')")) == 2


def test_after_fourteen_failures_the_rest_is_not_tried(api: Api) -> None:
    failing = [graph(f"f{number}", node("a", "sobjects/Contact")) for number in range(14)]
    told = send(api, *failing, person("Too late"))
    assert [each["isSuccessful"] for each in told] == [False] * 15
    assert responses(told[13])[0]["body"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert [each["body"][0]["errorCode"] for each in responses(told[14])] == ["PROCESSING_HALTED"] * 2
    assert api.query("SELECT Id FROM Contact WHERE LastName = 'Too late'") == []


def test_seventy_five_people_cost_one_call(api: Api) -> None:
    before = api.get("limits").json()["DailyApiRequests"]["Remaining"]
    told = send(api, *(person(f"Person {number}") for number in range(75)))
    assert all(each["isSuccessful"] for each in told)
    assert api.get("limits").json()["DailyApiRequests"]["Remaining"] == before - 2


def test_an_update_inside_a_graph_has_no_body(api: Api) -> None:
    contact = api.create("Contact", LastName="x")
    (told,) = send(api, graph("g", node("flag", f"sobjects/Contact/{contact}", "PATCH", HasOptedOutOfEmail=True)))
    assert responses(told)[0]["httpStatusCode"] == 204
    assert api.read("Contact", contact)["HasOptedOutOfEmail"] is True


def chain(length: int) -> dict[str, Any]:
    nodes = [node("n0", Name="x")]
    nodes += [node(f"n{number}", Name="x", ParentId=f"@{{n{number - 1}.id}}") for number in range(1, length)]
    return graph("chain", *nodes)


def test_fifteen_generations_are_the_deepest(api: Api) -> None:
    assert send(api, chain(15))[0]["isSuccessful"]
    assert error(api.post("composite/graph", {"graphs": [chain(16)]})) == (400, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    ("graphs", "code"),
    [
        ([graph(str(number), node("a", Name="x")) for number in range(76)], "LIMIT_EXCEEDED"),
        ([graph(str(place), *(node(f"n{number}", Name="x") for number in range(251))) for place in range(2)],
         "LIMIT_EXCEEDED"),
        ([graph("a", *(node(f"n{number}", f"sobjects/Kind{number}") for number in range(16)))], "LIMIT_EXCEEDED"),
        ([graph("a", node("a", Name="x")), graph("a", node("a", Name="x"))], "INVALID_INPUT"),
        ([graph("a", node("a", "composite/sobjects", records=[]))], "INVALID_INPUT"),
        ([graph("a", node("a", "query?q=SELECT+Id+FROM+Contact", "GET"))], "INVALID_INPUT"),
        ([graph("a")], "JSON_PARSER_ERROR"),
        ([], "JSON_PARSER_ERROR"),
        (["x"], "JSON_PARSER_ERROR"),
    ],
)  # fmt: skip
def test_graphs_beyond_the_limits_are_refused_whole(api: Api, graphs: list[Any], code: str) -> None:
    assert error(api.post("composite/graph", {"graphs": graphs})) == (400, code)


def batch(api: Api, *requests: dict[str, Any], halt: bool = False) -> dict[str, Any]:
    answer = api.post("composite/batch", {"haltOnError": halt, "batchRequests": list(requests)})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_batch_answers_each_request_for_itself(api: Api) -> None:
    told = batch(
        api,
        {"method": "GET", "url": "v67.0/limits"},
        {"method": "POST", "url": "v67.0/sobjects/Account", "richInput": {"Name": "From a batch"}},
        {"method": "POST", "url": "/services/data/v67.0/sobjects/Contact", "richInput": {}},
        {"method": "GET", "url": "v67.0/query?q=SELECT+Name+FROM+Account+WHERE+Name='From+a+batch'"},
    )
    assert told["hasErrors"] is True
    assert [each["statusCode"] for each in told["results"]] == [200, 201, 400, 200]
    assert told["results"][0]["result"]["DailyApiRequests"]["Max"] == 100_000
    assert told["results"][2]["result"][0]["errorCode"] == "REQUIRED_FIELD_MISSING"
    assert told["results"][3]["result"]["totalSize"] == 1


def test_every_request_of_a_batch_is_counted(api: Api) -> None:
    before = api.get("limits").json()["DailyApiRequests"]["Remaining"]
    batch(api, *[{"method": "GET", "url": "v67.0/sobjects/Contact"}] * 10)
    assert api.get("limits").json()["DailyApiRequests"]["Remaining"] == before - 11


def test_a_batch_that_meets_the_daily_limit_fails_from_there(api: Api, org: Org) -> None:
    used = 100_000 - api.get("limits").json()["DailyApiRequests"]["Remaining"]
    org.set(daily_api_requests=used + 2)
    told = batch(api, *[{"method": "GET", "url": "v67.0/sobjects/Contact"}] * 3)
    assert [each["statusCode"] for each in told["results"]] == [200, 200, 403]


def test_a_query_may_be_longer_than_an_address_but_not_endless(api: Api) -> None:
    long = "SELECT Id FROM Contact WHERE LastName IN (" + ",".join(f"'{number:04}'" for number in range(3_000)) + ")"
    endless = long + " " * 100_000
    told = batch(api, *({"method": "GET", "url": f"v67.0/query?q={quote(text)}"} for text in (long, endless)))
    assert [each["statusCode"] for each in told["results"]] == [200, 400]


def test_a_batch_can_stop_at_the_first_failure(api: Api) -> None:
    bad = {"method": "GET", "url": "v67.0/sobjects/Nothing"}
    told = batch(api, bad, {"method": "GET", "url": "v67.0/limits"}, halt=True)
    assert [each["statusCode"] for each in told["results"]] == [404, 412]
    assert told["results"][1]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"


def test_a_batch_takes_twenty_five(api: Api) -> None:
    many = [{"method": "GET", "url": "v67.0/limits"}] * 26
    assert error(api.post("composite/batch", {"batchRequests": many})) == (400, "LIMIT_EXCEEDED")
    assert error(api.post("composite/batch", {"batchRequests": []})) == (400, "JSON_PARSER_ERROR")
