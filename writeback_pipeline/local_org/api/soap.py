"""SOAP login(), for clients that know no other way in; switched off unless an administrator allows it.

Nothing else of the SOAP API is here: what login gives is a session for REST.
"""

from __future__ import annotations

import html
import re
import sqlite3

from writeback_pipeline.local_org import settings, tokens
from writeback_pipeline.local_org.api.http import Response

_LAST_VERSION_WITH_LOGIN = 64
_HEADERS = {"Content-Type": "text/xml;charset=UTF-8"}
_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"{namespaces}>'
    "<soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"
)
_SCHEMA_INSTANCE = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_DISABLED = (
    "SOAP API login() is disabled by default in this org. Contact the org administrator to enable SOAP API login()."
)


def login(connection: sqlite3.Connection, version: str, body: str, base_url: str, now: float) -> Response:
    """The answer to a login() envelope: a session, or a fault with status 500."""
    chosen = settings.load(connection)
    number = int(version.split(".")[0]) if version.split(".")[0].isdigit() else 0
    if not chosen.soap_login or number > _LAST_VERSION_WITH_LOGIN:
        return _fault("INVALID_OPERATION", _DISABLED)
    username, password = (_element(body, name) for name in ("username", "password"))
    user_id = tokens.user_id(connection, username)
    if username != tokens.INTEGRATION_USER or password != tokens.PASSWORD or user_id is None:
        return _fault("INVALID_LOGIN", "Invalid username, password, security token; or user locked out.")
    session_id = tokens.issue(connection, user_id, now, chosen.session_seconds)
    return _success(connection, user_id, session_id, f"{base_url}/services/Soap/{{}}/{version}", chosen.session_seconds)


def _success(connection: sqlite3.Connection, user_id: str, session_id: str, url: str, seconds: float) -> Response:
    user = connection.execute("SELECT * FROM User WHERE Id = ?", (user_id,)).fetchone()
    organisation = connection.execute("SELECT * FROM Organization").fetchone()
    info = {
        "organizationId": organisation["Id"], "organizationMultiCurrency": "false",
        "organizationName": organisation["Name"], "sessionSecondsValid": str(int(seconds)), "userEmail": user["Email"],
        "userFullName": user["Name"], "userId": user_id, "userLanguage": "en_US", "userLocale": "en_GB",
        "userName": user["Username"], "userTimeZone": user["TimeZoneSidKey"], "userType": user["UserType"],
    }  # fmt: skip
    short = organisation["Id"][:15]
    result = {
        "metadataServerUrl": f"{url.format('m')}/{short}", "passwordExpired": "false", "sandbox": "false",
        "serverUrl": f"{url.format('u')}/{short}", "sessionId": session_id, "userId": user_id,
    }  # fmt: skip
    body = f"<loginResponse><result>{_elements(result)}<userInfo>{_elements(info)}</userInfo></result></loginResponse>"
    namespaces = f' xmlns="urn:partner.soap.sforce.com"{_SCHEMA_INSTANCE}'
    return Response(200, _ENVELOPE.format(namespaces=namespaces, body=body).encode(), _HEADERS)


def _fault(code: str, message: str) -> Response:
    detail = _elements({"sf:exceptionCode": code, "sf:exceptionMessage": message})
    body = (
        f"<soapenv:Fault><faultcode>sf:{code}</faultcode><faultstring>{code}: {html.escape(message)}</faultstring>"
        f'<detail><sf:LoginFault xsi:type="sf:LoginFault">{detail}</sf:LoginFault></detail></soapenv:Fault>'
    )
    namespaces = f' xmlns:sf="urn:fault.partner.soap.sforce.com"{_SCHEMA_INSTANCE}'
    return Response(500, _ENVELOPE.format(namespaces=namespaces, body=body).encode(), _HEADERS)


def _element(body: str, name: str) -> str:
    found = re.search(rf"<(?:\w+:)?{name}>([^<]*)</", body)
    return html.unescape(found[1]) if found else ""


def _elements(values: dict[str, str]) -> str:
    return "".join(f"<{name}>{html.escape(value)}</{name}>" for name, value in values.items())
