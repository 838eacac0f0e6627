"""The HTTP session that every call goes through: one host, time-outs, a token that is renewed once, and a call count.

simple-salesforce sends its requests through it; what they ask and what their answers mean is not its work.
"""

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from writeback_pipeline.domain.budget import CallAhead, CallGate
from writeback_pipeline.domain.records import ApiUsage, OrganisationUnavailable, RowResult
from writeback_pipeline.salesforce.connection import SalesforceConnection
from writeback_pipeline.salesforce.errors import RequestRefused, salesforce_error, trouble_in, trouble_of, unavailable
from writeback_pipeline.salesforce.login import TOKEN_PATH, Login, login_form, read_login

CONNECT_SECONDS = 5.0
READ_SECONDS = 60.0

HEADERS = {
    # Without it an update of a Lead runs the assignment rules: its owner changes and is e-mailed.
    "Sforce-Auto-Assign": "FALSE",
    # No call here creates a person, and an opt-out must not wait for somebody to merge duplicates.
    "Sforce-Duplicate-Rule-Header": "allowSave=true",
    "Sforce-Call-Options": "client=writeback_pipeline",
}
"""On every request, and on every part of a composite: a part inherits only Accept, Authorization and Content-Type."""


class Ungated:
    """Lets every call through and tells nobody."""

    limit_known = True

    def admit(self, heard: ApiUsage) -> None:
        """Every call may be made."""

    def ahead(self, heard: ApiUsage) -> None:
        """Nothing is to be reserved."""

    def forgo(self) -> None:
        """Nothing was reserved ahead."""

    def admit_login(self) -> None:
        """Every login too."""

    def not_made(self) -> None:
        """Nothing was reserved."""

    def work(self) -> AbstractContextManager[None]:
        """Nobody hears of trouble."""
        return nullcontext()

    def wrote(self, results: Sequence[RowResult]) -> None:
        """Nobody counts refused rows."""


_USAGE = re.compile(r"\bapi-usage=(\d+)/(\d+)")
_Auth = Callable[[requests.PreparedRequest], requests.PreparedRequest]


