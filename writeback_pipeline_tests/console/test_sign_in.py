"""Signing in, the cookie, how long it counts, and what happens to a form when it does no longer."""

import html
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from writeback_pipeline.console.access import AccessError, Role, read_access
from writeback_pipeline.console.passwords import TRIES, TRIES_OF_ADDRESS, TRIES_OF_NAME, Throttle, hash_password
from writeback_pipeline.console.sessions import IDLE, LONGEST
from writeback_pipeline_tests.console.serving import (
    OPERATOR,
    PASSWORD,
    START,
    VIEWER,
    Client,
    Served,
    local_access,
    serving,
    with_accounts,
)
from writeback_pipeline_tests.console.test_settings_page import form, text
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$aGFzaA"
SECRET = "s" * 32


@pytest.fixture
def visitor(guarded: Served) -> Client:
    return Client(guarded.address)


def test_nothing_is_shown_before_signing_in(visitor: Client) -> None:
    answer = visitor.get("/settings?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fsettings%3Fx%3D1")
    assert "Writeback Settings" not in visitor.get("/no-such-page").text


def test_signing_in_leads_to_the_page_asked_for(visitor: Client) -> None:
    answer = visitor.post("/sign-in", {"name": OPERATOR, "password": PASSWORD, "next": "/settings?x=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings?x=1")
    page = visitor.get("/settings")
    assert (page.status_code, "olga operator" in text(page)) == (200, True)


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "x", "/\nx"]
)
def test_signing_in_never_leads_elsewhere(visitor: Client, elsewhere: str) -> None:
    answer = visitor.post("/sign-in", {"name": OPERATOR, "password": PASSWORD, "next": elsewhere})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@pytest.mark.parametrize(("name", "password"), [(OPERATOR, "wrong"), ("nobody", PASSWORD), ("", ""), (OPERATOR, "x\0")])
def test_a_wrong_name_and_a_wrong_password_are_told_alike(visitor: Client, name: str, password: str) -> None:
    answer = visitor.sign_in(name, password)
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text
    assert visitor.get("/settings").is_redirect


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(guarded: Served, tmp_path: Path) -> None:
    cookie = Client(guarded.address).sign_in().headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "Secure" not in cookie


def test_behind_https_the_cookie_is_secure(tmp_path: Path) -> None:
    access = local_access({"WRITEBACK_CONSOLE_URL": "https://bridge.example.org"})
    with serving(tmp_path, access) as running:
        headers = {"Host": "bridge.example.org"}
        answer = requests.get(running.address + "/settings", headers=headers, timeout=PATIENCE_SECONDS)
    assert answer.headers["set-cookie"].startswith("__Host-writebacks-console=")
    assert "Secure" in answer.headers["set-cookie"]
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


def test_a_session_is_new_after_signing_in(visitor: Client) -> None:
    visitor.get("/sign-in")
    token = visitor.token()
    visitor.sign_in()
    assert visitor.token() != token
    assert visitor.post("/sign-out", {"csrf": token}).status_code == 403


def test_signing_out_ends_the_session_for_copies_of_its_cookie_too(visitor: Client, guarded: Served) -> None:
    visitor.sign_in()
    thief = Client(guarded.address)
    thief.session.cookies.update(visitor.session.cookies)
    assert thief.get("/settings").status_code == 200
    visitor.post("/sign-out")
    assert visitor.get("/settings").is_redirect
    assert thief.get("/settings").is_redirect


@pytest.mark.parametrize(
    "change", [lambda text: text[:-2] + "xx", lambda text: "x" + text[1:], lambda _: "", lambda _: "a.b"]
)
def test_a_cookie_that_was_tampered_with_is_nobodys(guarded: Served, visitor: Client, change: object) -> None:
    visitor.sign_in()
    cookie = session_cookie(visitor)[1]
    assert callable(change)
    answer = requests.get(
        guarded.address + "/settings",
        cookies={session_cookie(visitor)[0]: change(cookie)},
        allow_redirects=False,
        timeout=PATIENCE_SECONDS,
    )
    assert answer.is_redirect


def test_a_cookie_signed_with_another_secret_is_nobodys(tmp_path: Path, visitor: Client) -> None:
    with serving(tmp_path / "other", with_accounts()) as other:
        stranger = Client(other.address)
        stranger.sign_in()
        visitor.session.cookies.update(stranger.session.cookies)
        assert visitor.get("/settings").is_redirect


def test_a_session_ends_when_nothing_is_asked_for_a_while(visitor: Client, guarded: Served) -> None:
    visitor.sign_in()
    for _ in range(3):
        guarded.clock.forward(IDLE - timedelta(minutes=2))
        assert visitor.get("/settings").status_code == 200
    guarded.clock.forward(IDLE + timedelta(seconds=1))
    assert visitor.get("/settings").is_redirect


