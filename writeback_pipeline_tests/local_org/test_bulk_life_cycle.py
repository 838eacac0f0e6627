"""Ingest jobs from their creation to their end: data, states, what is refused on the way, and the list of jobs."""

import http.client
from typing import Any

import pytest
import requests

from writeback_pipeline_tests.local_org.bulk_support import (
    CSV,
    close,
    counters,
    create,
    finish,
    results,
    run,
    start,
    table,
    told,
    upload,
)
from writeback_pipeline_tests.local_org.support import Api, Org, error

ODD = 'Zoë "Z", 🚀\nsecond line\u202e'


def test_a_job_waits_for_its_time_and_for_being_asked_about(api: Api, org: Org) -> None:
    org.set(bulk_seconds=60.0, bulk_polls=2)
    job_id = start(api, "Account", "insert", "Name\nLater\n")
    assert [told(api, job_id)["state"] for _ in range(3)] == ["UploadComplete"] * 3
    org.clock.now += 61
    assert counters(finish(api, job_id)) == ("JobComplete", 1, 0)


def test_an_aborted_job_does_nothing_more(api: Api, org: Org) -> None:
    org.set(bulk_seconds=60.0)
    job_id = start(api, "Account", "insert", "Name\nNever\n")
    assert api.patch(f"jobs/ingest/{job_id}", {"state": "Aborted"}).json()["state"] == "Aborted"
    org.clock.now += 61
    job = finish(api, job_id)
    assert counters(job) == ("Aborted", 0, 0)
    assert [row["Name"] for row in results(api, job, "unprocessedrecords")] == ["Never"]


def test_a_job_takes_its_data_once_and_only_while_it_is_open(api: Api) -> None:
    job_id = create(api, "Account", "insert")
    assert upload(api, job_id, "Name\nOnce\n").status_code == 201
    twice = upload(api, job_id, "Name\nTwice\n")
    assert error(twice) == (400, "CLIENTINPUTERROR")
    assert twice.json()[0]["message"].startswith(f"Found multiple contents for job: <{job_id[:15]}>")
    assert close(api, job_id).status_code == 200
    finish(api, job_id)
    assert error(upload(api, job_id, "Name\nLate\n")) == (400, "INVALIDJOBSTATE")


def test_states_that_a_job_cannot_go_to_are_refused(api: Api) -> None:
    open_job = create(api, "Account", "insert")
    for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
        assert error(api.get(f"jobs/ingest/{open_job}/{kind}")) == (400, "INVALIDJOBSTATE")
    assert error(api.delete(f"jobs/ingest/{open_job}")) == (400, "INVALIDJOBSTATE")
    assert error(api.patch(f"jobs/ingest/{open_job}", {"state": "JobComplete"})) == (400, "INVALIDJOB")
    done = run(api, "Account", "insert", "Name\nAcme\n")["id"]
    closed = close(api, done)
    assert error(closed) == (400, "INVALIDJOBSTATE")
    assert closed.json()[0]["message"] == "Closing already Completed Job not allowed"
    assert error(api.patch(f"jobs/ingest/{done}", ["state"])) == (400, "JSON_PARSER_ERROR")


