"""query and queryAll: runs SOQL and hands out the result in pages.

A page has 2,000 records, fewer when the client asks for fewer, and 1,000 when a long text is among the fields.
"""

from __future__ import annotations

from typing import Any

from writeback_pipeline.local_org import query_pages, records, soql
from writeback_pipeline.local_org.api.http import Handler, Request, Response, Route
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.query_pages import Page
from writeback_pipeline.local_org.session import Session
from writeback_pipeline.local_org.soql_errors import QueryError

_PAGE_SIZE, _SMALLEST_PAGE, _PAGE_SIZE_WITH_LONG_TEXT = 2_000, 200, 1_000
_MOST_CHARACTERS = 100_000


def _run(*, include_deleted: bool) -> Handler:
    def answer(session: Session, request: Request) -> Response:
        text = request.query.get("q")
        if not text:
            raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
        if len(text) > _MOST_CHARACTERS:
            raise ApiError(400, "MALFORMED_QUERY", "SOQL statements cannot be longer than 100000 characters.")
        try:
            with records.reading(session.connection):
                found = soql.run(
                    session.connection,
                    text,
                    api_version=f"{request.version}.0",
                    visible=session.visible,
                    include_deleted=include_deleted,
                )
        except QueryError as error:
            raise ApiError(error.status, error.error_code, error.message) from None
        page = query_pages.keep(session.connection, found.records, _page_size(session, request, found), request.now)
        return _printed(page, found.total_size, request)

    return answer


def _next(session: Session, request: Request) -> Response:
    page = query_pages.fetch(session.connection, request.params["locator"], request.now)
    if page is None:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    return _printed(page, page.total_size, request)


def _printed(page: Page, total_size: int, request: Request) -> Response:
    told: dict[str, Any] = {"totalSize": total_size, "done": page.next_locator is None}
    if page.next_locator:
        told["nextRecordsUrl"] = f"{request.root}/query/{page.next_locator}"
    return Response(200, told | {"records": page.records})


def _page_size(session: Session, request: Request, found: soql.QueryResult) -> int:
    option = request.headers.get("sforce-query-options", "").replace(" ", "").lower()
    size = _PAGE_SIZE
    if option.startswith("batchsize=") and option[10:].isdigit():
        size = min(max(int(option[10:]), _SMALLEST_PAGE), _PAGE_SIZE)
    return min(size, _PAGE_SIZE_WITH_LONG_TEXT) if _holds_long_text(session, found) else size


def _holds_long_text(session: Session, found: soql.QueryResult) -> bool:
    if not found.records:
        return False
    described = session.visible(found.records[0]["attributes"]["type"])
    return any(
        f.type == "textarea" and not f.filterable
        for name in found.records[0]
        if (f := described.by_name.get(name.lower()))
    )


ROUTES = [
    Route("query", {"GET": _run(include_deleted=False)}),
    Route("queryAll", {"GET": _run(include_deleted=True)}),
    Route("query/{locator}", {"GET": _next}),
    Route("queryAll/{locator}", {"GET": _next}),
]