def test_what_the_script_asks_by_itself_keeps_no_session_alive(visitor: Client, guarded: Served) -> None:
    visitor.sign_in()
    guarded.clock.forward(IDLE - timedelta(minutes=2))
    assert visitor.get("/settings", **{"X-Live": "1"}).status_code == 200
    guarded.clock.forward(timedelta(minutes=3))
    assert visitor.get("/settings").is_redirect


def test_a_session_ends_at_last_however_much_is_asked(visitor: Client, guarded: Served) -> None:
    visitor.sign_in()
    for _ in range(int(LONGEST / timedelta(minutes=20))):
        assert visitor.get("/settings").status_code == 200
        guarded.clock.forward(timedelta(minutes=20, seconds=1))
    assert visitor.get("/settings").is_redirect


def test_a_form_of_an_ended_session_is_kept_and_sent_after_signing_in(visitor: Client, guarded: Served) -> None:
    visitor.sign_in()
    token = visitor.token()
    guarded.clock.forward(IDLE + timedelta(seconds=1))
    answer = visitor.post("/settings", form(platform_name='A "<b>', csrf=token))
    assert answer.status_code == 401
    assert "Your session has ended, so nothing was saved." in text(answer)
    assert guarded.store.settings_history() == []
    again = visitor.post("/sign-in", {"name": OPERATOR, "password": PASSWORD} | fields(answer.text))
    assert "You are signed in again. What you had filled in is not saved yet." in text(again)
    assert guarded.store.settings_history() == []
    sent = fields(again.text)
    assert visitor.post("/settings", sent).status_code == 303
    assert guarded.store.settings().platform_name == 'A "<b>'


def test_a_form_older_than_the_console_is_shown_again_with_what_was_filled_in(client: Client, served: Served) -> None:
    answer = client.post("/settings", form(opened="true", csrf="old"))
    assert answer.status_code == 403
    assert "nothing was changed" in text(answer)
    assert served.store.settings_history() == []
    assert client.post("/settings", fields(answer.text)).status_code == 303
    assert served.store.settings().opened


def test_after_a_few_wrong_passwords_even_the_right_one_has_to_wait(visitor: Client, guarded: Served) -> None:
    for _ in range(TRIES):
        assert visitor.sign_in(OPERATOR, "wrong").status_code == 401
    answer = visitor.sign_in()
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert Client(guarded.address).sign_in(VIEWER).status_code == 303
    guarded.clock.forward(timedelta(minutes=15, seconds=1))
    assert visitor.sign_in().status_code == 303


def test_one_address_cannot_try_many_names() -> None:
    throttle = Throttle()
    for number in range(TRIES_OF_ADDRESS):
        assert throttle.enter(f"name {number}", "10.0.0.9", START) is None
    assert throttle.enter("another", "10.0.0.9", START) == timedelta(minutes=15)
    assert throttle.enter("another", "10.0.0.8", START) is None
    assert throttle.enter("another", "10.0.0.9", START + timedelta(minutes=15)) is None


def test_many_addresses_cannot_try_one_name_for_ever_and_keep_its_owner_out_only_by_trying_hard() -> None:
    throttle = Throttle()
    tries = [throttle.enter(OPERATOR, f"10.0.0.{number}", START) for number in range(TRIES_OF_NAME + 1)]
    assert tries == [None] * TRIES_OF_NAME + [timedelta(minutes=15)]


def test_right_passwords_are_not_counted() -> None:
    throttle = Throttle()
    for _ in range(3 * TRIES):
        assert throttle.enter(OPERATOR, "10.0.0.9", START) is None
        throttle.forgive(OPERATOR, "10.0.0.9", START)


def test_many_tries_at_once_are_no_more_than_many_in_a_row(guarded: Served) -> None:
    clients = [Client(guarded.address) for _ in range(3 * TRIES)]
    tokens = [client.token() for client in clients]
    with ThreadPoolExecutor(len(clients)) as pool:
        answers = pool.map(
            lambda client, token: client.post("/sign-in", {"name": OPERATOR, "password": "wrong", "csrf": token}),
            clients,
            tokens,
        )
    assert sorted(answer.status_code for answer in answers) == [401] * TRIES + [429] * 2 * TRIES


def test_a_sign_in_page_that_is_too_old_shows_no_password_and_keeps_what_it_kept(visitor: Client) -> None:
    form_ = {"name": OPERATOR, "password": PASSWORD, "csrf": "old", "kept_path": "/settings", "kept.sent": "true"}
    answer = visitor.post("/sign-in", form_)
    assert answer.status_code == 403
    assert "This page was too old" in answer.text
    assert PASSWORD not in answer.text
    assert fields(answer.text)["kept.sent"] == "true"
    assert visitor.get("/settings").is_redirect


