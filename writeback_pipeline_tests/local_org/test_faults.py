"""Which faults can be armed, by whom, and which calls and rows they strike."""

from typing import Any

import pytest
import requests

from writeback_pipeline.local_org import faults, records
from writeback_pipeline.local_org.fault_kinds import KINDS
from writeback_pipeline_tests.local_org.support import Api, Org, error

TIMEOUT = 30


def desk(api: Api, method: str, path: str = "", **more: Any) -> requests.Response:
    return requests.request(method, f"{api.url}/local/faults{path}", timeout=TIMEOUT, **more)


def statuses(api: Api, number: int) -> list[int]:
    return [api.get("limits").status_code for _ in range(number)]


def test_faults_are_armed_listed_and_cleared_over_http(api: Api) -> None:
    armed = desk(api, "POST", json={"kind": "unavailable", "times": 2, "path": "limits"})
    assert armed.status_code == 201
    assert armed.json().items() >= {"kind": "unavailable", "times": 2, "remaining": 2, "html": True}.items()
    assert api.get("limits").status_code == 503
    told = desk(api, "GET").json()
    assert [fault["remaining"] for fault in told["faults"]] == [1]
    assert told["injected"] == {"unavailable": 1}
    assert desk(api, "DELETE", f"/{armed.json()['id']}").json() == {"cleared": 1}
    assert desk(api, "DELETE", f"/{armed.json()['id']}").status_code == 404
    assert api.get("limits").status_code == 200
    told = desk(api, "GET").json()
    assert (told["faults"], told["injected"]) == ([], {"unavailable": 1})
    assert desk(api, "DELETE").json() == {"cleared": 0}
    assert desk(api, "GET").json()["injected"] == {}


