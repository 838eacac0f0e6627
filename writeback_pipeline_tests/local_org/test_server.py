"""Serving: starts at once, leaves nothing behind, is found by nobody else, and is shared by several processes."""

import gc
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from writeback_pipeline.local_org import server, state, tokens
from writeback_pipeline_tests.local_org.support import CLIENT, Api, error
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, reserved_port


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "home" / "organisation.sqlite"


def signed_in(url: str) -> Api:
    api = Api(url)
    api.sign_in()
    return api


def organisation_id(opened: state.Organisation) -> str:
    with opened.connection() as connection:
        found = tokens.organisation_id(connection)
    opened.close()
    return found


def test_it_leaves_no_thread_and_no_socket(database: Path) -> None:
    threads = set(threading.enumerate())
    with reserved_port() as port:
        with server.run_in_thread(database, port=port) as running:
            api = signed_in(running.url)
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: api.get("limits").status_code, range(20)))
            assert answers == [200] * 20
        for each in set(threading.enumerate()) - threads:
            each.join(PATIENCE_SECONDS)  # it was told to end, and may take a moment on a busy machine
        assert set(threading.enumerate()) <= threads
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
    running.close()
    gc.collect()


def test_a_client_that_polls_now_and_then_keeps_its_connection(database: Path) -> None:
    with server.run_in_thread(database) as running:
        connection = HTTPConnection(running.url.removeprefix("http://"), timeout=PATIENCE_SECONDS)
        connection.request("GET", "/services/data")
        assert connection.getresponse().read()
        used = connection.sock
        time.sleep(6)
        connection.request("GET", "/services/data")
        assert connection.getresponse().read()
        assert connection.sock is used
        connection.close()


def test_it_listens_on_loopback_only(database: Path) -> None:
    with server.run_in_thread(database) as running:
        listener = running._listener.getsockname()
    assert listener[0] == "127.0.0.1"
    assert running.url == f"http://127.0.0.1:{listener[1]}"


def test_a_port_that_is_taken_is_told(database: Path) -> None:
    with reserved_port() as port:
        with server.run_in_thread(database, port=port), pytest.raises(OSError, match="in use"):
            server.run_in_thread(database, port=port)
        with server.run_in_thread(database, port=port) as again:
            assert again.url.endswith(f":{port}")


def test_records_tokens_and_counts_survive_a_restart(database: Path) -> None:
    with server.run_in_thread(database) as running:
        api = signed_in(running.url)
        contact = api.create("Contact", LastName="Kept")
    with server.run_in_thread(database) as running:
        again = Api(running.url, http=api.http)
        assert again.read("Contact", contact)["LastName"] == "Kept"
        assert again.get("limits").headers["Sforce-Limit-Info"] == "api-usage=3/100000"
        assert again.create("Contact", LastName="New") != contact


def test_two_organisations_have_ids_of_their_own(tmp_path: Path) -> None:
    found = {organisation_id(state.open_org(tmp_path / name)) for name in ("one", "two")}
    assert len(found) == 2


def test_reset_begins_again_with_the_sample_people(database: Path) -> None:
    with server.run_in_thread(database) as running:
        left = signed_in(running.url).create("Contact", LastName="Left behind")
    state.reset(database).close()
    with server.run_in_thread(database) as running:
        api = signed_in(running.url)
        assert api.get(f"sobjects/Contact/{left}").status_code == 404
        people = api.get("query", params={"q": "SELECT COUNT() FROM Contact"}).json()["totalSize"]
        people += api.get("query", params={"q": "SELECT COUNT() FROM Lead"}).json()["totalSize"]
    assert people >= 2000


def test_reset_keeps_the_id_of_the_organisation(database: Path) -> None:
    before = organisation_id(state.open_org(database))
    assert organisation_id(state.reset(database)) == before


@pytest.mark.parametrize("content", [b"", b"not a database at all"])
def test_reset_of_a_file_that_cannot_be_read_makes_an_organisation_of_its_own(database: Path, content: bytes) -> None:
    database.parent.mkdir()
    database.write_bytes(content)
    assert organisation_id(state.reset(database)).startswith("00D")


