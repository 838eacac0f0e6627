"""Subrequests of a composite call: read from its body, filled in from earlier answers, sent one after the other.

Composite and graph differ in their limits and in what a failure undoes; what they do with one subrequest is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from writeback_pipeline.local_org.api.http import Request, Response
from writeback_pipeline.local_org.errors import ApiError, json_parser_error
from writeback_pipeline.local_org.session import Session

Send = Callable[[Session, Request], Response]
"""Answers a subrequest exactly as if it had come alone."""

_REFERENCE = re.compile(r"@\{([A-Za-z0-9]\w*)((?:\.\w+|\[\d+\])*)\}")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_REFERENCE_ID = re.compile(r"[A-Za-z0-9]\w*")
_INHERITED_HEADERS = {"accept", "authorization", "content-type"}
_ROLLED_BACK = "The transaction was rolled back since another operation in the same transaction failed."


@dataclass(frozen=True, slots=True)
class Subrequest:
    """One element of `compositeRequest`, its references not filled in yet."""

    method: str
    url: str
    reference_id: str
    headers: Mapping[str, str]
    body: Any

    @property
    def path(self) -> str:
        """The path of the URL, without its query."""
        return self.url.split("?", 1)[0]

    @property
    def depends_on(self) -> set[str]:
        """The reference ids whose answers this subrequest needs."""
        return {match[1] for text in _texts((self.url, self.body)) for match in _REFERENCE.finditer(text)}


def read(listed: Any) -> list[Subrequest]:
    """The subrequests of a call's body; ApiError when they are not of the required shape."""
    if not isinstance(listed, list) or not listed:
        raise json_parser_error("The list compositeRequest is required")
    subrequests = [_read_one(element) for element in listed]
    if len({each.reference_id for each in subrequests}) < len(subrequests):
        raise ApiError(400, "INVALID_INPUT", "Each referenceId may be used only once")
    return subrequests


def run(
    send: Send, session: Session, request: Request, subrequests: Sequence[Subrequest], *, stop_on_failure: bool
) -> list[Response]:
    """The answers, in order; with `stop_on_failure` as many as were sent, the last of them the failed one."""
    answers: dict[str, Response] = {}
    for each in subrequests:
        answers[each.reference_id] = answer = _send_one(send, session, request, each, answers)
        if stop_on_failure and failed(answer):
            break
    return list(answers.values())


def failed(answer: Response) -> bool:
    """Whether a subrequest counts as failed under all-or-none: refused itself, or with a refused row."""
    rows = answer.body if isinstance(answer.body, list) else []
    return answer.status >= 300 or any(isinstance(row, dict) and row.get("success") is False for row in rows)


def is_row_results(answer: Response) -> bool:
    """Whether the answer tells the outcomes of rows, which a rollback of the whole leaves as they were told."""
    return (
        answer.status == 200 and isinstance(answer.body, list) and any("success" in row for row in answer.body if row)
    )


def rolled_back() -> Response:
    """The answer of a subrequest that another one took down with it."""
    return _halted(_ROLLED_BACK)


def printed(subrequests: Sequence[Subrequest], answers: Sequence[Response]) -> list[dict[str, Any]]:
    """The elements of `compositeResponse`."""
    return [
        {
            "body": answer.body,
            "httpHeaders": dict(answer.headers),
            "httpStatusCode": answer.status,
            "referenceId": each.reference_id,
        }
        for each, answer in zip(subrequests, answers, strict=True)
    ]


def split_url(url: str) -> tuple[str, dict[str, str]]:
    """Path and query of a subrequest's URL."""
    parts = urlsplit(url)
    return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


def _read_one(element: Any) -> Subrequest:
    if not isinstance(element, dict):
        raise json_parser_error("Each subrequest is required to be a JSON object")
    method, url, reference_id = (element.get(name) for name in ("method", "url", "referenceId"))
    if not (isinstance(method, str) and isinstance(url, str) and isinstance(reference_id, str)):
        raise json_parser_error("Each subrequest requires method, url and referenceId")
    if not _REFERENCE_ID.fullmatch(reference_id):
        message = (
            f"Provided referenceId ('{reference_id}') must start with a letter or a number, and it can contain only "
            "letters, numbers and underscores ('_')."
        )
        raise ApiError(400, "INVALID_INPUT", message)
    headers = {str(name).lower(): str(value) for name, value in (element.get("httpHeaders") or {}).items()}
    if headers.keys() & _INHERITED_HEADERS:
        message = "Subrequests inherit Accept, Authorization and Content-Type; they cannot be given in httpHeaders"
        raise ApiError(400, "INVALID_INPUT", message)
    return Subrequest(method, url, reference_id, headers, element.get("body"))


def _send_one(
    send: Send, session: Session, request: Request, each: Subrequest, answers: Mapping[str, Response]
) -> Response:
    for name in each.depends_on:
        if name in answers and answers[name].status >= 300:
            return _halted(f"Execution halted as previous operation ({name}) was not successful.")
    try:
        path, query = split_url(_filled(each.url, answers, quote))
        body = _filled_in(each.body, answers)
    except LookupError as error:
        named = error.args[0]
        return _halted(
            f"Invalid reference specified. No value for {named} found in {re.split(r'[.[]', named)[0]}. Provided "
            f"referenceId ('{named}') must start with a letter or a number, and it can contain only letters, numbers "
            "and underscores ('_')."
        )
    sent = Request(each.method, path, query, each.headers, body, base_url=request.base_url, now=request.now)
    return send(session, sent)


def _halted(message: str) -> Response:
    return Response(400, [{"errorCode": "PROCESSING_HALTED", "message": message}])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


def _filled_in(value: Any, answers: Mapping[str, Response]) -> Any:
    if isinstance(value, str) and "@{" in value:
        whole = _REFERENCE.fullmatch(value)
        return _value_of(whole, answers) if whole else _filled(value, answers, str)
    if isinstance(value, dict):
        return {name: _filled_in(inner, answers) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled_in(inner, answers) for inner in value]
    return value


def _filled(text: str, answers: Mapping[str, Response], write: Callable[[str], str]) -> str:
    return _REFERENCE.sub(lambda match: write(str(_value_of(match, answers))), text)


def _value_of(match: re.Match[str], answers: Mapping[str, Response]) -> Any:
    try:
        value = answers[match[1]].body
        for step in _STEP.finditer(match[2]):
            value = value[step[1]] if step[1] else value[int(step[2])]
    except (LookupError, TypeError):
        raise LookupError(match[1] + match[2]) from None
    if value is None or isinstance(value, dict | list):
        raise LookupError(match[1] + match[2])
    return value
