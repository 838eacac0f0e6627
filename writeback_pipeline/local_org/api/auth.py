"""OAuth: how a client comes by an access token, learns who it is, and gives the token back.

Three grants: client credentials, JWT bearer, user name and password. Refusals are objects, not the lists of the API.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from writeback_pipeline.local_org import settings, times, tokens
from writeback_pipeline.local_org.api.http import Response

_AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")
_SIGNATURE_ONLY: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
"""The claims are checked below, against the organisation's own clock."""

_LONGEST_ASSERTION_SECONDS = 180 + 30  # three minutes, and a clock that is a little ahead


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The form of a token request, the credentials of a Basic header among it, and where and when it came."""

    connection: sqlite3.Connection
    form: Mapping[str, str]
    base_url: str
    now: float


class _RefusedError(Exception):
    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.body = {"error": error, "error_description": description}


def token(request: TokenRequest) -> Response:
    """The answer to a token request: a token for 200, or a refusal for 400."""
    grant = _GRANTS.get(request.form.get("grant_type", ""))
    try:
        if grant is None:
            raise _RefusedError("unsupported_grant_type", "grant type not supported")
        user_id = tokens.user_id(request.connection, grant(request))
        if user_id is None:
            raise _RefusedError("invalid_grant", "inactive user")
    except _RefusedError as refused:
        return Response(400, refused.body)
    lifetime = settings.load(request.connection).session_seconds
    access = tokens.issue(request.connection, user_id, request.now, lifetime)
    identity = f"{_AUDIENCES[0]}/id/{tokens.organisation_id(request.connection)}/{user_id}"
    issued_at = str(int(request.now * 1000))
    signature = base64.b64encode(hashlib.sha256(f"{identity}{issued_at}".encode()).digest()).decode()
    return Response(
        200,
        {
            "access_token": access,
            "signature": signature,
            "scope": "api",
            "instance_url": request.base_url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        },
    )


def basic_credentials(header: str) -> dict[str, str]:
    """Client id and secret of an Authorization header, as the form fields they stand for; empty if it has none."""
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return {}
    client_id, separator, secret = decoded.partition(":")
    return {"client_id": client_id, "client_secret": secret} if separator else {}


def userinfo(connection: sqlite3.Connection, user_id: str, base_url: str) -> Response:
    """Who the bearer of the token is."""
    user = connection.execute("SELECT * FROM User WHERE Id = ?", (user_id,)).fetchone()
    organisation = tokens.organisation_id(connection)
    data = f"{base_url}/services/data/v{{version}}/"
    body: dict[str, Any] = {
        "sub": f"{_AUDIENCES[0]}/id/{organisation}/{user_id}",
        "user_id": user_id,
        "organization_id": organisation,
        "preferred_username": user["Username"],
        "nickname": user["Username"].split("@")[0],
        "name": user["Name"],
        "email": user["Email"],
        "email_verified": True,
        "given_name": user["FirstName"],
        "family_name": user["LastName"],
        "zoneinfo": user["TimeZoneSidKey"],
        "urls": {"rest": data, "sobjects": f"{data}sobjects/", "query": f"{data}query/", "custom_domain": base_url},
        "active": bool(user["IsActive"]),
        "user_type": user["UserType"].upper(),
        "language": "en_US",
        "locale": "en_GB",
        "utcOffset": 0,
        "updated_at": times.iso(user["LastModifiedDate"]),
    }
    return Response(200, body)


def revoke(connection: sqlite3.Connection, access: str) -> Response:
    """Give a token back."""
    if tokens.revoke(connection, access):
        return Response(200)
    return Response(400, {"error": "unsupported_token_type", "error_description": "this token type is not supported"})


def _client_credentials(request: TokenRequest) -> str:
    return _authenticated_client(request).username


def _password(request: TokenRequest) -> str:
    _authenticated_client(request)
    username = request.form.get("username", "")
    if username != tokens.INTEGRATION_USER or request.form.get("password") != tokens.PASSWORD:
        raise _RefusedError("invalid_grant", "authentication failure")
    return username


def _jwt_bearer(request: TokenRequest) -> str:
    assertion = request.form.get("assertion", "")
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise _RefusedError("invalid_grant", "invalid assertion") from None
    client = tokens.client(request.connection, str(claims.get("iss")))
    if client is None or client.public_key is None:
        raise _RefusedError("invalid_client_id", "client identifier invalid")
    try:
        jwt.decode(assertion, client.public_key, ["RS256"], _SIGNATURE_ONLY)
    except jwt.InvalidTokenError:
        raise _RefusedError("invalid_grant", "invalid assertion") from None
    if claims.get("aud") not in (*_AUDIENCES, request.base_url):
        raise _RefusedError("invalid_grant", "audience is invalid")
    expires = _number(claims.get("exp"))
    if expires is None or expires > request.now + _LONGEST_ASSERTION_SECONDS:
        raise _RefusedError("invalid_grant", "invalid assertion")
    if expires <= request.now:
        raise _RefusedError("invalid_grant", "expired access/refresh token")
    if claims.get("sub") != client.username:
        raise _RefusedError("invalid_grant", "user hasn't approved this consumer")
    return client.username


def _number(claim: Any) -> float | None:
    """A claim that some clients send as text."""
    try:
        return float(claim)
    except (TypeError, ValueError):
        return None


def _authenticated_client(request: TokenRequest) -> tokens.Client:
    client = tokens.client(request.connection, request.form.get("client_id", ""))
    if client is None or client.secret is None:
        raise _RefusedError("invalid_client_id", "client identifier invalid")
    if request.form.get("client_secret") != client.secret:
        raise _RefusedError("invalid_client", "invalid client credentials")
    return client


_GRANTS: dict[str, Callable[[TokenRequest], str]] = {
    "client_credentials": _client_credentials,
    "password": _password,
    "urn:ietf:params:oauth:grant-type:jwt-bearer": _jwt_bearer,
}