WRITER = """
import sys, requests
from pathlib import Path
from writeback_pipeline.local_org import server
with server.run_in_thread(Path(sys.argv[1])) as running, requests.Session() as http:
    form = {"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"}
    token = http.post(running.url + "/services/oauth2/token", data=form).json()["access_token"]
    http.headers["Authorization"] = "Bearer " + token
    for number in range(20):
        records = [{"attributes": {"type": "Account"}, "Name": f"{sys.argv[2]} {number} {row}"} for row in range(50)]
        answer = http.post(running.url + "/services/data/v67.0/composite/sobjects", json={"records": records})
        assert answer.status_code == 200 and all(row["success"] for row in answer.json()), answer.text
"""


def test_several_processes_serve_one_file_at_once(database: Path) -> None:
    state.open_org(database).close()
    command = [sys.executable, "-W", "error", "-c", WRITER, str(database)]
    writers = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in ("a", "b", "c")]
    problems = [writer.communicate(timeout=4 * PATIENCE_SECONDS)[1] for writer in writers]
    assert problems == [""] * 3
    assert [writer.returncode for writer in writers] == [0] * 3
    with server.run_in_thread(database) as running:
        api = signed_in(running.url)
        counted = api.get("query", params={"q": "SELECT COUNT() FROM Account"})
        assert counted.json()["totalSize"] == 3000
        assert counted.headers["Sforce-Limit-Info"] == "api-usage=61/100000"


def test_threads_that_write_at_once_all_succeed(database: Path) -> None:
    with server.run_in_thread(database) as running:
        api = signed_in(running.url)
        contact = api.create("Contact", LastName="Busy")

        def note(number: int) -> int:
            mine = Api(running.url)
            mine.http.headers.update(api.http.headers)
            with mine.http:
                return mine.post("sobjects/Note", {"ParentId": contact, "Title": f"t{number}"}).status_code

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(note, range(64))) == [201] * 64
        assert len(api.query(f"SELECT Id FROM Note WHERE ParentId = '{contact}'")) == 64


SERVE = """
import sys
from pathlib import Path
from writeback_pipeline.local_org import server
server.serve_forever(Path(sys.argv[1]), 0, 0, lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_line_serves_http_and_https_until_interrupted(database: Path, stop: signal.Signals) -> None:
    command = [sys.executable, "-W", "error", "-c", SERVE, str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        plain = serving.stdout.readline().strip()
        secure, _, path = serving.stdout.readline().strip().partition(" (certificate to trust: ")
        for url, verify in (
            (plain, True),
            (secure, path.rstrip(")")),
            (secure.replace("127.0.0.1", "localhost"), path[:-1]),
        ):
            form = {"grant_type": "client_credentials", **CLIENT}
            answer = requests.post(f"{url}/services/oauth2/token", data=form, verify=verify, timeout=30)
            assert answer.json()["instance_url"] == url
        serving.send_signal(stop)
        _, errors = serving.communicate(timeout=PATIENCE_SECONDS)
    assert (serving.returncode, errors) == (0, "")


def test_a_fault_of_its_own_is_an_answer_too(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: Any) -> None:
        raise ZeroDivisionError

    with server.run_in_thread(database) as running:
        api = signed_in(running.url)
        monkeypatch.setattr("writeback_pipeline.local_org.api.routes.handle", fault)
        answer = api.get("limits")
    assert error(answer) == (500, "UNKNOWN_EXCEPTION")
    assert answer.json()[0]["message"].startswith("An unexpected error occurred. Please include this ErrorId")


def test_a_request_log_can_be_switched_on(database: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with server.run_in_thread(database) as running:
        requests.get(f"{running.url}/services/data", timeout=30)
    assert capfd.readouterr() == ("", "")
    with server.run_in_thread(database, log_requests=True) as running:
        requests.get(f"{running.url}/services/data", timeout=30)
    assert '"GET /services/data HTTP/1.1" 200' in "".join(capfd.readouterr())
