"""Versions, limits, the call counter, and how the API answers what it does not understand."""

import pytest
import requests

from writeback_pipeline.local_org import usage
from writeback_pipeline_tests.local_org.support import Api, Org, error


def calls(answer: requests.Response) -> int:
    """The calls used so far, as the header tells them."""
    return int(answer.headers["Sforce-Limit-Info"].removeprefix("api-usage=").split("/")[0])


def test_versions_are_told_to_everybody_and_cost_nothing(api: Api) -> None:
    answer = requests.get(f"{api.url}/services/data", timeout=30)
    versions = answer.json()
    assert versions[0] == {"label": "Summer '14", "url": "/services/data/v31.0", "version": "31.0"}
    assert versions[28] == {"label": "Winter '24", "url": "/services/data/v59.0", "version": "59.0"}
    assert versions[-1] == {"label": "Summer '26", "url": "/services/data/v67.0", "version": "67.0"}
    assert "Sforce-Limit-Info" not in answer.headers


@pytest.mark.parametrize(
    ("version", "outcome"),
    [("21.0", (410, "GONE")), ("30.0", (410, "GONE")), ("20.0", (404, "NOT_FOUND")), ("68.0", (404, "NOT_FOUND")),
     ("67.5", (404, "NOT_FOUND")), ("x", (404, "NOT_FOUND"))],
)  # fmt: skip
def test_versions_out_of_range_are_refused(api: Api, version: str, outcome: tuple[int, str]) -> None:
    api.version = version
    assert error(api.get("limits")) == outcome


@pytest.mark.parametrize("version", ["31.0", "45.0", "67.0"])
def test_every_version_in_range_answers_with_its_own_addresses(api: Api, version: str) -> None:
    api.version = version
    resources = api.get("").json()
    assert resources["sobjects"] == f"/services/data/v{version}/sobjects"
    assert resources["identity"].startswith("https://login.salesforce.com/id/00D")


def test_each_call_is_counted_and_told(api: Api) -> None:
    before = calls(api.get("limits"))
    answer = api.get("sobjects")
    assert calls(answer) == before + 1
    assert answer.headers["Sforce-Limit-Info"].endswith("/100000")
    limits = api.get("limits").json()
    assert limits["DailyApiRequests"] == {"Max": 100_000, "Remaining": 100_000 - before - 2}


def test_a_refused_request_is_counted_but_an_unknown_caller_is_not(api: Api) -> None:
    before = calls(api.get("limits"))
    assert calls(api.get("sobjects/Nothing")) == before + 1
    requests.get(f"{api.url}{api.root}/limits", timeout=30)
    assert calls(api.get("limits")) == before + 2


def test_at_the_limit_every_call_is_refused_until_the_window_has_rolled_on(api: Api, org: Org) -> None:
    used = calls(api.get("limits"))
    org.set(daily_api_requests=used + 2)
    assert api.get("limits").json()["DailyApiRequests"]["Remaining"] == 1
    assert api.get("limits").status_code == 200
    refused = api.get("limits")
    assert refused.status_code == 403
    assert refused.json() == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    org.clock.now += 24 * 3600
    api.sign_in()
    assert calls(api.get("limits")) == 1


def test_calls_of_other_integrations_count_too(api: Api, org: Org) -> None:
    before = calls(api.get("limits"))
    usage.add(org.connection, 500, org.clock())
    assert calls(api.get("limits")) == before + 501


@pytest.mark.parametrize("path", ["nothing", "sobjects/Nothing", "sobjects/Nothing/describe", "sobjects/Contact/a/b/c"])
def test_an_unknown_resource_is_not_found(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert answer.json() == [{"message": "The requested resource does not exist", "errorCode": "NOT_FOUND"}] or (
        "Provided external ID field" in answer.text
    )


def test_a_wrong_method_is_told_the_right_ones(api: Api) -> None:
    answer = api.call("PUT", "sobjects/Contact")
    assert error(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.json()[0]["message"] == "HTTP Method 'PUT' not allowed. Allowed are GET,POST"


@pytest.mark.parametrize("body", [b"{", b"[1,", b'{"LastName": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_is_refused(api: Api, body: bytes) -> None:
    answer = api.call("POST", "sobjects/Contact", data=body, headers={"Content-Type": "application/json"})
    assert error(answer) == (400, "JSON_PARSER_ERROR")


def test_a_body_of_another_type_is_refused(api: Api) -> None:
    answer = api.call("POST", "sobjects/Contact", data="a,b", headers={"Content-Type": "text/csv"})
    assert error(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("body", [None, [], "text", 7])
def test_a_record_must_be_an_object(api: Api, body: object) -> None:
    assert error(api.post("sobjects/Contact", body)) == (400, "JSON_PARSER_ERROR")


def test_an_address_that_is_too_long_is_answered_in_html(api: Api) -> None:
    answer = api.get("query", params={"q": "SELECT Id FROM Contact" + " " * 17_000})
    assert answer.status_code == 414
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "URI Too Long" in answer.text


def test_answers_are_utf_8_json_that_nobody_caches(api: Api) -> None:
    answer = api.get("limits")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert "no-store" in answer.headers["Cache-Control"]
    assert answer.headers["Server"] == "sfdcedge"


def test_a_trailing_slash_changes_nothing(api: Api) -> None:
    assert api.get("sobjects/Contact/describe/").json() == api.get("sobjects/Contact/describe").json()
