"""Query jobs of Bulk API 2.0: created closed, and read in pages that a locator leads through."""

from __future__ import annotations

from writeback_pipeline.local_org import bulk_jobs as jobs
from writeback_pipeline.local_org import soql
from writeback_pipeline.local_org.api import bulk_jobs
from writeback_pipeline.local_org.api.http import Request, Response, Route
from writeback_pipeline.local_org.bulk_csv import LINE_ENDINGS
from writeback_pipeline.local_org.errors import ApiError
from writeback_pipeline.local_org.session import Session
from writeback_pipeline.local_org.soql_errors import QueryError

_PAGE = 50_000


def _create(session: Session, request: Request) -> Response:
    body = bulk_jobs.body_of(request)
    operation, query = body.get("operation"), body.get("query")
    if operation not in ("query", "queryAll") or not isinstance(query, str):
        raise ApiError(400, "INVALIDJOB", "A query and the operation query or queryAll are required")
    try:
        described = soql.queried_object(query, session.visible)
    except QueryError as error:
        raise ApiError(error.status, error.error_code, error.message) from None
    job = bulk_jobs.add(
        session,
        request,
        body,
        "V2Query",
        operation=operation,
        object=described.name,
        query=query,
        state="UploadComplete",
        due=request.now + session.settings.bulk_seconds,
    )
    return Response(200, bulk_jobs.with_format(job, bulk_jobs.in_short(job)))


def _results(session: Session, request: Request) -> Response:
    job = bulk_jobs.finished(session, request, "V2Query")
    start = bulk_jobs.decoded_locator(request.query.get("locator", ""))
    given = request.query.get("maxRecords", "")
    most = min(int(given), _PAGE) if given.isdecimal() and int(given) else _PAGE
    header = jobs.lines(session.connection, job.id, 0, 1)
    page = jobs.lines(session.connection, job.id, 1 + start, most)
    after = start + len(page)
    end = LINE_ENDINGS[job.line_ending]
    told = {
        "Content-Type": "text/csv",
        "Sforce-NumberOfRecords": str(len(page)),
        "Sforce-Locator": bulk_jobs.locator(after) if after < job.processed else "null",
    }
    return Response(200, "".join(f"{line}{end}" for line in (*header, *page)).encode(), told)


ROUTES = [
    Route("jobs/query", {"GET": bulk_jobs.list_all, "POST": _create}),
    Route(
        "jobs/query/{job}",
        {"GET": bulk_jobs.get("V2Query"), "PATCH": bulk_jobs.patch("V2Query"), "DELETE": bulk_jobs.delete("V2Query")},
    ),
    Route("jobs/query/{job}/results", {"GET": _results}),
]
