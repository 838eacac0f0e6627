"""Logging in: what is asked of the organisation's token address, and what its answer means.

Pure apart from the clock in the signed assertion; the request itself is sent by `session`.
"""

import re
import time
from dataclasses import dataclass, field
from typing import Any

import jwt

from writeback_pipeline.domain.people import InvalidSalesforceId, normalise_id
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.errors import UNREADABLE, salesforce_error, trouble_of, unavailable

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - an address
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_SECONDS = 120  # Salesforce takes at most 180, and clocks differ

_ADVICE = {
    "invalid_grant": "The app or its user is not allowed in: check that the user is active and pre-authorised for the "
    "app, that the client credentials flow has a run-as user, that the certificate fits SALESFORCE_PRIVATE_KEY_FILE, "
    "and the app's IP restrictions.",
    "invalid_client": "Check SALESFORCE_CLIENT_SECRET, and that the app is installed in this organisation.",
    "invalid_client_id": "Check SALESFORCE_CLIENT_ID, and that the app is installed in this organisation.",
    "app_not_found": "The app is not installed in this organisation: check SALESFORCE_URL and install it.",
    "unsupported_grant_type": "Enable the client credentials or JWT bearer flow in the app's OAuth settings.",
}
_GENERAL_ADVICE = "Salesforce refuses the login: check the app's OAuth settings and the SALESFORCE_ variables."
_PASSING = ("unknown_error", "server_error", "temporarily_unavailable")


@dataclass(frozen=True, slots=True)
class Login:
    """An access token, the id of the organisation that gave it, and the user's that it is for."""

    token: str = field(repr=False)
    organisation_id: str
    user_id: str


def login_form(connection: SalesforceConnection) -> dict[str, str]:
    """The form to post to TOKEN_PATH."""
    auth = connection.auth
    if isinstance(auth, ClientCredentials):
        return {
            "grant_type": "client_credentials",
            "client_id": connection.client_id,
            "client_secret": auth.secret,
        }
    claims = {
        "iss": connection.client_id,
        "sub": auth.username,
        "aud": audience(connection),
        "exp": int(time.time()) + _ASSERTION_SECONDS,
    }
    return {"grant_type": _JWT_GRANT, "assertion": jwt.encode(claims, auth.private_key, algorithm="RS256")}


def audience(connection: SalesforceConnection) -> str:
    """Who the assertion is for: Salesforce's shared login host for its own addresses, else the address itself."""
    host = connection.netloc.partition(":")[0]
    if host.endswith((".sandbox.my.salesforce.com", ".scratch.my.salesforce.com")):
        return "https://test.salesforce.com"
    return "https://login.salesforce.com" if host.endswith(".salesforce.com") else connection.url


def read_login(connection: SalesforceConnection, status: int, body: Any) -> Login:
    """The login that the answer grants; raises OrganisationUnavailable when it grants none."""
    if status != 200:
        raise _refusal(connection, status, body)
    try:
        # The answer's id is https://login.salesforce.com/id/<organisation>/<user>.
        named = re.fullmatch(r"https?://[^/]+/id/(00D\w+)/(005\w+)", body["id"])
        if named and isinstance(body["access_token"], str):
            return Login(body["access_token"], normalise_id(named[1]), normalise_id(named[2]))
    except (TypeError, KeyError, InvalidSalesforceId):
        pass
    raise unavailable(UNREADABLE)


def _refusal(connection: SalesforceConnection, status: int, body: Any) -> OrganisationUnavailable:
    known = salesforce_error(body)
    if known is None or status >= 500:
        return unavailable(trouble_of(status, body))
    code, message = known
    if isinstance(connection.auth, ClientCredentials):
        message = message.replace(connection.auth.secret, "***")
    return OrganisationUnavailable(
        code,
        f"The login was refused: {message}.",
        _ADVICE.get(code, _GENERAL_ADVICE),
        passing=code in _PASSING,
    )