@pytest.mark.parametrize(
    "headers", [{"Host": "faults.example"}, {"Host": ""}, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
def test_neither_another_host_name_nor_a_web_page_reaches_the_faults(api: Api, headers: dict[str, str]) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert desk(api, method, headers=headers, json={"kind": "unavailable"}).status_code == 403


def test_a_form_post_arms_nothing(api: Api) -> None:
    for body in ({"data": '{"kind": "unavailable"}'}, {"json": ["unavailable"]}, {"json": {"times": 1}}):
        assert desk(api, "POST", **body).status_code == 400
    assert desk(api, "PUT").status_code == desk(api, "GET", "/1").status_code == 405
    assert desk(api, "GET").json()["faults"] == []


@pytest.mark.parametrize(
    ("described", "why"),
    [
        ({"kind": "earthquake"}, "there is no fault 'earthquake'; there are concurrent_limit, "),
        ({"kind": "slow", "object": "Contact"}, "slow has no option 'object'; it has every, method, path, "),
        ({"kind": "row_lock", "path": "x"}, "row_lock has no option 'path'"),
        ({"kind": "row_lock", "connection": "x"}, "row_lock has no option 'connection'"),
        ({"kind": "slow", "seconds": "2"}, "seconds is not '2' but a number"),
        ({"kind": "slow", "times": True}, "times is not True but of type int"),
        ({"kind": "slow", "probability": 1.5}, "probability from 0 to 1"),
        ({"kind": "slow", "every": 0}, "every is at least 1"),
        ({"kind": "slow", "path": "("}, "path is not a regular expression"),
        ({"kind": "row_lock", "record_id": "003"}, "record_id is not '003' but an id of 18 characters"),
        ({"kind": "row_lock", "object": "Kontakt"}, "there is no object 'Kontakt'; there are Organization, User, "),
        ({"kind": "row_lock", "operation": "upsert"}, "there is no operation 'upsert' here; there are create, "),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_with_a_reason(api: Api, described: dict[str, Any], why: str) -> None:
    answer = desk(api, "POST", json=described)
    assert answer.status_code == 400
    assert why in answer.json()["error"]


def test_the_kinds_are_told_with_what_they_do(api: Api) -> None:
    told = desk(api, "GET").json()["kinds"]
    assert told.keys() == KINDS.keys()
    assert told["slow"] == {
        "level": "call",
        "happens": "The work is done at once, but the answer takes long.",
        "does": "does the work, then holds the answer",
        "options": {"seconds": 1.0},
    }


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_armed_with_nothing_but_its_name(org: Org, kind: str) -> None:
    armed = faults.arm(org.connection, kind)
    assert (armed.kind, armed.options) == (kind, KINDS[kind].options)
    assert faults.armed(org.connection) == (armed,)


def test_a_fault_strikes_so_many_times_and_then_no_more(api: Api, org: Org) -> None:
    faults.arm(org.connection, "unavailable", times=2)
    assert statuses(api, 4) == [503, 503, 200, 200]


def test_a_fault_can_strike_every_so_many_th_call(api: Api, org: Org) -> None:
    faults.arm(org.connection, "unavailable", every=3)
    assert statuses(api, 6) == [200, 200, 503, 200, 200, 503]


def test_a_share_of_the_calls_is_drawn_from_a_seed(api: Api, org: Org) -> None:
    drawn = []
    for seed in (1, 1, 2):
        faults.clear(org.connection)
        faults.arm(org.connection, "unavailable", probability=0.4, seed=seed)
        drawn.append(statuses(api, 30))
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(4 <= each.count(503) <= 20 for each in drawn)


def test_a_fault_is_aimed_by_method_and_path(api: Api, org: Org) -> None:
    faults.arm(org.connection, "refusal", method="POST", path=r"/composite/sobjects$")
    faults.arm(org.connection, "unavailable", path=r"q=SELECT\+Name")
    assert error(api.post("composite/sobjects", {"records": []})) == (400, "UNKNOWN_CODE")
    assert error(api.patch("composite/sobjects", {"records": []})) == (400, "REQUIRED_FIELD_MISSING")
    assert api.get("query", params={"q": "SELECT Name FROM User"}).status_code == 503
    assert api.get("query", params={"q": "SELECT Id FROM User"}).status_code == 200


def test_signing_in_is_struck_only_when_it_is_aimed_at(api: Api, org: Org) -> None:
    faults.arm(org.connection, "unavailable")
    assert api.sign_in()
    assert requests.get(f"{api.url}/services/data", timeout=TIMEOUT).status_code == 200
    faults.arm(org.connection, "unavailable", path="oauth2/token")
    assert requests.post(f"{api.url}/services/oauth2/token", timeout=TIMEOUT).status_code == 503


def test_of_two_faults_the_one_armed_first_strikes_and_the_other_is_not_used_up(api: Api, org: Org) -> None:
    faults.arm(org.connection, "unavailable", times=1)
    faults.arm(org.connection, "daily_quota", times=1)
    assert statuses(api, 3) == [503, 403, 200]


def test_what_has_struck_stays_counted_when_its_transaction_is_undone(org: Org) -> None:
    fault = faults.arm(org.connection, "row_lock", times=1)
    org.connection.execute("BEGIN IMMEDIATE")

    def strike_in_vain() -> None:
        with records.atomic(org.connection):
            assert faults.strikes(org.connection, fault)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        strike_in_vain()
    org.connection.execute("COMMIT")
    assert faults.remaining(org.connection, fault) == 0
    assert not faults.strikes(org.connection, fault)
    assert faults.injected(org.connection) == {"row_lock": 1}


def test_clearing_one_fault_leaves_the_counts_of_the_others(org: Org) -> None:
    kept, cleared = (faults.arm(org.connection, "slow", times=5) for _ in range(2))
    assert faults.strikes(org.connection, kept)
    assert faults.clear(org.connection, cleared.id) == 1
    assert faults.remaining(org.connection, kept) == 4
    assert faults.arm(org.connection, "slow").id > cleared.id
