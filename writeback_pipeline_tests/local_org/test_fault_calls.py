"""What a fault does to one HTTP call, and whether the work of that call was done."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from writeback_pipeline.local_org import certificates, faults, server, state
from writeback_pipeline.local_org.app import Host
from writeback_pipeline_tests.local_org.support import Api, Org, error
from writeback_pipeline_tests.patience import PATIENCE_SECONDS, wait_until


def names(api: Api) -> set[str]:
    return {row["LastName"] for row in api.query("SELECT LastName FROM Contact")}


def add(api: Api, name: str) -> requests.Response:
    return api.post("sobjects/Contact", {"LastName": name})


def add_and_give_up(api: Api, name: str) -> None:
    """Ask for a Contact and hear no answer."""
    with pytest.raises(requests.ReadTimeout):
        api.http.post(f"{api.url}{api.root}/sobjects/Contact", json={"LastName": name}, timeout=0.2)


@pytest.mark.parametrize(
    ("kind", "status", "code", "message"),
    [
        ("daily_quota", 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        (
            "concurrent_limit",
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        ("session_not_valid", 401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        ("expired_session", 401, "INVALID_SESSION_ID", "Session expired or invalid"),
        ("server_error", 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId"),
    ],
)
def test_a_refused_call_does_nothing_and_is_not_counted(
    api: Api, org: Org, kind: str, status: int, code: str, message: str
) -> None:
    used = api.get("limits").headers["Sforce-Limit-Info"]
    faults.arm(org.connection, kind, times=1)
    answer = add(api, kind)
    assert error(answer) == (status, code)
    assert answer.json()[0]["message"].startswith(message)
    api.sign_in()
    calls = int(used.removeprefix("api-usage=").split("/")[0])
    assert api.get("limits").headers["Sforce-Limit-Info"].startswith(f"api-usage={calls + 1}/")
    assert kind not in names(api)


def test_an_expired_session_is_cured_by_signing_in_again(api: Api, org: Org) -> None:
    faults.arm(org.connection, "expired_session", times=1)
    assert [api.get("limits").status_code for _ in range(3)] == [401, 401, 401]
    api.sign_in()
    assert api.get("limits").status_code == 200


def test_a_call_that_shows_no_token_has_none_to_lose(api: Api, org: Org) -> None:
    faults.arm(org.connection, "expired_session", times=1)
    assert error(api.get("limits", headers={"Authorization": "Basic bG9jYWw6bG9jYWw="})) == (401, "INVALID_SESSION_ID")
    assert api.get("limits").status_code == 200


def test_a_session_that_is_not_valid_stays_so_after_signing_in_again(api: Api, org: Org) -> None:
    faults.arm(org.connection, "session_not_valid")
    for _ in range(2):
        assert error(api.get("limits")) == (401, "INVALID_SESSION_ID")
        api.sign_in()


def test_an_unavailable_server_answers_with_a_page_or_with_json(api: Api, org: Org) -> None:
    faults.arm(org.connection, "unavailable", times=1)
    page = api.get("limits")
    assert (page.status_code, page.headers["Content-Type"]) == (503, "text/html;charset=utf-8")
    assert "down for maintenance" in page.text
    faults.arm(org.connection, "unavailable", html=False)
    assert error(api.get("limits")) == (503, "SERVER_UNAVAILABLE")


def test_after_a_server_error_the_work_may_be_done(api: Api, org: Org) -> None:
    faults.arm(org.connection, "server_error", applied=True, times=1)
    assert error(add(api, "Done nevertheless")) == (500, "UNKNOWN_EXCEPTION")
    assert "Done nevertheless" in names(api)


def test_a_client_can_be_sent_to_a_foreign_host(api: Api, org: Org) -> None:
    faults.arm(org.connection, "redirect", location="https://elsewhere.example/take", status=307, times=1)
    answer = api.post("sobjects/Contact", {"LastName": "Abducted"}, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "https://elsewhere.example/take")
    assert "Abducted" not in names(api)


def test_a_slow_answer_comes_late_but_whole(api: Api, org: Org) -> None:
    faults.arm(org.connection, "slow", seconds=0.3, times=1)
    started = time.perf_counter()
    assert add(api, "Slow").status_code == 201
    assert time.perf_counter() - started >= 0.3


def test_a_client_that_gave_up_on_a_slow_answer_finds_the_work_done(api: Api, org: Org) -> None:
    faults.arm(org.connection, "slow", seconds=2 * PATIENCE_SECONDS, times=1)
    add_and_give_up(api, "Late")
    wait_until(lambda: "Late" in names(api))


def test_the_work_of_a_call_can_be_done_after_its_client_gave_up(
    api: Api, org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    gave_up = threading.Event()

    def that_pauses_for_the_client(clock: Any, wake: Any, _: Any, hang_up: Any) -> Host:
        return Host(clock, wake, lambda seconds: gave_up.wait(PATIENCE_SECONDS), hang_up)

    monkeypatch.setattr(server, "Host", that_pauses_for_the_client)
    with server.run_in_thread(org.organisation.database, clock=org.clock) as pausing:
        faults.arm(org.connection, "late_commit", method="POST", times=1)
        add_and_give_up(Api(pausing.url, http=api.http), "Later")
        assert "Later" not in names(api)
        gave_up.set()
        wait_until(lambda: "Later" in names(api))


def test_a_dropped_connection_tells_nothing_of_whether_the_work_is_done(api: Api, org: Org) -> None:
    for kind, done in (("drop_before", False), ("drop_after", True)):
        faults.arm(org.connection, kind, method="POST", times=1)
        with pytest.raises(requests.ConnectionError):
            add(api, kind)
        assert (kind in names(api)) is done


def test_a_body_can_end_in_the_middle(api: Api, org: Org) -> None:
    faults.arm(org.connection, "truncated", method="POST", times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as cut:
        add(api, "Cut")
    assert "more expected" in str(cut.value)
    assert "Cut" in names(api)


def test_an_answer_without_a_body_is_cut_altogether(api: Api, org: Org) -> None:
    contact = api.create("Contact", LastName="Before")
    faults.arm(org.connection, "truncated", method="PATCH", times=1)
    with pytest.raises(requests.ConnectionError):
        api.patch(f"sobjects/Contact/{contact}", {"LastName": "After"})
    assert api.read("Contact", contact)["LastName"] == "After"


@pytest.mark.parametrize("kind", ["drop_after", "truncated"])
def test_connections_are_cut_over_tls_as_well(tmp_path: Path, kind: str) -> None:
    organisation = state.open_org(tmp_path / "organisation.sqlite")
    certificate = certificates.for_loopback(tmp_path)
    with server.run_in_thread(tmp_path / "organisation.sqlite", certificate=certificate) as running:
        api = Api(running.url)
        api.http.trust_env = False
        api.http.verify = str(certificate.path)
        api.sign_in()
        with organisation.connection() as connection:
            faults.arm(connection, kind, method="POST", times=1)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            add(api, kind)
        assert names(api) == {kind}
        api.http.close()
    organisation.close()


def test_the_limit_header_can_be_missing_or_lag_behind(api: Api, org: Org) -> None:
    missing = faults.arm(org.connection, "no_limit_header")
    assert "Sforce-Limit-Info" not in api.get("limits").headers
    faults.clear(org.connection, missing.id)
    faults.arm(org.connection, "stale_limit_header", calls=3)
    told = api.get("limits")
    limit = told.json()["DailyApiRequests"]
    assert told.headers["Sforce-Limit-Info"] == f"api-usage={limit['Max'] - limit['Remaining'] - 3}/{limit['Max']}"


def test_a_fault_of_the_limit_header_does_not_keep_others_away(api: Api, org: Org) -> None:
    faults.arm(org.connection, "no_limit_header")
    faults.arm(org.connection, "server_error", applied=True)
    faults.arm(org.connection, "stale_limit_header")
    assert error(add(api, "Both")) == (500, "UNKNOWN_EXCEPTION")
    assert faults.injected(org.connection) == {"no_limit_header": 1, "server_error": 1, "stale_limit_header": 1}


def test_a_server_that_stops_does_not_wait_for_late_work_and_never_does_it(tmp_path: Path) -> None:
    organisation = state.open_org(tmp_path / "organisation.sqlite")
    outcome: list[Any] = []
    with organisation.connection() as connection:
        with server.run_in_thread(tmp_path / "organisation.sqlite") as running:
            api = Api(running.url)
            api.sign_in()
            faults.arm(connection, "late_commit", seconds=2 * PATIENCE_SECONDS, method="POST")

            def client() -> None:
                try:
                    outcome.append(add(api, "Never"))
                except requests.ConnectionError as gone:
                    outcome.append(gone)

            caller = threading.Thread(target=client)
            caller.start()
            wait_until(lambda: faults.injected(connection))
            started = time.perf_counter()
        caller.join()
        assert time.perf_counter() - started < PATIENCE_SECONDS
        assert isinstance(outcome[0], requests.ConnectionError)
        assert connection.execute("SELECT count(*) FROM Contact").fetchone()[0] == 0
        api.http.close()
    organisation.close()


def test_faults_are_seen_by_every_server_of_the_organisation(api: Api, org: Org) -> None:
    with server.run_in_thread(org.organisation.database, clock=org.clock) as second:
        faults.arm(org.connection, "unavailable", times=2)
        other = Api(second.url, http=api.http)
        assert [api.get("limits").status_code, other.get("limits").status_code] == [503, 503]
        assert [api.get("limits").status_code, other.get("limits").status_code] == [200, 200]
