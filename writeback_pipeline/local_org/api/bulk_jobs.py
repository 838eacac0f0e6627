"""What ingest and query jobs of Bulk API 2.0 have in common: being told, listed, aborted, deleted.

Creating a job and fetching its results differ and are in `bulk_ingest` and `bulk_query`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from writeback_pipeline.local_org import bulk_jobs, ids, records, times
from writeback_pipeline.local_org.api.http import Handler, Request, Response
from writeback_pipeline.local_org.bulk_csv import DELIMITERS, LINE_ENDINGS
from writeback_pipeline.local_org.bulk_jobs import FINISHED, UNFINISHED, Job, JobType, State
from writeback_pipeline.local_org.errors import ApiError, json_parser_error, not_found
from writeback_pipeline.local_org.session import Session

_LIFETIME_SECONDS = 7 * 24 * 3600
_PAGE = 1_000


def add(session: Session, request: Request, body: Mapping[str, Any], job_type: JobType, **of_type: Any) -> Job:
    """Enter a new job for the session's user; old jobs go as new ones come."""
    line_ending, delimiter = body.get("lineEnding", "LF"), body.get("columnDelimiter", "COMMA")
    if line_ending not in LINE_ENDINGS or delimiter not in DELIMITERS or body.get("contentType", "CSV") != "CSV":
        raise ApiError(400, "INVALIDJOB", "Invalid contentType, lineEnding or columnDelimiter")
    with records.atomic(session.connection):
        bulk_jobs.delete_older(session.connection, times.stamp(request.now - _LIFETIME_SECONDS))
        job = Job(
            id=bulk_jobs.new_id(session.connection),
            type=job_type,
            created_by=session.user_id,
            created=session.now,
            modified=session.now,
            api_version=float(request.version),
            line_ending=line_ending,
            delimiter=delimiter,
            **of_type,
        )
        bulk_jobs.add(session.connection, job)
    return job


def body_of(request: Request) -> dict[str, Any]:
    """The body as an object; ApiError when it is none."""
    if not isinstance(request.json, dict):
        raise json_parser_error("The HTTP entity body is required to be a JSON object.")
    return request.json


def found(session: Session, request: Request, job_type: JobType) -> Job:
    """The job in the path; 404 when there is none of that type."""
    job = bulk_jobs.fetch(session.connection, ids.normalise(request.params["job"]) or "")
    if job is None or job.type != job_type:
        raise not_found()
    return job


def finished(session: Session, request: Request, job_type: JobType) -> Job:
    """The job in the path, of which there are results."""
    job = found(session, request, job_type)
    if job.state not in FINISHED:
        raise ApiError(400, "INVALIDJOBSTATE", f"Results are not available while the Job is {job.state}")
    return job


def in_short(job: Job) -> dict[str, Any]:
    """What every answer about a job begins with."""
    told: dict[str, Any] = {
        "id": job.id,
        "operation": job.operation,
        "object": job.object,
        "createdById": job.created_by,
        "createdDate": job.created,
        "systemModstamp": job.modified,
        "state": job.state,
    }
    if job.external_id_field:
        told["externalIdFieldName"] = job.external_id_field
    if job.assignment_rule:
        told["assignmentRuleId"] = job.assignment_rule
    return told | {"concurrencyMode": "Parallel", "contentType": "CSV", "apiVersion": job.api_version}


def with_format(job: Job, told: dict[str, Any]) -> dict[str, Any]:
    """Where the data goes to while the job is open, and its format."""
    if job.type == "V2Ingest" and job.state == "Open":
        told["contentUrl"] = f"services/data/v{job.api_version}/jobs/ingest/{job.id}/batches"
    return told | {"lineEnding": job.line_ending, "columnDelimiter": job.delimiter}


def get(job_type: JobType) -> Handler:
    """Tells all about a job; the times that a job waits for, to be asked about before it is begun, are counted."""

    def answer(session: Session, request: Request) -> Response:
        job = found(session, request, job_type)
        if job.state in UNFINISHED and job.polls < session.settings.bulk_polls:
            bulk_jobs.change(session.connection, job, polls=job.polls + 1)
        told = with_format(job, {**in_short(job), "jobType": job.type}) | _counters(job)
        return Response(200, told | {"errorMessage": job.error} if job.error else told)

    return answer


def list_all(session: Session, request: Request) -> Response:
    """Jobs of the type in the query, or of both, in pages."""
    job_type = request.query.get("jobType", "")
    if job_type not in ("", "V2Ingest", "V2Query", "Classic", "BigObjectIngest"):
        raise ApiError(400, "INVALIDJOB", f"Invalid jobType: {job_type}")
    skip = decoded_locator(request.query.get("queryLocator", ""))
    jobs = bulk_jobs.listed(session.connection, job_type, skip, _PAGE + 1)
    told = [with_format(job, {**in_short(job), "jobType": job.type}) for job in jobs[:_PAGE]]
    following = None
    if len(jobs) > _PAGE:
        following = f"{request.path}?queryLocator={locator(skip + _PAGE)}" + (
            f"&jobType={job_type}" if job_type else ""
        )
    return Response(200, {"done": following is None, "records": told, "nextRecordsUrl": following})


def patch(job_type: JobType) -> Handler:
    """Closes a job for processing, or aborts it."""

    def answer(session: Session, request: Request) -> Response:
        wanted = body_of(request).get("state")
        with records.atomic(session.connection):
            job = found(session, request, job_type)
            if wanted == "Aborted":
                _refuse_unless(job, ("Open", *UNFINISHED), "Aborting")
                changes: dict[str, Any] = {"state": "Aborted"}
            elif wanted == "UploadComplete" and job_type == "V2Ingest":
                _refuse_unless(job, ("Open",), "Closing")
                changes = {"state": "UploadComplete", "due": request.now + session.settings.bulk_seconds}
            else:
                raise ApiError(400, "INVALIDJOB", f"Invalid state: {wanted}")
            changed = bulk_jobs.change(session.connection, job, modified=session.now, **changes)
        return Response(200, in_short(changed or job))

    return answer


def delete(job_type: JobType) -> Handler:
    """Removes a job that is not open and not being processed."""

    def answer(session: Session, request: Request) -> Response:
        with records.atomic(session.connection):
            job = found(session, request, job_type)
            if job.state not in ("UploadComplete", *FINISHED):
                raise ApiError(400, "INVALIDJOBSTATE", "Deleting not Completed Job not allowed")
            bulk_jobs.delete(session.connection, job.id)
        return Response(204)

    return answer


def locator(place: int) -> str:
    """A place in a list, as clients carry it around."""
    return base64.urlsafe_b64encode(str(place).encode()).decode().rstrip("=")


def decoded_locator(text: str) -> int:
    """The place; 0 for an empty locator."""
    try:
        return int(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)) if text else 0
    except (ValueError, binascii.Error):
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from None


def _refuse_unless(job: Job, states: tuple[State, ...], doing: str) -> None:
    if job.state not in states:
        raise ApiError(400, "INVALIDJOBSTATE", f"{doing} already Completed Job not allowed")


def _counters(job: Job) -> dict[str, Any]:
    spent = round(job.milliseconds)
    told = {"numberRecordsProcessed": job.processed, "retries": 0, "totalProcessingTime": spent}
    if job.type == "V2Query":
        return told
    return {
        "numberRecordsProcessed": job.processed,
        "numberRecordsFailed": job.failed,
        "retries": 0,
        "totalProcessingTime": spent,
        "apiActiveProcessingTime": spent,
        "apexProcessingTime": 0,
    }
