"""Reads in as few API calls as possible: five in one composite, or one by one where an organisation refuses that.

Knows how reads travel and how pages follow one another, not what is read.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from writeback_pipeline.salesforce.calls import DATA_PATH, MAX_COLLECTIONS, Calls, Reply, Request
from writeback_pipeline.salesforce.errors import UNREADABLE, CallFailed, concerns_everything, trouble_of, unavailable

MAX_QUERY_BYTES = 11_000
"""How long the variable part of a query may be once it is in a URL: URL and headers may take 16,384 bytes together."""

_Item = TypeVar("_Item")


class Reads:
    """Reads from one organisation; remembers when it does not take reads inside a composite."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._one_by_one = False

    def bodies(self, requests: Sequence[Request]) -> Iterator[Any]:
        """The JSON of each answer as calls are made; raises OrganisationUnavailable when one cannot be had."""
        try:
            for batch in _batches(requests):
                yield from self._batch(batch)
        except CallFailed as failed:
            raise failed.unavailable from None

    def records(self, queries: Sequence[Request]) -> Iterator[dict[str, Any]]:
        """Every record that the queries find, all pages of them."""
        pages = list(self.bodies(queries))
        while pages:
            if not all(_is_page(page) for page in pages):
                raise unavailable(UNREADABLE)
            for page in pages:
                yield from page["records"]
            pages = list(self.bodies([_next_page(page) for page in pages if page.get("done") is False]))

    def _batch(self, requests: Sequence[Request]) -> list[Any]:
        if self._one_by_one or len(requests) == 1:
            return [self._calls.single(request) for request in requests]
        try:
            answers = self._calls.composite(requests)
        except CallFailed as failed:
            if failed.concerns_everything:
                raise
            answers = [None] * len(requests)
        return [self._body(request, answer) for request, answer in zip(requests, answers, strict=True)]

    def _body(self, request: Request, answer: Reply | None) -> Any:
        if answer is not None and answer.status < 300:
            return answer.body
        if answer is not None and concerns_everything(trouble := trouble_of(answer.status, answer.body)):
            raise CallFailed(trouble)
        body = self._calls.single(request)
        self._one_by_one = True
        return body


def in_chunks(items: Sequence[_Item], size: Callable[[_Item], int], most: int) -> Iterator[list[_Item]]:
    """The items in order, in lists whose sizes add up to `most` or less; an item that is larger travels alone."""
    chunk: list[_Item] = []
    total = 0
    for item in items:
        if chunk and total + size(item) > most:
            yield chunk
            chunk, total = [], 0
        chunk.append(item)
        total += size(item)
    if chunk:
        yield chunk


def _batches(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    return (requests[start : start + MAX_COLLECTIONS] for start in range(0, len(requests), MAX_COLLECTIONS))


def _is_page(page: Any) -> bool:
    records = page.get("records") if isinstance(page, dict) else None
    return isinstance(records, list) and all(isinstance(each, dict) and "Id" in each for each in records)


def _next_page(page: dict[str, Any]) -> Request:
    address = page.get("nextRecordsUrl")
    if not isinstance(address, str) or not address.startswith(DATA_PATH):
        raise unavailable(UNREADABLE)
    return Request("GET", address.removeprefix(DATA_PATH))
