"""Bulk jobs as a client runs them, for tests."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import requests

from writeback_pipeline_tests.local_org.support import Api
from writeback_pipeline_tests.patience import wait_until

FINISHED = ("JobComplete", "Failed", "Aborted")
CSV = {"Content-Type": "text/csv; charset=UTF-8"}


def create(api: Api, target: str, operation: str, **more: Any) -> str:
    answer = api.post("jobs/ingest", {"object": target, "operation": operation, "contentType": "CSV", **more})
    assert answer.status_code == 200, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def upload(api: Api, job_id: str, data: str | bytes) -> requests.Response:
    content = data.encode() if isinstance(data, str) else data
    return api.call("PUT", f"jobs/ingest/{job_id}/batches", data=content, headers=CSV)


def close(api: Api, job_id: str) -> requests.Response:
    return api.patch(f"jobs/ingest/{job_id}", {"state": "UploadComplete"})


def start(api: Api, target: str, operation: str, data: str | bytes, **more: Any) -> str:
    """A job that is created, given its data and closed."""
    job_id = create(api, target, operation, **more)
    assert upload(api, job_id, data).status_code == 201
    assert close(api, job_id).status_code == 200
    return job_id


def told(api: Api, job_id: str, kind: str = "ingest") -> dict[str, Any]:
    answer = api.get(f"jobs/{kind}/{job_id}")
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def finish(api: Api, job_id: str, kind: str = "ingest") -> dict[str, Any]:
    """What is told of the job once it is done."""
    wait_until(lambda: told(api, job_id, kind)["state"] in FINISHED)
    return told(api, job_id, kind)


def run(api: Api, target: str, operation: str, data: str | bytes, **more: Any) -> dict[str, Any]:
    """What is told of a job that has done all this."""
    return finish(api, start(api, target, operation, data, **more))


def counters(job: dict[str, Any]) -> tuple[str, int, int]:
    """State, rows processed, and of these the failed ones."""
    return job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]


def results(api: Api, job: dict[str, Any], kind: str, delimiter: str = ",") -> list[dict[str, str]]:
    answer = api.get(f"jobs/ingest/{job['id']}/{kind}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/csv"), answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline=""), delimiter=delimiter))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], end: str = "\n", delimiter: str = ",") -> str:
    """The upload of those rows."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=end, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue()


def contacts(api: Api, number: int) -> list[str]:
    """Ids of so many new Contacts."""
    made: list[str] = []
    while len(made) < number:
        names = range(len(made), min(len(made) + 200, number))
        records = [{"attributes": {"type": "Contact"}, "LastName": f"n{each}"} for each in names]
        made += [row["id"] for row in api.post("composite/sobjects", {"records": records}).json()]
    return made
