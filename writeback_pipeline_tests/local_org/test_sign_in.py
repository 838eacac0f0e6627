"""Who comes in, by which grant, how the others are refused, and how long a token is good."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from writeback_pipeline.local_org import server, tokens
from writeback_pipeline_tests.local_org.support import CLIENT, Api, Org, error

LOGIN = "https://login.salesforce.com"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def ask(api: Api, form: Mapping[str, str], **more: Any) -> requests.Response:
    return requests.post(f"{api.url}/services/oauth2/token", data=form, timeout=30, **more)


@pytest.fixture
def signed(org: Org, tmp_path: Path) -> tuple[tokens.JwtClient, dict[str, Any]]:
    client = tokens.create_jwt_client(org.connection, tmp_path)
    return client, {"iss": client.client_id, "sub": client.username, "aud": LOGIN, "exp": org.clock() + 120}


def assertion(client: tokens.JwtClient, claims: Mapping[str, Any]) -> dict[str, str]:
    signed = jwt.encode(dict(claims), client.private_key_path.read_text(), "RS256")
    return {"grant_type": JWT_BEARER, "assertion": signed}


def test_client_credentials_give_a_token_for_this_address(api: Api) -> None:
    answer = ask(api, {"grant_type": "client_credentials", **CLIENT})
    told = answer.json()
    assert answer.status_code == 200
    assert set(told) == {"access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"}
    assert told["token_type"] == "Bearer"
    assert told["instance_url"] == api.url
    assert told["id"].startswith(f"{LOGIN}/id/00D")
    assert told["access_token"].startswith("00D")
    assert told["access_token"][15] == "!"


def test_client_credentials_may_stand_in_a_basic_header(api: Api) -> None:
    assert ask(api, {"grant_type": "client_credentials"}, auth=("local", "local")).status_code == 200
    assert ask(api, {"grant_type": "client_credentials"}, auth=("local", "wrong")).status_code == 400
    broken = {"Authorization": "Basic !"}
    assert ask(api, {"grant_type": "client_credentials"}, headers=broken).status_code == 400


def test_a_user_who_has_left_cannot_sign_in(api: Api, org: Org) -> None:
    org.connection.execute("UPDATE User SET IsActive = 0 WHERE Username = 'local@local.example'")
    answer = ask(api, {"grant_type": "client_credentials", **CLIENT})
    org.connection.execute("UPDATE User SET IsActive = 1")
    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_grant", "error_description": "inactive user"}


def test_user_name_and_password_give_a_token(api: Api) -> None:
    person = {"grant_type": "password", "username": "local@local.example", "password": "local"}
    assert ask(api, {**CLIENT, **person}).status_code == 200
    refused = ask(api, {**CLIENT, **person, "password": "wrong"})
    assert refused.status_code == 400
    assert refused.json() == {"error": "invalid_grant", "error_description": "authentication failure"}


@pytest.mark.parametrize(
    ("form", "refusal"),
    [
        ({"grant_type": "client_credentials", "client_id": "local", "client_secret": "x"}, "invalid_client"),
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "local"}, "invalid_client_id"),
        ({"grant_type": "client_credentials"}, "invalid_client_id"),
        ({"grant_type": "device", **CLIENT}, "unsupported_grant_type"),
        ({}, "unsupported_grant_type"),
    ],
)
def test_a_refused_sign_in_is_told_as_an_object(api: Api, form: dict[str, str], refusal: str) -> None:
    answer = ask(api, form)
    assert answer.status_code == 400
    assert answer.json()["error"] == refusal
    assert set(answer.json()) == {"error", "error_description"}


def test_a_signed_assertion_gives_a_token(api: Api, signed: tuple[tokens.JwtClient, dict[str, Any]]) -> None:
    client, claims = signed
    answer = ask(api, assertion(client, claims))
    assert answer.status_code == 200, answer.text
    for audience in ("https://test.salesforce.com", api.url):
        assert ask(api, assertion(client, claims | {"aud": audience})).status_code == 200


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"aud": "https://example.org"}, ("invalid_grant", "audience is invalid")),
        ({"exp": 1}, ("invalid_grant", "expired access/refresh token")),
        ({"exp": 4_000_000_000}, ("invalid_grant", "invalid assertion")),
        ({"exp": "soon"}, ("invalid_grant", "invalid assertion")),
        ({"sub": "nobody@example.org"}, ("invalid_grant", "user hasn't approved this consumer")),
        ({"iss": "nobody"}, ("invalid_client_id", "client identifier invalid")),
        ({"iss": "local"}, ("invalid_client_id", "client identifier invalid")),
    ],
)
def test_an_assertion_with_a_wrong_claim_is_refused(
    api: Api, signed: tuple[tokens.JwtClient, dict[str, Any]], change: dict[str, Any], refusal: tuple[str, str]
) -> None:
    client, claims = signed
    answer = ask(api, assertion(client, claims | change))
    assert answer.status_code == 400
    assert (answer.json()["error"], answer.json()["error_description"]) == refusal


def test_an_assertion_that_another_key_signed_is_refused(
    api: Api, org: Org, signed: tuple[tokens.JwtClient, dict[str, Any]], tmp_path: Path
) -> None:
    other = tokens.create_jwt_client(org.connection, tmp_path / "other")
    forged = assertion(other, signed[1])
    assert ask(api, forged).json() == {"error": "invalid_grant", "error_description": "invalid assertion"}
    assert ask(api, {"grant_type": JWT_BEARER, "assertion": "no.jwt.here"}).status_code == 400


def test_the_private_key_is_for_its_owner_only(signed: tuple[tokens.JwtClient, dict[str, Any]]) -> None:
    assert signed[0].private_key_path.stat().st_mode & 0o077 == 0


def test_a_call_without_a_token_or_with_a_wrong_one_is_refused(api: Api) -> None:
    for header in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Bearer "}):
        answer = requests.get(f"{api.url}{api.root}/limits", headers=header, timeout=30)
        assert answer.status_code == 401
        assert answer.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
        assert "Sforce-Limit-Info" not in answer.headers


def test_another_scheme_than_bearer_is_refused(api: Api) -> None:
    answer = requests.get(f"{api.url}{api.root}/limits", auth=("local", "local"), timeout=30)
    assert answer.status_code == 401
    assert answer.json() == [{"message": "INVALID_HEADER_TYPE", "errorCode": "INVALID_AUTH_HEADER"}]


def test_a_token_expires_after_two_hours(api: Api, org: Org) -> None:
    org.clock.now += 7_199
    assert api.get("limits").status_code == 200
    org.clock.now += 1
    assert error(api.get("limits")) == (401, "INVALID_SESSION_ID")
    api.sign_in()
    assert api.get("limits").status_code == 200


def test_how_long_a_token_is_good_can_be_changed(api: Api, org: Org) -> None:
    org.set(session_seconds=10)
    api.sign_in()
    org.clock.now += 11
    assert error(api.get("limits")) == (401, "INVALID_SESSION_ID")


def test_ending_all_sessions_ends_them(api: Api, org: Org) -> None:
    tokens.expire_all(org.connection)
    assert error(api.get("limits")) == (401, "INVALID_SESSION_ID")


def test_a_token_given_back_is_worthless(api: Api) -> None:
    token = api.sign_in()
    answer = requests.post(f"{api.url}/services/oauth2/revoke", data={"token": token}, timeout=30)
    assert answer.status_code == 200
    assert error(api.get("limits")) == (401, "INVALID_SESSION_ID")
    again = requests.post(f"{api.url}/services/oauth2/revoke", data={"token": token}, timeout=30)
    assert again.status_code == 400


def test_userinfo_tells_who_the_bearer_is(api: Api, org: Org) -> None:
    told = api.http.get(f"{api.url}/services/oauth2/userinfo", timeout=30).json()
    assert told["preferred_username"] == "local@local.example"
    assert told["organization_id"] == tokens.organisation_id(org.connection)
    assert api.read("User", told["user_id"])["Username"] == "local@local.example"
    assert requests.get(f"{api.url}/services/oauth2/userinfo", timeout=30).status_code == 403


def test_a_token_from_one_server_is_good_at_another_one(api: Api, org: Org) -> None:
    with server.run_in_thread(org.organisation.database, clock=org.clock) as other:
        there = Api(other.url, http=api.http)
        assert there.get("limits").status_code == 200


LOGIN_ENVELOPE = (
    '<se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/"><se:Body><login xmlns="urn:partner.soap.sforce'
    '.com"><username>local@local.example</username><password>{}</password></login></se:Body></se:Envelope>'
)


def soap(api: Api, password: str, version: str = "59.0") -> requests.Response:
    return requests.post(f"{api.url}/services/Soap/u/{version}", data=LOGIN_ENVELOPE.format(password), timeout=30)


def test_soap_login_is_switched_off(api: Api) -> None:
    answer = soap(api, "local")
    assert answer.status_code == 500
    assert "<faultcode>sf:INVALID_OPERATION</faultcode>" in answer.text
    assert "SOAP API login() is disabled by default in this org." in answer.text


def test_soap_login_can_be_switched_on_for_versions_that_have_it(api: Api, org: Org) -> None:
    org.set(soap_login=True)
    answer = soap(api, "local")
    assert answer.status_code == 200
    session = answer.text.split("<sessionId>")[1].split("<")[0]
    signed_in = requests.get(f"{api.url}{api.root}/limits", headers={"Authorization": f"Bearer {session}"}, timeout=30)
    assert signed_in.status_code == 200
    assert f"<serverUrl>{api.url}/services/Soap/u/59.0/00D" in answer.text
    assert "INVALID_LOGIN" in soap(api, "wrong").text
    assert soap(api, "local", "65.0").status_code == 500


def test_a_real_clock_is_the_default(tmp_path: Path) -> None:
    with server.run_in_thread(tmp_path / "organisation.sqlite") as running:
        issued = ask(Api(running.url), {"grant_type": "client_credentials", **CLIENT}).json()["issued_at"]
    assert abs(int(issued) / 1000 - time.time()) < 60
