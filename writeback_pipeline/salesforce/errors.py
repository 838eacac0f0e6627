"""What a call that failed as a whole says: a code, a message, and whether Salesforce may have acted on it all the same.

Reads answers and exceptions of every shape into one value and knows nothing of rows. What an error code means for a
row is the domain's table.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests
from simple_salesforce.exceptions import SalesforceError
from urllib3.exceptions import NewConnectionError

from writeback_pipeline.domain.outcomes import CONCURRENT, Action, classify
from writeback_pipeline.domain.records import OrganisationUnavailable


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a call got no usable answer. `maybe_executed` is False only when Salesforce certainly did nothing."""

    code: str
    message: str
    maybe_executed: bool


class CallFailed(Exception):
    """A call that got no usable answer; `refusal` is set where the login behind it was refused."""

    def __init__(self, trouble: Trouble, refusal: OrganisationUnavailable | None = None) -> None:
        super().__init__(f"{trouble.code}: {trouble.message}")
        self.trouble = trouble
        self._refusal = refusal

    @property
    def concerns_everything(self) -> bool:
        """Whether every other call would meet the same trouble now, as opposed to what this one carried."""
        return self._refusal is not None or concerns_everything(self.trouble)

    @property
    def unavailable(self) -> OrganisationUnavailable:
        """The trouble as what delivery is told."""
        return self._refusal or unavailable(self.trouble)


class RequestRefused(requests.RequestException):
    """A request that was stopped on this side, or an answer that must not be followed, so that the token stays here."""

    def __init__(self, code: str, message: str, *, maybe_executed: bool = False) -> None:
        super().__init__(message)
        self.trouble = Trouble(code, message, maybe_executed)


UNREADABLE = Trouble("UNREADABLE_ANSWER", "Salesforce's answer was not the JSON it should be.", True)

_NETWORK = "Check the network, proxy and SALESFORCE_URL; it is tried again by itself."
_OUTAGE = "Salesforce, or something on the way to it, is out of order; it is tried again by itself."
_REQUEST = "Salesforce refuses the request itself, whatever the record: report this with the message."
_ADVICE: dict[str, tuple[str, bool]] = {
    "CONNECT_FAILED": (_NETWORK, True),
    "PROXY_FAILED": (_NETWORK, True),
    "NO_ANSWER": (_OUTAGE, True),
    "UNREADABLE_ANSWER": (_OUTAGE, True),
    "CERTIFICATE_REFUSED": (
        "The certificate could not be verified: check SALESFORCE_URL, the clock, and REQUESTS_CA_BUNDLE if a proxy "
        "re-signs connections.",
        False,
    ),
    "REDIRECTED": ("Set SALESFORCE_URL to the address the organisation has now; redirects are never followed.", False),
    "FOREIGN_HOST": ("Report this: a request for another host was built; it was not sent.", False),
}
"""Advice, and whether it can pass by itself, for trouble that is not Salesforce's own error."""

_ERROR_KEYS = (
    ("errorCode", "message"),
    ("statusCode", "message"),
    ("error", "error_description"),
)  # calls, rows, OAuth
_GENERAL = (Action.QUOTA, Action.CONFIGURATION, Action.RETRY)
_OF_THE_ADDRESS = ("NOT_FOUND",)
"""Codes of a whole request that lie in where it went, such as a field for keys that the organisation lacks."""

_CONCURRENT_WAIT = timedelta(seconds=10)
_QUOTA_WAIT = timedelta(hours=1)


def salesforce_error(body: Any) -> tuple[str, str] | None:
    """Code and message of an error body in any of Salesforce's shapes; None when it is something else (HTML, say)."""
    return next(_errors_in(body), None)


def trouble_of(status: int, body: Any) -> Trouble:
    """The trouble that an answer with an error status tells.

    Only a 4xx in Salesforce's own words proves that nothing was executed: after a 5xx the write may stand, and a page
    of HTML may come from anything on the way.
    """
    known = salesforce_error(body)
    code, message = known or (f"HTTP_{status}", f"The answer, HTTP {status}, was not in Salesforce's form.")
    return Trouble(code, message, maybe_executed=known is None or not 400 <= status < 500)


def trouble_in(error: Exception) -> Trouble:
    """The trouble behind an exception of requests or simple-salesforce; its text is never repeated, it holds URLs."""
    if isinstance(error, RequestRefused):
        return error.trouble
    if isinstance(error, SalesforceError):
        return trouble_of(error.status, error.content)
    if isinstance(error, requests.exceptions.ProxyError):
        return Trouble("PROXY_FAILED", "The proxy could not be reached.", False)
    if isinstance(error, requests.exceptions.SSLError) and _caused_by(error, ssl.SSLCertVerificationError):
        return Trouble("CERTIFICATE_REFUSED", "The server's certificate could not be verified.", False)
    if isinstance(error, requests.ConnectTimeout) or _caused_by(error, NewConnectionError):
        return Trouble("CONNECT_FAILED", "No connection to Salesforce could be made.", False)
    if isinstance(error, requests.Timeout):
        return Trouble("NO_ANSWER", "Salesforce did not answer in time.", True)
    if isinstance(error, ValueError | TypeError):
        return UNREADABLE
    return Trouble("NO_ANSWER", "The connection broke before the whole answer had come.", True)


def concerns_everything(trouble: Trouble) -> bool:
    """Whether every other call would meet the same trouble now, as opposed to what this one carried."""
    return trouble.maybe_executed or trouble.code in _ADVICE or classify(trouble.code).action in _GENERAL


def may_be_one_row(trouble: Trouble) -> bool:
    """Whether one of the rows that a request carried may be why Salesforce refused it, unexecuted, as a whole."""
    return not concerns_everything(trouble) and trouble.code not in _OF_THE_ADDRESS


def unavailable(trouble: Trouble) -> OrganisationUnavailable:
    """The trouble as what delivery is told, with advice."""
    if trouble.code in _ADVICE:
        advice, passing = _ADVICE[trouble.code]
        return OrganisationUnavailable(trouble.code, trouble.message, advice, passing=passing)
    outcome = classify(trouble.code, trouble.message)
    if outcome.action is Action.QUOTA:
        wait = _CONCURRENT_WAIT if outcome is CONCURRENT else _QUOTA_WAIT
        return OrganisationUnavailable(trouble.code, trouble.message, outcome.advice, passing=True, retry_after=wait)
    if outcome.action in _GENERAL:
        passing = outcome.action is not Action.CONFIGURATION
        return OrganisationUnavailable(trouble.code, trouble.message, outcome.advice, passing=passing)
    advice = _OUTAGE if trouble.maybe_executed else _REQUEST
    return OrganisationUnavailable(trouble.code, trouble.message, advice, passing=trouble.maybe_executed)


def _errors_in(body: Any) -> Iterator[tuple[str, str]]:
    for item in body if isinstance(body, list) else [body]:
        if not isinstance(item, dict):
            continue
        for code_key, message_key in _ERROR_KEYS:
            if isinstance(item.get(code_key), str):
                yield item[code_key], str(item.get(message_key) or "")


def _caused_by(error: Exception, kind: type[Exception]) -> bool:
    """Whether that kind is among the exceptions which requests and urllib3 wrap as `reason` or as an argument."""
    waiting: list[object] = [error]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, kind):
            return True
        if isinstance(cause, Exception):
            waiting += [*cause.args, getattr(cause, "reason", None)]
    return False
