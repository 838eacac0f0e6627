import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.salesforce.connection import ClientCredentials, JwtBearer, SalesforceConnection
from writeback_pipeline.salesforce.login import audience, login_form, read_login

GRANTED = {
    "access_token": "00D!token",
    "instance_url": "https://acme.my.salesforce.com",
    "id": "https://login.salesforce.com/id/00D000000000001/005000000000001AAA",
}


def by_secret(url: str = "https://acme.my.salesforce.com") -> SalesforceConnection:
    return SalesforceConnection(url, "app", ClientCredentials("hush-4711"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://acme.my.salesforce.com", "https://login.salesforce.com"),
        ("https://acme-dev-ed.develop.my.salesforce.com", "https://login.salesforce.com"),
        ("https://acme--uat.sandbox.my.salesforce.com", "https://test.salesforce.com"),
        ("https://acme.scratch.my.salesforce.com", "https://test.salesforce.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_the_assertion_is_addressed_to_the_login_host_of_the_kind_of_organisation(url: str, expected: str) -> None:
    assert audience(by_secret(url)) == expected


def test_the_assertion_is_signed_and_lives_under_three_minutes() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    connection = SalesforceConnection("https://acme.my.salesforce.com", "app", JwtBearer("ann@acme.example", key))
    form = login_form(connection)
    claims = jwt.decode(
        form["assertion"], key.public_key(), algorithms=["RS256"], audience="https://login.salesforce.com"
    )
    assert form["grant_type"].endswith("jwt-bearer")
    assert (claims["iss"], claims["sub"]) == ("app", "ann@acme.example")
    assert 0 < claims["exp"] - time.time() <= 180


def test_the_organisations_id_comes_with_the_login() -> None:
    login = read_login(by_secret(), 200, GRANTED)
    assert login.organisation_id == "00D000000000001EAA"
    assert "00D!token" not in repr(login)


@pytest.mark.parametrize(
    "body", [None, [], "<html>", {}, {**GRANTED, "access_token": None}, {**GRANTED, "id": "https://x/id/00Dx/005y"}]
)
def test_a_login_answer_that_cannot_be_read_is_an_outage(body: object) -> None:
    with pytest.raises(OrganisationUnavailable) as refused:
        read_login(by_secret(), 200, body)
    assert (refused.value.code, refused.value.passing) == ("UNREADABLE_ANSWER", True)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("invalid_grant", "pre-authorised"),
        ("invalid_client", "SALESFORCE_CLIENT_SECRET"),
        ("invalid_client_id", "SALESFORCE_CLIENT_ID"),
        ("app_not_found", "SALESFORCE_URL"),
        ("something_new", "OAuth settings"),
    ],
)
def test_a_refused_login_says_what_to_check_and_never_the_secret(code: str, remedy: str) -> None:
    with pytest.raises(OrganisationUnavailable) as refused:
        read_login(by_secret(), 400, {"error": code, "error_description": "bad secret hush-4711"})
    assert refused.value.code == code
    assert remedy in refused.value.advice
    assert not refused.value.passing
    assert "hush-4711" not in str(refused.value)


def test_trouble_on_salesforces_side_of_a_login_passes() -> None:
    for status, body in [(400, {"error": "unknown_error"}), (503, "<html>"), (500, {"error": "server_error"})]:
        with pytest.raises(OrganisationUnavailable) as refused:
            read_login(by_secret(), status, body)
        assert refused.value.passing
