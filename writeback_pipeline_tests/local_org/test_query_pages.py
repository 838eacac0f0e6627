"""Pages of a query: sizes, addresses, and that what was found stays found while somebody reads on."""

from typing import Any

import pytest
import requests

from writeback_pipeline.local_org import server
from writeback_pipeline_tests.local_org.support import Api, Org, error

ROWS = 4_100


@pytest.fixture(scope="module")
def _accounts(_running: tuple[str, Org]) -> None:
    api = Api(_running[0])
    api.sign_in()
    for start in range(0, ROWS, 200):
        numbers = range(start, min(start + 200, ROWS))
        records = [
            {"attributes": {"type": "Account"}, "Name": f"Account {number:05}", "Description": "long"}
            for number in numbers
        ]
        api.post("composite/sobjects", {"records": records})
    api.http.close()


@pytest.fixture
def paged(api: Api, _accounts: None) -> Api:
    return api


def pages(api: Api, soql: str, **more: Any) -> list[dict[str, Any]]:
    answer = api.get("query", params={"q": soql}, **more).json()
    told = [answer]
    while not answer["done"]:
        answer = api.http.get(api.url + answer["nextRecordsUrl"], timeout=30).json()
        told.append(answer)
    return told


def test_large_results_come_in_pages_of_two_thousand(paged: Api) -> None:
    told = pages(paged, "SELECT Id, Name FROM Account ORDER BY Name")
    assert [len(page["records"]) for page in told] == [2000, 2000, 100]
    assert [page["totalSize"] for page in told] == [ROWS] * 3
    assert [page["done"] for page in told] == [False, False, True]
    assert "nextRecordsUrl" not in told[2]
    names = [record["Name"] for page in told for record in page["records"]]
    assert names == [f"Account {number:05}" for number in range(ROWS)]


def test_the_address_of_the_next_page_names_its_offset(paged: Api) -> None:
    first = paged.get("query", params={"q": "SELECT Id FROM Account"}).json()["nextRecordsUrl"]
    assert first.startswith("/services/data/v67.0/query/0r8")
    assert first.endswith("-2000")
    second = paged.http.get(paged.url + first, timeout=30).json()["nextRecordsUrl"]
    assert second == first.replace("-2000", "-4000")


def test_pages_shrink_when_a_long_text_is_among_the_fields(paged: Api) -> None:
    told = pages(paged, "SELECT Id, Description FROM Account")
    assert [len(page["records"]) for page in told] == [1000] * 4 + [100]


@pytest.mark.parametrize(("asked", "size"), [("200", 200), ("500", 500), ("50", 200), ("9999", 2000), ("x", 2000)])
def test_a_client_may_ask_for_smaller_pages(paged: Api, asked: str, size: int) -> None:
    option = {"Sforce-Query-Options": f"batchSize={asked}"}
    answer = paged.get("query", params={"q": "SELECT Id FROM Account"}, headers=option).json()
    assert len(answer["records"]) == size


def test_what_was_found_stays_while_the_records_change(paged: Api) -> None:
    soql = "SELECT Id, Name FROM Account WHERE Name >= 'Account 02000' ORDER BY Name"
    first = paged.get("query", params={"q": soql}).json()
    last = paged.query("SELECT Id FROM Account WHERE Name = 'Account 04099'")[0]["Id"]
    paged.patch(f"sobjects/Account/{last}", {"Name": "Changed"})
    rest = paged.http.get(paged.url + first["nextRecordsUrl"], timeout=30).json()
    assert [record["Name"] for record in rest["records"]][-1] == "Account 04099"
    paged.patch(f"sobjects/Account/{last}", {"Name": "Account 04099"})


def test_another_server_can_go_on_with_the_next_page(paged: Api, org: Org) -> None:
    first = paged.get("query", params={"q": "SELECT Id FROM Account"}).json()
    with server.run_in_thread(org.organisation.database, clock=org.clock) as other:
        answer = paged.http.get(other.url + first["nextRecordsUrl"], timeout=30)
    assert len(answer.json()["records"]) == 2000


def test_a_page_is_kept_for_a_quarter_of_an_hour(paged: Api, org: Org) -> None:
    address = paged.url + paged.get("query", params={"q": "SELECT Id FROM Account"}).json()["nextRecordsUrl"]
    org.clock.now += 901
    assert error(paged.http.get(address, timeout=30)) == (400, "INVALID_QUERY_LOCATOR")


def test_an_invented_address_is_refused(paged: Api) -> None:
    assert error(paged.get("query/0r8xx5R2yF2gs3VASQ-2000")) == (400, "INVALID_QUERY_LOCATOR")


def test_every_page_is_a_call(paged: Api) -> None:
    def used(answer: requests.Response) -> int:
        return int(answer.headers["Sforce-Limit-Info"].split("=")[1].split("/")[0])

    before = used(paged.get("limits"))
    pages(paged, "SELECT Id FROM Account")
    assert used(paged.get("limits")) == before + 4


def test_a_count_has_a_total_and_no_records(paged: Api) -> None:
    told = paged.get("query", params={"q": "SELECT COUNT() FROM Account"}).json()
    assert told == {"totalSize": ROWS, "done": True, "records": []}


def test_deleted_records_are_found_by_query_all_only(paged: Api) -> None:
    gone = paged.create("Account", Name="Gone")
    paged.delete(f"sobjects/Account/{gone}")
    soql = "SELECT Id, IsDeleted FROM Account WHERE Name = 'Gone'"
    assert paged.query(soql) == []
    (found,) = paged.query(soql, "queryAll")
    assert found["IsDeleted"] is True


@pytest.mark.parametrize("query", [None, "", "SELECT", "SELECT Id FROM Nothing", "x" * 15_000])
def test_what_is_no_query_is_refused(paged: Api, query: str | None) -> None:
    assert paged.get("query", params={"q": query} if query is not None else None).status_code == 400