def test_a_sign_in_page_that_was_open_for_a_day_still_works(visitor: Client, guarded: Served) -> None:
    token = visitor.token()
    guarded.clock.forward(timedelta(days=1))
    form_ = {"name": OPERATOR, "password": PASSWORD, "csrf": token}
    assert visitor.post("/sign-in", form_).status_code == 303


def test_two_consoles_of_one_machine_keep_their_sessions_apart(visitor: Client, client: Client) -> None:
    visitor.sign_in()
    client.session.cookies = visitor.session.cookies  # one browser: cookies know no ports
    client.get("/settings")
    assert visitor.get("/settings").status_code == 200


def test_what_the_script_asks_by_itself_sets_no_cookie(visitor: Client, guarded: Served) -> None:
    visitor.sign_in()
    guarded.clock.forward(timedelta(minutes=5))
    assert "set-cookie" not in visitor.get("/settings", **{"X-Live": "1"}).headers
    assert "set-cookie" in visitor.get("/settings").headers


def test_the_hash_of_a_password_never_comes_back(visitor: Client) -> None:
    visitor.sign_in()
    pages = [visitor.get("/settings").text, visitor.sign_in(OPERATOR, "wrong").text, visitor.session.cookies.__repr__()]
    assert not any("argon2" in page or PASSWORD in page for page in pages)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "bridge.example.org"])
@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({}, "WRITEBACK_CONSOLE_USERS to at least one account"),
        ({"WRITEBACK_CONSOLE_SECRET": SECRET}, "set WRITEBACK_CONSOLE_USERS"),
        ({"WRITEBACK_CONSOLE_USERS": f"olga:operator:{HASH}"}, "set WRITEBACK_CONSOLE_SECRET"),
    ],
)
def test_others_than_loopback_need_accounts_and_a_secret(host: str, variables: dict[str, str], missing: str) -> None:
    with pytest.raises(AccessError, match=missing):
        read_access(variables, host, "tester")


def test_with_both_it_may_listen_anywhere() -> None:
    variables = {
        "WRITEBACK_CONSOLE_USERS": f"olga:operator:{HASH} victor:viewer:{HASH}",
        "WRITEBACK_CONSOLE_SECRET": SECRET,
        "WRITEBACK_CONSOLE_URL": "https://bridge.example.org",
    }
    access = read_access(variables, "0.0.0.0", "tester")
    assert {name: account.user.role for name, account in access.accounts.items()} == {
        "olga": Role.OPERATOR,
        "victor": Role.VIEWER,
    }
    assert "bridge.example.org" in access.hosts
    assert access.secure


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"WRITEBACK_CONSOLE_USERS": "password"}, "only one word"),
        ({"WRITEBACK_CONSOLE_USERS": "olga:viewer:$argon2id$password"}, "the hash of the account olga is not whole"),
        ({"WRITEBACK_CONSOLE_USERS": f"olga:admin:{HASH}"}, "the account olga has no role"),
        ({"WRITEBACK_CONSOLE_USERS": "olga:viewer:password"}, "no argon2id hash"),
        ({"WRITEBACK_CONSOLE_USERS": f":viewer:{HASH}"}, "has no name"),
        ({"WRITEBACK_CONSOLE_USERS": f"o:viewer:{HASH} o:operator:{HASH}"}, "the account o is given twice"),
        ({"WRITEBACK_CONSOLE_USERS_FILE": "/no/such/file"}, "cannot be read"),
        ({"WRITEBACK_CONSOLE_SECRET": "short"}, "shorter than 32"),
        ({"WRITEBACK_CONSOLE_URL": "bridge.example.org"}, "write each address as browsers know it"),
        ({"WRITEBACK_CONSOLE_URL": "https://[bridge"}, "write each address as browsers know it"),
        ({"WRITEBACK_CONSOLE_URL": "https://olga:password@bridge.example"}, "write each address as browsers know it"),
        ({"WRITEBACK_CONSOLE_URL": "https://bridge.example.org/path"}, "write each address as browsers know it"),
    ],
)
def test_a_wrong_configuration_is_refused_and_named(variables: dict[str, str], says: str) -> None:
    with pytest.raises(AccessError, match=says) as refusal:
        local_access(variables)
    assert "password" not in str(refusal.value).replace("hash-password", "")


def test_accounts_may_be_in_a_file_with_comments(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"# who may come in\n\nolga:operator:{HASH}\n")
    assert list(local_access({"WRITEBACK_CONSOLE_USERS_FILE": str(file)}).accounts) == ["olga"]


def test_a_short_password_gets_no_hash() -> None:
    with pytest.raises(ValueError, match="12 characters"):
        hash_password("short")


def session_cookie(client: Client) -> tuple[str, str]:
    (cookie,) = client.session.cookies.items()
    name, value = cookie
    assert value is not None
    return name, value


def fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms, the token included."""
    return {
        name: html.unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    }
