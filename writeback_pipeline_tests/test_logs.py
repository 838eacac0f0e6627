"""Log lines: an event with fields, one line whatever is in it, and no secret and no person's address in any."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from writeback_pipeline import logs
from writeback_pipeline.redaction import redacted

LOG = logging.getLogger("writeback_pipeline.somewhere")
SECRETS = {
    "SALESFORCE_CLIENT_SECRET": "canary/secret+1",
    "WRITEBACK_ALERT_WEBHOOK": "https://hooks.example.org/services/canaryHook",
    "WRITEBACK_ALERT_SMTP_URL": "smtp://user:canary%20mail@mail.example.org",
    "WRITEBACK_DATABASE": "postgresql://user:canaryBase@db.example.org/writebacks?sslpassword=canary%20key&schema=a",
    "WRITEBACK_CONSOLE_SECRET": "canary-console-secret",
}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Other tests log as they did."""
    root, ours = logging.getLogger(), logging.getLogger("writeback_pipeline")
    handlers, level = root.handlers[:], ours.level
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The lines on standard error, each a JSON object of ASCII."""
    text = capsys.readouterr().err
    assert text.isascii()
    return [json.loads(line) for line in text.splitlines()]


def test_away_from_a_terminal_a_line_is_json_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure({}, "info")
    logs.tell(LOG, "call", run="r1", lane="composite", rows=1_000, seconds=0.25, job=None)
    (line,) = said(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", str(line.pop("at")))
    line.pop("process")
    assert line == {
        "level": "info",
        "logger": "writeback_pipeline.somewhere",
        "event": "call",
        "run": "r1",
        "lane": "composite",
        "rows": 1_000,
        "seconds": 0.25,
    }


def test_as_text_a_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure({logs.FORMAT: "text"}, "info")
    logs.tell(LOG, "call", run="r1", rows=3)
    assert re.fullmatch(r"\d\d:\d\d:\d\d info    call run=r1 rows=3\n", capsys.readouterr().err)


@pytest.mark.parametrize("form", ["json", "text"])
def test_nothing_in_a_line_begins_another_or_is_obeyed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # a report of half a character breaks parallel runs
    logs.configure({logs.FORMAT: form}, "info")
    hostile = 'x\n2026 error forged\r\x1b[31m\x9b\u2028\u202e\ud800"}'
    logs.tell(LOG, hostile, field=hostile)
    LOG.warning("%s", hostile)
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 2
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)


def test_libraries_and_tracebacks_pass_the_same_redactor(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    logs.configure({}, "info")
    logging.getLogger("urllib3").warning("POST %s 200", "/services/canaryHook")
    try:
        raise ValueError("canary/secret+1 of jo.doe@mail.example")
    except ValueError:
        LOG.exception("unexpected")
    first, second = said(capsys)
    assert first["event"] == "POST *** 200"
    assert str(second["error"]).count("***") >= 2
    assert "canary" not in json.dumps([first, second])
    assert "jo.doe" not in json.dumps(second)


@pytest.mark.parametrize(
    "secret",
    [
        "canary/secret+1",
        "https://hooks.example.org/services/canaryHook",
        "/services/canaryHook",
        "canary%20mail",
        "canary mail",
        "canaryBase",
        "canary%20key",
        "canary key",
        "canary-console-secret",
        "00D5f000000AbCd!AQEAQcanary.token_1",
        "Bearer canaryToken",
        "olga:operator:$argon2id$v=19$m=65536,t=3,p=4$canarysalt$canaryhash/+",
        "eyJhbGciOi.eyJpc3MiOi.canary-signature",
    ],
)
def test_secrets_of_the_environment_and_tokens_are_taken_out_wherever_they_are(secret: str) -> None:
    assert "canary" not in redacted(f'before "{secret}" after', SECRETS)


def test_the_secrets_of_every_bridge_are_taken_out() -> None:
    variables = {f"NORTH_{name}": value for name, value in SECRETS.items()}
    assert redacted('"canary/secret+1" canaryBase /services/canaryHook', variables) == '"***" *** ***'


def test_a_line_of_a_bridges_process_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRITEBACK_BRIDGE", "north")
    logs.configure({}, "info")
    logs.tell(LOG, "call")
    (line,) = said(capsys)
    assert line["bridge"] == "north"


def test_short_secrets_and_record_ids_stay_and_addresses_only_where_they_may() -> None:
    line = "local 0035f00001AbCdEAAV jo.doe@mail.example"
    variables = {"SALESFORCE_CLIENT_SECRET": "local"}
    assert redacted(line, variables) == "local 0035f00001AbCdEAAV ***"
    assert redacted(line, variables | {"WRITEBACK_LOG_PERSONAL_DATA": "1"}) == line


@pytest.mark.parametrize("login", ["jo.doe", "jo.doe:***", "jo.doe@mail.example", "jo%40mail.example:***"])
@pytest.mark.parametrize("place", ["db.example.org:5432/writebacks?schema=north", "db/writebacks", "[::1]/writebacks"])
def test_the_host_and_the_database_of_an_address_stay_without_the_login(login: str, place: str) -> None:
    told = redacted(f"moved to postgresql://{login}@{place} for jo.doe@mail.example", {})
    assert told == f"moved to postgresql://***@{place} for ***"


def test_less_is_said_where_less_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure({logs.LEVEL: "error"}, "info")
    logs.tell(LOG, "call")
    LOG.warning("careful")
    assert capsys.readouterr().err == ""
    logs.configure({}, "warning")
    logs.tell(LOG, "call")
    LOG.warning("careful")
    assert len(said(capsys)) == 1


@pytest.mark.parametrize(("name", "value"), [(logs.FORMAT, "xml"), (logs.LEVEL, "loud")])
def test_what_there_is_not_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(logs.LogsMisconfigured, match=f"{name} is {value}"):
        logs.configure({name: value}, "info")