class OneHostAdapter(HTTPAdapter):
    """Sends to the organisation's host only, so that its token reaches no other; never repeats a request.

    simple-salesforce knows https only: for an organisation on this machine that speaks http the scheme is put right.
    """

    def __init__(self, connection: SalesforceConnection) -> None:
        super().__init__()
        self._connection = connection

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request; raises RequestRefused for another host."""
        parts = urlsplit(request.url or "")
        if parts.netloc != self._connection.netloc:
            raise RequestRefused("FOREIGN_HOST", f"A request for {parts.hostname} was stopped.")
        request.url = parts._replace(scheme=self._connection.scheme).geturl()
        if self._connection.is_loopback:
            kwargs["proxies"] = None
        return super().send(request, *args, **kwargs)


class OrganisationSession(requests.Session):
    """A session that logs in when it has to. A request whose session expired is repeated once, headers and all.

    Raises OrganisationUnavailable where a login is refused or does not help; that is remembered, not tried again.
    Safe to share between threads.
    """

    def __init__(
        self,
        connection: SalesforceConnection,
        gate: CallGate,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        super().__init__()
        self.headers.update(HEADERS)
        adapter = OneHostAdapter(connection)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        self._connection = connection
        self._gate = gate
        self._timeout = (connect_seconds, read_seconds)
        self._login: Login | None = None
        self._refusal: OrganisationUnavailable | None = None
        self._usage = ApiUsage(calls=0)
        self._clock_ahead = timedelta()
        self._login_lock = threading.Lock()
        self._usage_lock = threading.Lock()

    @property
    def usage(self) -> ApiUsage:
        """Calls sent so far, logins excluded, and what the organisation last said of its own count."""
        return self._usage

    @property
    def server_time(self) -> datetime:
        """What Salesforce's clock shows, as its last answer told, to the second below; ours while nothing was heard."""
        return (datetime.now(UTC) + self._clock_ahead).replace(microsecond=0)

    def login(self, stale: Login | None = None) -> Login:
        """The current login; a new one when there is none or the current one is `stale`."""
        with self._login_lock:
            if self._refusal is not None:
                raise self._refusal.with_traceback(None)
            if self._login is None or self._login is stale:
                self._login = self._log_in(expected=self._login)
            return self._login

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request as the logged-in user, within the time-outs, following no redirect."""
        login, response = self._admitted(None, method, url, *args, **kwargs)
        if not _session_is_refused(response):
            return response
        _, response = self._admitted(login, method, url, *args, **kwargs)
        if _session_is_refused(response):
            self._refusal = unavailable(trouble_of(response.status_code, body_of(response)))
            raise self._refusal.with_traceback(None)
        return response

    def ahead(self) -> CallAhead | None:
        """This thread's next call, to be reserved with what is entered before it."""
        return self._gate.ahead(self._usage)

    def heard(self, used: int, limit: int) -> None:
        """Take what the organisation says of its own count from elsewhere than a header."""
        with self._usage_lock:
            self._usage = ApiUsage(self._usage.calls, used, limit)

    def _admitted(
        self, stale: Login | None, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any
    ) -> tuple[Login, requests.Response]:
        """One call, asked for at the gate first; one that never left is given back."""
        self._gate.admit(self._usage)
        try:
            login = self.login(stale)
            return login, self._counted(method, url, login, *args, **kwargs)
        except OrganisationUnavailable:
            self._gate.not_made()
            raise
        except requests.RequestException as error:
            if not trouble_in(error).maybe_executed:
                self._gate.not_made()
            raise

    def _counted(
        self, method: str | bytes, url: str | bytes, login: Login, *args: Any, **kwargs: Any
    ) -> requests.Response:
        try:
            response = self._sent(method, url, *args, **kwargs | {"auth": _bearer(login)})
        except requests.RequestException as error:
            if trouble_in(error).maybe_executed:
                self._count(None)
            raise
        self._count(response.headers.get("Sforce-Limit-Info"))
        return response

    def _sent(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        always = {"timeout": self._timeout, "allow_redirects": False}
        response = super().request(method, url, *args, **kwargs | always)
        self._clock_ahead = _clock_ahead(response.headers.get("Date", "")) or self._clock_ahead
        if response.is_redirect:
            host = urlsplit(response.headers["location"]).hostname or "another address"
            raise RequestRefused(
                "REDIRECTED",
                f"{self._connection.netloc} redirects to {host}.",
                maybe_executed=response.status_code == requests.codes.see_other,
            )
        return response

    def _log_in(self, expected: Login | None) -> Login:
        url = self._connection.url + TOKEN_PATH
        try:
            response = self._sent("POST", url, data=login_form(self._connection), auth=_anonymous)
        except requests.RequestException as error:
            raise unavailable(trouble_in(error)) from None
        try:
            login = read_login(self._connection, response.status_code, body_of(response))
        except OrganisationUnavailable as refusal:
            self._refusal = None if refusal.passing else refusal
            raise
        if expected is not None and login.organisation_id != expected.organisation_id:
            self._refusal = OrganisationUnavailable(
                "ORGANISATION_CHANGED",
                f"{self._connection.netloc} became organisation {login.organisation_id} during the run.",
                "Check SALESFORCE_URL and the credentials; nothing was written to it.",
                passing=False,
            )
            raise self._refusal
        return login

    def _count(self, limit_info: str | None) -> None:
        heard = _USAGE.search(limit_info or "")
        with self._usage_lock:
            before = self._usage
            used, limit = (int(heard[1]), int(heard[2])) if heard else (before.used, before.limit)
            self._usage = ApiUsage(before.calls + 1, used, limit)


def _clock_ahead(date: str) -> timedelta | None:
    """How far their clock is ahead of ours; None where the answer does not tell."""
    try:
        return parsedate_to_datetime(date) - datetime.now(UTC)
    except (ValueError, TypeError):
        return None


def _bearer(login: Login) -> _Auth:
    """Puts the token on a request. As `auth` it also keeps requests from taking another one out of a .netrc file."""

    def sign(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {login.token}"
        return request

    return sign


def _anonymous(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _session_is_refused(response: requests.Response) -> bool:
    if response.status_code != requests.codes.unauthorized:
        return False
    known = salesforce_error(body_of(response))
    return known is not None and known[0] == "INVALID_SESSION_ID"


def body_of(response: requests.Response) -> Any:
    """The answer's JSON; None when it is something else."""
    try:
        return response.json()
    except ValueError:
        return None