def test_a_deleted_job_is_gone_with_its_results(api: Api) -> None:
    job = run(api, "Account", "insert", "Name\nAcme\n")
    gone = api.delete(f"jobs/ingest/{job['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    for path in ("", "/successfulResults", "/failedResults"):
        assert error(api.get(f"jobs/ingest/{job['id']}{path}")) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("described", "code"),
    [
        ({"object": "Nope", "operation": "insert"}, "INVALIDENTITY"),
        ({"object": "User", "operation": "update"}, "INVALIDENTITY"),
        ({"object": "ContentNote", "operation": "upsert", "externalIdFieldName": "Id"}, "INVALIDENTITY"),
        ({"object": "Contact", "operation": "merge"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "hardDelete"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "upsert"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "upsert", "externalIdFieldName": "Title"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "insert", "lineEnding": "CR"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "insert", "contentType": "JSON"}, "INVALIDJOB"),
        ({"object": "Contact", "operation": "insert", "columnDelimiter": ","}, "INVALIDJOB"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(api: Api, described: dict[str, Any], code: str) -> None:
    assert error(api.post("jobs/ingest", described)) == (400, code)


def multipart(api: Api, described: str, content: bytes, boundary: str = "xYz") -> requests.Response:
    body = (
        f'--{boundary}\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name="job"\r\n\r\n'
        f"{described}\r\n--{boundary}\r\nContent-Type: text/csv\r\n"
        'Content-Disposition: form-data; name="content"; filename="content"\r\n\r\n'
    ).encode() + content
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return api.call("POST", "jobs/ingest", data=body + f"\r\n--{boundary}--\r\n".encode(), headers=headers)


def test_a_small_job_comes_with_its_data_in_one_call(api: Api) -> None:
    described = '{"object": "Account", "operation": "insert", "contentType": "CSV", "lineEnding": "LF"}'
    content = table(["Name", "Description"], [("In one call", ODD)]).encode()
    answer = multipart(api, described, content)
    assert (answer.status_code, answer.json()["state"]) == (200, "UploadComplete")
    assert "contentUrl" not in answer.json()
    (row,) = results(api, finish(api, answer.json()["id"]), "successfulResults")
    assert api.read("Account", row["sf__Id"])["Description"] == ODD


def test_a_job_with_data_is_refused_when_its_parts_are_not_what_they_should_be(api: Api) -> None:
    described = '{"object": "Account", "operation": "insert"}'
    assert error(multipart(api, described, b"x" * 100_001)) == (400, "INVALIDJOB")
    assert error(multipart(api, "not JSON", b"Name\n")) == (400, "JSON_PARSER_ERROR")
    headers = {"Content-Type": "multipart/form-data; boundary=other"}
    for body in (b"", b"--xYz\r\n\r\n", b"--other\r\n\r\nnameless\r\n--other--\r\n"):
        assert error(api.call("POST", "jobs/ingest", data=body, headers=headers)) == (400, "JSON_PARSER_ERROR")
    unbounded = {"Content-Type": "multipart/form-data"}
    assert error(api.call("POST", "jobs/ingest", data=b"x", headers=unbounded)) == (400, "JSON_PARSER_ERROR")


def test_data_is_taken_as_csv_and_nothing_else(api: Api) -> None:
    job_id = create(api, "Account", "insert")
    path = f"jobs/ingest/{job_id}/batches"
    assert api.call("PUT", path, json={"Name": "Acme"}).status_code == 415
    assert api.call("PUT", path, data=b"Name\n", headers={"Content-Type": "text/plain"}).status_code == 415
    assert api.post("sobjects/Account", headers=CSV, data=b"Name\nAcme\n").status_code == 415


def test_more_than_150_megabytes_are_refused_before_they_are_sent(api: Api) -> None:
    job_id = create(api, "Account", "insert")
    connection = http.client.HTTPConnection(api.url.removeprefix("http://"), timeout=30)
    connection.putrequest("PUT", f"{api.root}/jobs/ingest/{job_id}/batches")
    for name, value in {**CSV, "Content-Length": str(150 * 1024 * 1024 + 1)}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_data_of_unknown_size_is_read_no_further_than_its_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("writeback_pipeline.local_org.wire._LARGEST_BODY", 1_000)
    job_id = create(api, "Account", "insert")
    path = f"jobs/ingest/{job_id}/batches"
    assert api.call("PUT", path, data=iter([b"Name\n", b"x" * 900]), headers=CSV).status_code == 201
    assert api.call("PUT", path, data=iter([b"Name\n", b"x" * 1_000]), headers=CSV).status_code == 413


def test_jobs_are_listed_by_type_and_told_from_one_another(api: Api, org: Org) -> None:
    ingest = create(api, "Lead", "update")
    query = api.post("jobs/query", {"operation": "query", "query": "SELECT Id FROM Lead"}).json()["id"]
    listed = api.get("jobs/ingest", params={"jobType": "V2Ingest"}).json()
    assert (listed["done"], listed["nextRecordsUrl"]) == (True, None)
    (found,) = [job for job in listed["records"] if job["id"] == ingest]
    assert found["createdById"] == org.connection.execute("SELECT Id FROM User ORDER BY Id LIMIT 1").fetchone()[0]
    assert (found["object"], found["state"], found["jobType"]) == ("Lead", "Open", "V2Ingest")
    assert query not in {job["id"] for job in listed["records"]}
    both = {job["id"] for job in api.get("jobs/ingest").json()["records"]}
    assert both >= {ingest, query}
    assert error(api.get("jobs/ingest", params={"jobType": "V3"})) == (400, "INVALIDJOB")
    assert error(api.get(f"jobs/ingest/{query}")) == (404, "NOT_FOUND")


def test_long_lists_of_jobs_come_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("writeback_pipeline.local_org.api.bulk_jobs._PAGE", 2)
    made = [create(api, "Account", "insert") for _ in range(5)]
    seen: list[str] = []
    path: str | None = f"{api.root}/jobs/ingest?jobType=V2Ingest"
    while path:
        page = api.http.get(f"{api.url}{path}", timeout=30).json()
        assert len(page["records"]) <= 2
        seen += [job["id"] for job in page["records"]]
        path = page["nextRecordsUrl"]
    assert [job for job in seen if job in made] == made
    assert error(api.get("jobs/ingest", params={"queryLocator": "%%"})) == (400, "INVALID_QUERY_LOCATOR")


def test_jobs_are_forgotten_after_seven_days(api: Api, org: Org) -> None:
    old = run(api, "Account", "insert", "Name\nOld\n")["id"]
    org.clock.now += 7 * 24 * 3600 + 1
    api.sign_in()
    create(api, "Account", "insert")
    assert error(api.get(f"jobs/ingest/{old}")) == (404, "NOT_FOUND")
