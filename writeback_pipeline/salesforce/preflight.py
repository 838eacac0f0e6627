"""A look at the organisation before anything is written: which requests are made, and in how few calls.

Reads only, three counted calls. What the answers mean is judged in `preflight_rules`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import requests

from writeback_pipeline.domain.budget import CallGate
from writeback_pipeline.domain.findings import Finding, blocking
from writeback_pipeline.domain.records import OrganisationUnavailable
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.salesforce import preflight_rules as rules
from writeback_pipeline.salesforce.calls import Calls, Reply, Request, soql_request
from writeback_pipeline.salesforce.connection import SalesforceConnection
from writeback_pipeline.salesforce.errors import CallFailed, concerns_everything, trouble_in, trouble_of, unavailable
from writeback_pipeline.salesforce.key_records import OBJECT as KEY_OBJECT
from writeback_pipeline.salesforce.session import OrganisationSession, body_of

_VERSIONS_PATH = "/services/data"
_QUERIES = {
    rules.ASSIGNMENT_RULES: "SELECT Id, Name FROM AssignmentRule WHERE SobjectType = 'Lead' AND Active = true",
    rules.DUPLICATE_RULES: (
        "SELECT Id, DeveloperName, SobjectType FROM DuplicateRule "
        "WHERE IsActive = true AND SobjectType IN ('Contact', 'Lead')"
    ),
}
_VALIDATION_RULES = (
    "SELECT Id, ValidationName, EntityDefinition.DeveloperName FROM ValidationRule "
    "WHERE Active = true AND EntityDefinition.DeveloperName IN ('Contact', 'Lead', 'Task')"
)


def examine(
    connection: SalesforceConnection,
    session: OrganisationSession,
    calls: Calls,
    gate: CallGate,
    settings: WritebackSettings,
    pinned: str | None,
    now: datetime,
) -> list[Finding]:
    """Everything that delivery under these settings needs of the organisation, a finding each; never raises.

    `pinned` is the organisation that the ledger belongs to, None while there is none. Where a step fails that all
    others need, its finding is the last. What is in the way is trouble to the gate: it is not looked at all the time.
    """
    findings: list[Finding] = []
    try:
        with gate.work():
            gate.admit_login()
            findings += rules.login(session.login().organisation_id, pinned)
            findings += rules.versions_and_clock(*_versions(connection, session), now)
            findings += _look(calls, settings)
            _raise_failures(findings)
    except _NotReady:
        pass  # the findings say so
    except OrganisationUnavailable as trouble:
        findings.append(rules.unreachable(trouble))
    return findings


class _NotReady(OrganisationUnavailable):
    """Nothing can be delivered until somebody has acted."""


def _look(calls: Calls, settings: WritebackSettings) -> Iterator[Finding]:
    try:
        answers = _answers(calls, settings)
        yield from rules.objects({name: answers.get(name) for name in _objects(settings)}, settings)
        yield from rules.limits(_one(calls, Request("GET", "limits")), settings)
        answers[rules.VALIDATION_RULES] = _readable(calls, f"tooling/query?q={quote(_VALIDATION_RULES)}")
        yield from rules.rules_in_force(answers)
    except CallFailed as failed:
        raise failed.unavailable from None


def _raise_failures(findings: Sequence[Finding]) -> None:
    in_the_way = blocking(findings)
    if in_the_way:
        first = in_the_way[0]
        raise _NotReady("NOT_READY", f"{first.subject}: {first.told}.", first.remedy, passing=False)


def _objects(settings: WritebackSettings) -> list[str]:
    return [
        *rules.PEOPLE,
        settings.note_object.value,
        *(["Task"] if settings.activity_enabled else []),
        *([KEY_OBJECT] if settings.key_records else []),
    ]


def _versions(connection: SalesforceConnection, session: OrganisationSession) -> tuple[list[str], datetime | None]:
    """The API versions on offer, and the organisation's clock."""
    try:
        response = session.get(connection.url + _VERSIONS_PATH)
    except requests.RequestException as error:
        raise unavailable(trouble_in(error)) from None
    listed = body_of(response)
    if response.status_code != requests.codes.ok or not isinstance(listed, list):
        raise unavailable(trouble_of(response.status_code, listed))
    names = [str(each["version"]) for each in listed if isinstance(each, dict) and "version" in each]
    return names, _date(response.headers.get("Date", ""))


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None


def _answers(calls: Calls, settings: WritebackSettings) -> dict[str, Reply | None]:
    """What the organisation says of each object, and of the rules that a plain query finds, in one counted call."""
    requests_ = {name: Request("GET", f"sobjects/{name}/describe") for name in _objects(settings)}
    requests_ |= {name: soql_request(query) for name, query in _QUERIES.items()}
    replies = calls.composite(list(requests_.values()))
    answers: dict[str, Reply | None] = {}
    for (name, request), reply in zip(requests_.items(), replies, strict=True):
        answers[name] = _one(calls, request) if reply is None else _judged(reply)
    return answers


def _one(calls: Calls, request: Request) -> Reply | None:
    """The answer to one request, None where it is refused; raises CallFailed for what concerns every call."""
    try:
        body: Any = calls.single(request)
    except CallFailed as failed:
        if failed.concerns_everything and failed.trouble.code not in rules.OF_ONE_REQUEST:
            raise
        return None
    return Reply(200, body)


def _readable(calls: Calls, path: str) -> Reply | None:
    """The answer to a request that delivery does not depend on; None for whatever trouble it meets."""
    try:
        return Reply(200, calls.single(Request("GET", path)))
    except CallFailed:
        return None


def _judged(reply: Reply) -> Reply | None:
    if reply.status < 300:
        return reply
    trouble = trouble_of(reply.status, reply.body)
    if concerns_everything(trouble) and trouble.code not in rules.OF_ONE_REQUEST:
        raise CallFailed(trouble)
    return None
