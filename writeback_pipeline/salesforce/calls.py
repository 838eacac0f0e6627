"""One REST call, alone or several in a composite, through simple-salesforce; failures come out as CallFailed.

Shapes of requests and answers only: which calls are made and what becomes of rows is decided by its callers.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
import urllib3
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceError

from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.salesforce.connection import SalesforceConnection
from writeback_pipeline.salesforce.errors import UNREADABLE, CallFailed, Trouble, trouble_in, trouble_of
from writeback_pipeline.salesforce.session import HEADERS, OrganisationSession, body_of

API_VERSION = "65.0"
DATA_PATH = f"/services/data/v{API_VERSION}/"

MAX_COLLECTIONS = 5
"""Collections and queries that one composite may carry; the whole counts as one API call."""


@dataclass(frozen=True, slots=True)
class Request:
    """A REST request; `path` is relative to the version's root."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request of a composite."""

    status: int
    body: Any


class Calls:
    """Sends requests to one organisation."""

    def __init__(self, connection: SalesforceConnection, session: OrganisationSession) -> None:
        self._session = session
        # The session holds the real token and renews it: with a session id of its own, the library never logs in.
        self._salesforce = Salesforce(
            session_id="none",
            instance=connection.netloc,
            version=API_VERSION,
            session=session,
            object_pairs_hook=None,
        )

    def single(self, request: Request) -> Any:
        """The answer's JSON, None when it is empty; raises CallFailed."""
        data = None if request.body is None else json.dumps(request.body, allow_nan=False)
        try:
            # TypeError: the library takes the length of whatever JSON it got, a bare number too.
            return self._salesforce.restful(request.path, method=request.method, data=data)
        except (requests.RequestException, SalesforceError, ValueError, TypeError) as error:
            raise CallFailed(trouble_in(error)) from None
        except OrganisationUnavailable as refusal:
            raise CallFailed(Trouble(refusal.code, refusal.message, maybe_executed=False), refusal) from None

    def upload(self, path: str, content: bytes) -> None:
        """Put a CSV file there; raises CallFailed."""
        try:
            with self._raw("PUT", path, data=content, headers={"Content-Type": "text/csv; charset=UTF-8"}):
                pass
        except requests.RequestException as error:
            raise CallFailed(trouble_in(error)) from None

    def table(self, path: str) -> Iterator[list[str]]:
        """The lines of a CSV file as they arrive, its header first; raises CallFailed, halfway too."""
        try:
            with self._raw("GET", path, stream=True, headers={"Accept": "text/csv"}) as response:
                raw: Any = response.raw
                raw.decode_content = True
                raw.auto_close = False  # the wrapper finds the end of it by itself
                text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
                yield from csv.reader(text, strict=True)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise CallFailed(trouble_in(error)) from None
        except (UnicodeDecodeError, csv.Error):
            raise CallFailed(UNREADABLE) from None

    def page(self, path: str) -> tuple[list[list[str]], str | None]:
        """A page of a CSV result, its header first, and where the next one begins, if there is one."""
        try:
            with self._raw("GET", path, headers={"Accept": "text/csv"}) as response:
                locator = response.headers.get("Sforce-Locator", "null")
                text = io.StringIO(response.content.decode("utf-8"), newline="")
                return list(csv.reader(text, strict=True)), None if locator == "null" else locator
        except requests.RequestException as error:
            raise CallFailed(trouble_in(error)) from None
        except (UnicodeDecodeError, csv.Error):
            raise CallFailed(UNREADABLE) from None

    def _raw(self, method: str, path: str, **how: Any) -> requests.Response:
        """The answer to a request whose body, or whose answer, is not JSON."""
        try:
            response = self._session.request(method, f"{self._salesforce.base_url}{path}", **how)
        except OrganisationUnavailable as refusal:
            raise CallFailed(Trouble(refusal.code, refusal.message, maybe_executed=False), refusal) from None
        if not response.ok:
            with response:
                raise CallFailed(trouble_of(response.status_code, body_of(response)))
        return response

    def composite(self, requests_: Sequence[Request]) -> list[Reply | None]:
        """The answers to up to MAX_COLLECTIONS requests, made in this order in one call; None where one is missing."""
        body = {
            "allOrNone": False,
            "collateSubrequests": False,
            "compositeRequest": [
                subrequest(_reference(position), request) for position, request in enumerate(requests_)
            ],
        }
        by_reference = replies(self.single(Request("POST", "composite", body)))
        if by_reference is None:
            raise CallFailed(UNREADABLE)
        return [by_reference.get(_reference(position)) for position in range(len(requests_))]


def soql_request(soql: str) -> Request:
    """A query that finds deleted and archived records too."""
    return Request("GET", f"queryAll?q={quote(soql, safe='')}")


def subrequest(reference: str, request: Request) -> dict[str, Any]:
    """A request as an element of `compositeRequest`; its answer bears the same reference."""
    element: dict[str, Any] = {
        "method": request.method,
        "url": DATA_PATH + request.path,
        "referenceId": reference,
        "httpHeaders": HEADERS,
    }
    return element if request.body is None else element | {"body": request.body}


def replies(answered: Any) -> dict[str, Reply] | None:
    """What can be read of a `compositeResponse`, by reference; None when there is none."""
    listed = answered.get("compositeResponse") if isinstance(answered, dict) else None
    if not isinstance(listed, list):
        return None
    return {
        item["referenceId"]: Reply(item["httpStatusCode"], item.get("body"))
        for item in listed
        if isinstance(item, dict)
        and isinstance(item.get("referenceId"), str)
        and isinstance(item.get("httpStatusCode"), int)
    }


def _reference(position: int) -> str:
    return f"part{position}"
