"""Work on jobs goes on whatever happens to the server: stopped, killed, or one of several."""

import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from writeback_pipeline.local_org import bulk_ingest, bulk_jobs, ids, records, row_sets, server, state
from writeback_pipeline_tests.local_org.bulk_support import finish, results, start, table, told
from writeback_pipeline_tests.local_org.support import Api
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

ROWS = 6_000

SERVE = """
import sys
from pathlib import Path
from writeback_pipeline.local_org import server
with server.run_in_thread(Path(sys.argv[1])) as running:
    print(running.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "organisation.sqlite"
    state.open_org(path).close()
    return path


@contextmanager
def signed_in(url: str) -> Iterator[Api]:
    api = Api(url)
    api.sign_in()
    yield api
    api.http.close()


@contextmanager
def another_server(database: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-W", "error", "-c", SERVE, str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def begin(api: Api) -> str:
    """A job that makes an Account of every row, under way."""
    job_id = start(api, "Account", "insert", table(["Name"], [(f"a{number}",) for number in range(ROWS)]))
    while told(api, job_id)["numberRecordsProcessed"] == 0:
        time.sleep(0.001)
    return job_id


def processed(database: Path, job_id: str) -> int:
    """Rows that are done of a job, as the file has it while nobody serves it."""
    organisation = state.open_org(database)
    with organisation.connection() as connection:
        job = bulk_jobs.fetch(connection, job_id)
    organisation.close()
    assert job is not None
    return job.processed


def check_that_every_row_was_done_once(api: Api, job_id: str) -> None:
    job = finish(api, job_id)
    assert (job["state"], job["numberRecordsProcessed"], job["numberRecordsFailed"]) == ("JobComplete", ROWS, 0)
    expected = {f"a{number}": 1 for number in range(ROWS)}
    assert Counter(row["Name"] for row in results(api, job, "successfulResults")) == expected
    found = api.get("query", params={"q": "SELECT COUNT() FROM Account"}).json()["totalSize"]
    assert found == ROWS


def test_a_later_server_goes_on_with_a_job_that_was_under_way(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_ingest, "_PAUSE_SECONDS", 1.0)  # or it may be done before the server is stopped
    with server.run_in_thread(database) as running, signed_in(running.url) as api:
        job_id = begin(api)
    monkeypatch.undo()
    assert processed(database, job_id) < ROWS
    with server.run_in_thread(database) as running, signed_in(running.url) as api:
        check_that_every_row_was_done_once(api, job_id)


def test_a_job_survives_the_violent_end_of_its_server(database: Path) -> None:
    with another_server(database) as (process, url), signed_in(url) as api:
        job_id = begin(api)
        process.kill()
        process.wait()
    with server.run_in_thread(database) as running, signed_in(running.url) as api:
        check_that_every_row_was_done_once(api, job_id)


def test_two_servers_that_come_upon_the_same_job_do_every_row_once(database: Path) -> None:
    with (
        another_server(database) as (_, url),
        signed_in(url) as first,
        server.run_in_thread(database) as running,
        signed_in(running.url) as second,
    ):
        job_id = begin(first)
        while told(second, job_id)["state"] == "InProgress":
            told(first, job_id)
        check_that_every_row_was_done_once(second, job_id)


def test_an_abort_ends_a_job_that_is_under_way(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aborted, tried = threading.Event(), threading.Event()
    process = bulk_ingest._processed

    def after_the_abort(connection: sqlite3.Connection, job: bulk_jobs.Job, *more: Any) -> bulk_jobs.Job | None:
        if job.processed == 0:
            return process(connection, job, *more)
        aborted.wait()
        went_on = process(connection, job, *more)
        tried.set()
        return went_on

    monkeypatch.setattr(bulk_ingest, "_processed", after_the_abort)
    with server.run_in_thread(database) as running, signed_in(running.url) as api:
        job_id = begin(api)
        answer = api.patch(f"jobs/ingest/{job_id}", {"state": "Aborted"})
        aborted.set()
        assert answer.status_code == 200
        assert tried.wait(PATIENCE_SECONDS)
        job = told(api, job_id)
        done = {row["Name"] for row in results(api, job, "successfulResults")}
        left = [row["Name"] for row in results(api, job, "unprocessedrecords")]
        assert len(done) + len(left) == ROWS
        assert len(done) == job["numberRecordsProcessed"] == row_sets.MOST_ROWS
        assert api.get("query", params={"q": "SELECT COUNT() FROM Account"}).json()["totalSize"] == len(done)


def test_an_unexpected_fault_fails_the_job_and_not_the_server(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> bool:
        raise ZeroDivisionError

    with server.run_in_thread(database) as running, signed_in(running.url) as api:
        monkeypatch.setattr(bulk_ingest, "work", fault)
        job = finish(api, start(api, "Account", "insert", "Name\nAcme\n"))
        assert (job["state"], job["errorMessage"]) == ("Failed", "InternalServerError : ZeroDivisionError")
        monkeypatch.undo()
        assert finish(api, start(api, "Account", "insert", "Name\nAcme\n"))["state"] == "JobComplete"


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    opened = state.open_org(database)
    with opened.connection() as connection:
        yield connection
    opened.close()


def closed_update(connection: sqlite3.Connection, number: int) -> tuple[bulk_jobs.Job, int]:
    """A job that is to opt so many Contacts out, and the size of its upload."""
    people = [ids.make("003", 62**6 + each) for each in range(number)]
    upload = "Id,HasOptedOutOfEmail\n" + "".join(f"{each},true\n" for each in people)
    user = connection.execute("SELECT Id FROM User LIMIT 1").fetchone()["Id"]
    with records.atomic(connection):
        insert = (
            "INSERT INTO Contact (Id, IsDeleted, LastName, Name, HasOptedOutOfEmail, OwnerId) "
            "VALUES (?, 0, 'n', 'n', 0, ?)"
        )
        connection.executemany(insert, [(each, user) for each in people])
        now = "2026-11-23T09:00:00.000+0000"
        job = bulk_jobs.Job(
            id=bulk_jobs.new_id(connection), type="V2Ingest", operation="update", object="Contact", created_by=user,
            created=now, modified=now, api_version=67.0, line_ending="LF", delimiter="COMMA", state="UploadComplete",
        )  # fmt: skip
        bulk_jobs.add(connection, job)
        bulk_jobs.upload(connection, job.id, upload.encode())
    return job, len(upload)


def test_ten_thousand_rows_are_worked_off_in_one_go(connection: sqlite3.Connection) -> None:
    job, _ = closed_update(connection, 10_000)
    assert bulk_ingest.work(connection, job, time.time, lambda: False)
    opted_out = connection.execute("SELECT count(*) FROM Contact WHERE HasOptedOutOfEmail").fetchone()[0]
    assert opted_out == 10_000


def test_working_through_a_job_takes_no_more_memory_than_its_upload(connection: sqlite3.Connection) -> None:
    job, size = closed_update(connection, 2_000)
    tracemalloc.start()
    assert bulk_ingest.work(connection, job, time.time, lambda: False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * size + 1_000_000
