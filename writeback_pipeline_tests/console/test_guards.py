"""What is turned away before any page sees it, and what every answer tells the browser."""

import pytest
import requests

from writeback_pipeline_tests.console.serving import Client, Served
from writeback_pipeline_tests.patience import PATIENCE_SECONDS


@pytest.fixture
def client(untouched: Served) -> Client:
    return Client(untouched.address)


PATHS = ["/settings", "/sign-in", "/no-such-page", "/static/console.css"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "localhost@evil"]
)
def test_a_foreign_host_gets_no_page(untouched: Served, path: str, host: str) -> None:
    answer = requests.get(untouched.address + path, headers={"Host": host}, timeout=PATIENCE_SECONDS)
    assert answer.status_code in (400, 421)
    assert "<html" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "localhost:9000", "127.0.0.1", "[::1]:80"])
def test_this_machine_s_own_names_are_answered(untouched: Served, host: str) -> None:
    assert (
        requests.get(untouched.address + "/settings", headers={"Host": host}, timeout=PATIENCE_SECONDS).status_code
        == 200
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_from_elsewhere_is_refused(client: Client, headers: dict[str, str]) -> None:
    answer = client.post("/settings", **headers)
    assert answer.status_code == 403
    assert "nothing was changed" in answer.text


def test_a_form_that_does_not_say_where_it_comes_from_is_refused(untouched: Served) -> None:
    assert requests.post(untouched.address + "/settings", timeout=PATIENCE_SECONDS).status_code == 403


@pytest.mark.parametrize("token", ["", "forged", None])
def test_a_form_without_its_token_changes_nothing(client: Client, token: str | None) -> None:
    answer = client.post("/settings", {"csrf": token})
    assert answer.status_code == 403
    assert "nothing was changed" in answer.text


def test_the_token_of_another_session_does_not_count(untouched: Served, client: Client) -> None:
    assert client.post("/settings", {"csrf": Client(untouched.address).token()}).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_may_be_framed_sniffed_or_run_what_is_not_ours(client: Client, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "server" not in headers


def test_pages_are_not_kept_and_static_files_are_under_their_own_version(client: Client) -> None:
    page = client.get("/settings")
    assert page.headers["Cache-Control"] == "no-store"
    style = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in client.get(style).headers["Cache-Control"]


def test_a_form_that_is_too_long_is_refused(client: Client) -> None:
    answer = client.post("/settings", {"x": "y" * 1_100_000})
    assert answer.status_code == 413
    assert client.get("/settings").status_code == 200


def test_an_address_that_there_is_not_is_told_as_a_page(client: Client) -> None:
    answer = client.get("/no-such-page")
    assert answer.status_code == 404
    assert "There is no such page." in answer.text
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"%%%=&&;;=\xff\x00", "application/x-www-form-urlencoded"),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\nb\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
        (b"x", "multipart/form-data"),
        (b"{}", "application/json"),
        (b"a=1&" * 10_001, "application/x-www-form-urlencoded"),
        (b"", ""),
    ],
)
def test_bytes_that_are_no_form_are_refused_as_a_page(untouched: Served, body: bytes, kind: str) -> None:
    headers = {"Origin": untouched.address, "Content-Type": kind}
    answer = requests.post(untouched.address + "/settings", data=body, headers=headers, timeout=PATIENCE_SECONDS)
    assert answer.status_code in (400, 403)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "othing was changed" in answer.text or "max" in answer.text.lower() or "boundary" in answer.text
