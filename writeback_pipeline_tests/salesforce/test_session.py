import threading
import time
from pathlib import Path

import pytest
import requests

from writeback_pipeline.domain.people import InvalidSalesforceId, ObjectType, PersonRef
from writeback_pipeline.domain.records import Gone, OrganisationUnavailable
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.salesforce.session import OrganisationSession, Ungated
from writeback_pipeline_tests.patience import PATIENCE_SECONDS
from writeback_pipeline_tests.salesforce.scripted import (
    EXPIRED,
    ORGANISATION_ID,
    SECRET,
    Heard,
    Say,
    ScriptedServer,
    scripted_server,
)

SOMEBODY = [PersonRef(ObjectType.CONTACT, "003000000000001AAA")]
NOBODY = {"records": [], "totalSize": 0, "done": True}


def empty_organisation(heard: Heard) -> Say:
    return Say(body=[None] if heard.method == "POST" else NOBODY)


def test_it_logs_in_once_and_only_when_needed(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.script = empty_organisation
    assert not server.logins
    assert scripted.organisation_id == ORGANISATION_ID
    assert scripted.look(SOMEBODY) == {SOMEBODY[0].salesforce_id: Gone("NOT_FOUND")}
    assert len(server.logins) == 1
    assert scripted.usage.calls == len(server.heard) == 2


def test_every_call_names_the_client_and_keeps_assignment_rules_off(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = empty_organisation
    scripted.look(SOMEBODY)
    for heard in server.heard:
        assert heard.headers["sforce-auto-assign"] == "FALSE"
        assert heard.headers["sforce-call-options"] == "client=writeback_pipeline"
        assert heard.headers["authorization"] == "Bearer token-1"


def test_an_expired_session_is_renewed_once_and_the_request_repeated_whole(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.answers(Say(401, EXPIRED), Say(body=[None]), Say(body=NOBODY))
    scripted.look(SOMEBODY)
    first, repeated, _ = server.heard
    assert len(server.logins) == 2
    assert (repeated.method, repeated.path, repeated.body) == (first.method, first.path, first.body)
    assert repeated.headers == {**first.headers, "authorization": "Bearer token-2"}


def test_a_session_that_a_login_does_not_mend_is_given_up_for_good(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.answers(Say(401, EXPIRED))
    for _ in range(3):
        with pytest.raises(OrganisationUnavailable) as refused:
            scripted.look(SOMEBODY)
        assert refused.value.code == "INVALID_SESSION_ID"
        assert "even after a new login" in refused.value.advice
        assert not refused.value.passing
    assert (len(server.heard), len(server.logins)) == (2, 2)


def test_a_refused_session_is_never_handed_on_as_an_answer(server: ScriptedServer) -> None:
    server.answers(Say(401, EXPIRED))
    with OrganisationSession(server.connection, Ungated()) as session, pytest.raises(OrganisationUnavailable):
        session.get(f"{server.url}/services/data")


def test_nobody_waits_longer_than_asked_for(server: ScriptedServer, hasty: SalesforceOrganisation) -> None:
    server.answers(Say(silent=True))
    begun = time.monotonic()
    with pytest.raises(OrganisationUnavailable, match="did not answer in time"):
        hasty.look(SOMEBODY)
    assert time.monotonic() - begun < PATIENCE_SECONDS


def test_threads_whose_session_expired_share_one_new_login(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    together = threading.Barrier(6)

    def script(heard: Heard) -> Say:
        if heard.headers["authorization"] == "Bearer token-1":
            return Say(401, EXPIRED)
        return empty_organisation(heard)

    def look() -> None:
        together.wait()
        scripted.look(SOMEBODY)

    server.script = script
    assert scripted.organisation_id
    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.logins) == 2


def test_a_refused_login_is_not_repeated(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.login = lambda _: Say(400, {"error": "invalid_grant", "error_description": "inactive user"})
    for _ in range(3):
        with pytest.raises(OrganisationUnavailable, match="inactive user"):
            scripted.look(SOMEBODY)
    assert (len(server.logins), len(server.heard)) == (1, 0)


def test_a_login_that_failed_for_a_passing_reason_is_tried_again(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    grant = server.login
    server.login = lambda _: Say(503, "<html>maintenance</html>")
    with pytest.raises(OrganisationUnavailable) as refused:
        scripted.look(SOMEBODY)
    assert refused.value.passing
    server.login = grant
    assert scripted.organisation_id == ORGANISATION_ID


def test_another_organisation_after_a_new_login_stops_everything(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    assert scripted.organisation_id == ORGANISATION_ID
    identity = "https://login.salesforce.com/id/00D000000000002EAA/005000000000001AAA"
    server.login = lambda _: Say(body={"access_token": "other", "id": identity})
    server.answers(Say(401, EXPIRED))
    for _ in range(2):
        with pytest.raises(OrganisationUnavailable, match="00D000000000002EAA"):
            scripted.look(SOMEBODY)
    assert len(server.heard) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_no_token_goes_where_it_points(
    server: ScriptedServer, scripted: SalesforceOrganisation, status: int
) -> None:
    with scripted_server() as elsewhere:
        server.answers(Say(status, "", {"Location": f"{elsewhere.url}/services/data"}))
        with pytest.raises(OrganisationUnavailable, match=r"redirects to 127\.0\.0\.1") as refused:
            scripted.look(SOMEBODY)
        assert not elsewhere.heard
        assert not elsewhere.logins
    assert refused.value.code == "REDIRECTED"
    assert "SALESFORCE_URL" in refused.value.advice


def test_a_redirected_login_takes_no_secret_along(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    with scripted_server() as elsewhere:
        server.login = lambda _: Say(307, "", {"Location": f"{elsewhere.url}/services/oauth2/token"})
        with pytest.raises(OrganisationUnavailable, match="REDIRECTED"):
            scripted.look(SOMEBODY)
        assert not elsewhere.logins


def test_a_next_page_on_another_host_is_not_fetched(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    with scripted_server() as elsewhere:
        for address in (f"{elsewhere.url}/services/data/v65.0/query/1", f"@{elsewhere.netloc}/x", "//evil.example/x"):
            server.answers(Say(body=[None]), Say(body={**NOBODY, "done": False, "nextRecordsUrl": address}))
            with pytest.raises(OrganisationUnavailable, match="UNREADABLE_ANSWER"):
                scripted.look(SOMEBODY)
        assert not elsewhere.heard


def test_a_request_for_another_host_never_leaves(server: ScriptedServer) -> None:
    with scripted_server() as elsewhere, OrganisationSession(server.connection, Ungated()) as session:
        for url in (f"{elsewhere.url}/x", f"https://ann@{server.netloc}/x", "https://evil.example/x"):
            with pytest.raises(requests.RequestException, match="was stopped"):
                session.get(url)
        assert not elsewhere.heard
        assert not server.heard
        assert session.usage.calls == 0


@pytest.mark.parametrize(
    "hostile", ["https://evil.example/x", "//evil.example/x", "../User/005000000000001AAA", "' OR Id != '", "", "003"]
)
def test_a_hostile_id_is_refused_before_anything_is_sent(
    server: ScriptedServer, scripted: SalesforceOrganisation, hostile: str
) -> None:
    with pytest.raises(InvalidSalesforceId):
        scripted.look([*SOMEBODY, PersonRef(ObjectType.CONTACT, hostile)])
    with pytest.raises(InvalidSalesforceId):
        scripted.find_notes([(hostile, "title")])
    assert not server.heard
    assert not server.logins


def test_the_callers_netrc_and_proxy_have_no_say(
    server: ScriptedServer, scripted: SalesforceOrganisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.script = empty_organisation
    scripted.look(SOMEBODY)
    assert "authorization" not in server.logins[0].headers
    assert server.heard[0].headers["authorization"] == "Bearer token-1"


def test_usage_is_read_from_answers_and_survives_those_without_it(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    heard_of = {"Sforce-Limit-Info": "api-usage=891/15000; per-app-api-usage=17/250(appName=x)"}
    server.answers(Say(body=[None], headers=heard_of), Say(body=NOBODY), Say(body=NOBODY))
    assert (scripted.usage.calls, scripted.usage.used, scripted.usage.limit) == (0, None, None)
    scripted.look(SOMEBODY)
    assert (scripted.usage.calls, scripted.usage.used, scripted.usage.limit) == (2, 891, 15000)


def test_usage_is_heard_of_a_refusal_too(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    over = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
    server.answers(Say(403, over, {"Sforce-Limit-Info": "api-usage=15000/15000"}))
    with pytest.raises(OrganisationUnavailable) as refused:
        scripted.look(SOMEBODY)
    assert refused.value.code == "REQUEST_LIMIT_EXCEEDED"
    assert scripted.usage.used == scripted.usage.limit == 15000


TROUBLES = [
    Say(503, "<html>maintenance</html>"),
    Say(500, [{"message": "ErrorId 1", "errorCode": "UNKNOWN_EXCEPTION"}]),
    Say(401, "<html>proxy</html>"),
    Say(401, EXPIRED),
    Say(403, [{"message": "m", "errorCode": "API_DISABLED_FOR_ORG"}]),
    Say(body=[{"message": "m"}], cut=True),
    Say(body="<html>"),
    Say(body="7"),
    Say(drop=True),
    Say(silent=True),
    Say(302, "", {"Location": "https://evil.example"}),
]


@pytest.mark.parametrize("say", TROUBLES, ids=lambda say: f"{say.status}-{str(say.body)[:12]}")
def test_no_trouble_shows_a_secret_or_a_token(
    server: ScriptedServer,
    scripted: SalesforceOrganisation,
    hasty: SalesforceOrganisation,
    say: Say,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    server.answers(say)
    with pytest.raises(OrganisationUnavailable) as refused:
        (hasty if say.silent else scripted).look(SOMEBODY)
    told = f"{refused.value} {refused.value!r} {refused.value.__cause__} {caplog.text}"
    assert SECRET not in told
    assert "token-" not in told
