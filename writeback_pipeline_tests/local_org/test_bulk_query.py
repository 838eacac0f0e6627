"""Query jobs: the result as CSV, page by page."""

import csv
import io

import pytest
import requests

from writeback_pipeline_tests.local_org.bulk_support import contacts, finish, told
from writeback_pipeline_tests.local_org.support import Api, Org, error


def start(api: Api, query: str, operation: str = "query", **more: str) -> str:
    answer = api.post("jobs/query", {"operation": operation, "query": query, **more})
    assert answer.status_code == 200, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def page(api: Api, job_id: str, **params: str | int) -> requests.Response:
    answer = api.get(f"jobs/query/{job_id}/results", params=params)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv"), answer.text
    return answer


def rows(answer: requests.Response) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer.content.decode(), newline="")))


def test_rows_come_in_the_order_of_the_query_as_quoted_text(api: Api) -> None:
    account = api.create("Account", Name='A "B", 🚀\nc', AnnualRevenue=5, NumberOfEmployees=7)
    for name, parent in (("One", account), ("Two", None)):
        api.create("Contact", LastName=name, AccountId=parent, Department="q")
    query = (
        "SELECT LastName, account.name, HasOptedOutOfEmail, Account.AnnualRevenue, Account.NumberOfEmployees, "
        "CreatedDate FROM Contact WHERE Department = 'q' ORDER BY LastName"
    )
    job_id = start(api, query)
    assert finish(api, job_id, "query")["numberRecordsProcessed"] == 2
    answer = page(api, job_id)
    header, one, two = rows(answer)
    assert header[:3] == ["LastName", "Account.Name", "HasOptedOutOfEmail"]
    assert one[:5] == ["One", 'A "B", 🚀\nc', "false", "5.0", "7"]
    assert two[:5] == ["Two", "", "false", "", ""]
    assert one[5] == "2026-11-23T09:00:00.000Z"
    assert answer.content.startswith(b'"LastName","Account.Name",')


def test_a_locator_leads_from_page_to_page(api: Api) -> None:
    made = contacts(api, 250)
    job_id = start(api, "SELECT Id FROM Contact WHERE LastName LIKE 'n%' ORDER BY Id")
    assert finish(api, job_id, "query")["state"] == "JobComplete"
    found: list[str] = []
    sizes, locator = [], ""
    while locator != "null":
        answer = page(api, job_id, maxRecords=100, locator=locator)
        header, *records = rows(answer)
        assert header == ["Id"]
        found += [record[0] for record in records]
        sizes.append(int(answer.headers["Sforce-NumberOfRecords"]))
        locator = answer.headers["Sforce-Locator"]
    assert (found, sizes) == (made, [100, 100, 50])
    assert error(api.get(f"jobs/query/{job_id}/results", params={"locator": "!"})) == (400, "INVALID_QUERY_LOCATOR")


def test_an_empty_result_has_a_header(api: Api) -> None:
    job_id = start(api, "SELECT Id, Name FROM Lead WHERE Name = 'nobody'", lineEnding="CRLF", columnDelimiter="TAB")
    finish(api, job_id, "query")
    answer = page(api, job_id)
    assert answer.content == b'"Id"\t"Name"\r\n'
    assert (answer.headers["Sforce-NumberOfRecords"], answer.headers["Sforce-Locator"]) == ("0", "null")


def test_the_recycle_bin_is_searched_only_when_that_is_asked_for(api: Api) -> None:
    gone = api.create("Contact", LastName="Gone", Department="bin")
    api.delete(f"sobjects/Contact/{gone}")
    query = "SELECT Id, IsDeleted FROM Contact WHERE Department = 'bin'"
    for operation, expected in (("query", []), ("queryAll", [[gone, "true"]])):
        job_id = start(api, query, operation)
        finish(api, job_id, "query")
        assert rows(page(api, job_id))[1:] == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT Nope FROM Contact", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FORM Contact", "MALFORMED_QUERY"),
        ("SELECT COUNT() FROM Contact", "FEATURENOTENABLED"),
        ("SELECT Id, (SELECT Id FROM Notes) FROM Contact", "FEATURENOTENABLED"),
        ("SELECT Id FROM Contact LIMIT 5 OFFSET 5", "FEATURENOTENABLED"),
    ],
)
def test_a_query_that_cannot_be_run_is_refused_at_once(api: Api, query: str, code: str) -> None:
    assert error(api.post("jobs/query", {"operation": "query", "query": query})) == (400, code)


def test_a_query_that_cannot_be_run_any_more_fails_its_job(api: Api, org: Org) -> None:
    org.set(bulk_seconds=60.0)
    job_id = start(api, "SELECT Id, Title FROM Contact")
    assert error(api.get(f"jobs/query/{job_id}/results")) == (400, "INVALIDJOBSTATE")
    org.set(hidden=frozenset({"Contact.Title"}), bulk_seconds=0.0)
    org.clock.now += 61
    job = finish(api, job_id, "query")
    assert job["state"] == "Failed"
    assert job["errorMessage"].startswith("InvalidBatch : Failed to process query: INVALID_FIELD")


def test_a_query_job_is_created_closed_and_can_be_aborted_and_deleted(api: Api, org: Org) -> None:
    org.set(bulk_seconds=60.0)
    job_id = start(api, "SELECT Id FROM Contact")
    assert told(api, job_id, "query")["state"] == "UploadComplete"
    assert error(api.patch(f"jobs/query/{job_id}", {"state": "UploadComplete"})) == (400, "INVALIDJOB")
    assert api.patch(f"jobs/query/{job_id}", {"state": "Aborted"}).json()["state"] == "Aborted"
    assert error(api.patch(f"jobs/query/{job_id}", {"state": "Aborted"})) == (400, "INVALIDJOBSTATE")
    assert api.delete(f"jobs/query/{job_id}").status_code == 204
    assert error(api.get(f"jobs/query/{job_id}")) == (404, "NOT_FOUND")
    assert error(api.post("jobs/query", {"operation": "insert", "query": "SELECT Id FROM Lead"})) == (400, "INVALIDJOB")
