"""Ingest jobs of Bulk API 2.0: created, given their data, and asked for what became of every row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from writeback_pipeline.local_org import bulk_jobs as jobs
from writeback_pipeline.local_org import bulk_results, records
from writeback_pipeline.local_org.api import bulk_jobs, multipart
from writeback_pipeline.local_org.api.http import Handler, Request, Response, Route
from writeback_pipeline.local_org.bulk_csv import LINE_ENDINGS
from writeback_pipeline.local_org.bulk_jobs import Job
from writeback_pipeline.local_org.errors import ApiError, json_parser_error
from writeback_pipeline.local_org.fields import Operation
from writeback_pipeline.local_org.session import Session

_MOST_CHARACTERS_WITH_THE_JOB = 100_000
_OPERATIONS: dict[str, Operation] = {"insert": "create", "update": "update", "upsert": "upsert", "delete": "delete"}


def _create(session: Session, request: Request) -> Response:
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/"):
        job = _added(session, request, bulk_jobs.body_of(request), "Open")
        return Response(200, bulk_jobs.with_format(job, bulk_jobs.in_short(job)))
    described, content = _parts(content_type, request.content)
    with records.atomic(session.connection):
        job = _added(session, request, described, "UploadComplete")
        jobs.upload(session.connection, job.id, content)
    return Response(200, bulk_jobs.with_format(job, bulk_jobs.in_short(job)))


def _parts(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    parts = multipart.parts(content_type, body) or {}
    try:
        described = json.loads(parts["job"])
        content = parts["content"]
    except (KeyError, ValueError):
        described, content = None, b""
    if not isinstance(described, dict):
        raise json_parser_error("The parts job and content are required")
    if len(content.decode(errors="replace")) > _MOST_CHARACTERS_WITH_THE_JOB:
        message = f"The content is limited to {_MOST_CHARACTERS_WITH_THE_JOB} characters in a multipart request"
        raise ApiError(400, "INVALIDJOB", message)
    return described, content


def _added(session: Session, request: Request, described: dict[str, Any], state: jobs.State) -> Job:
    operation, name = str(described.get("operation")), str(described.get("object"))
    if operation not in _OPERATIONS:
        raise ApiError(400, "INVALIDJOB", f"Invalid operation: {operation}")
    try:
        target = session.visible(name)
    except KeyError:
        target = None
    if target is None or _OPERATIONS[operation] not in target.allows:
        raise ApiError(400, "INVALIDENTITY", f"{name} is not supported by the Bulk API")
    key = target.by_name.get(str(described.get("externalIdFieldName")).lower()) if operation == "upsert" else None
    if operation == "upsert" and (key is None or not (key.external_id or key.id_lookup)):
        message = (
            f"Field name provided, {described.get('externalIdFieldName')} does not match an External ID, "
            f"Salesforce Id, or indexed field for {target.name}"
        )
        raise ApiError(400, "INVALIDJOB", message)
    return bulk_jobs.add(
        session,
        request,
        described,
        "V2Ingest",
        operation=operation,
        object=target.name,
        state=state,
        due=request.now + session.settings.bulk_seconds,
        external_id_field=key.name if key else None,
        assignment_rule=described.get("assignmentRuleId"),
    )


def _upload(session: Session, request: Request) -> Response:
    if not request.headers.get("content-type", "").lower().startswith("text/csv"):
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "The data of a job is text/csv")
    with records.atomic(session.connection):
        job = bulk_jobs.found(session, request, "V2Ingest")
        if job.state != "Open":
            raise ApiError(400, "INVALIDJOBSTATE", "Uploading to already Completed Job not allowed")
        if not jobs.upload(session.connection, job.id, request.content):
            message = (
                f"Found multiple contents for job: <{job.id[:15]}>, please 'Close' / 'Abort' / 'Delete' the current "
                "Job then create a new Job and make sure you only do 'PUT' once on a given Job."
            )
            raise ApiError(400, "CLIENTINPUTERROR", message)
    return Response(201)


def _results(lines: Callable[[sqlite3.Connection, Job], Iterator[str]]) -> Handler:
    def answer(session: Session, request: Request) -> Response:
        with records.reading(session.connection):
            job = bulk_jobs.finished(session, request, "V2Ingest")
            end = LINE_ENDINGS[job.line_ending]
            body = "".join(f"{line}{end}" for line in lines(session.connection, job))
        return Response(200, body.encode(), {"Content-Type": "text/csv"})

    return answer


ROUTES = [
    Route("jobs/ingest", {"GET": bulk_jobs.list_all, "POST": _create}),
    Route(
        "jobs/ingest/{job}",
        {
            "GET": bulk_jobs.get("V2Ingest"),
            "PATCH": bulk_jobs.patch("V2Ingest"),
            "DELETE": bulk_jobs.delete("V2Ingest"),
        },
    ),
    Route("jobs/ingest/{job}/batches", {"PUT": _upload}),
    Route("jobs/ingest/{job}/successfulResults", {"GET": _results(bulk_results.successful)}),
    Route("jobs/ingest/{job}/failedResults", {"GET": _results(bulk_results.failed)}),
    Route("jobs/ingest/{job}/unprocessed[rR]ecords", {"GET": _results(bulk_results.unprocessed)}),
]
