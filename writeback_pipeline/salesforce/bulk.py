"""Ingest jobs of Bulk API 2.0, one step of their life a method; each costs one call, fetching results up to three.

Nothing here waits, retries, or gives a job up by itself: in which order the steps are taken, and again after what
trouble, is delivery's decision. Assignment rules: a job runs one only where it names one, and ours name none, so a
Lead keeps its owner.
"""

import re
from collections.abc import Iterable
from typing import Any, NoReturn

from writeback_pipeline.domain.bulk import UNDER_WAY, JobKind, JobRefused, JobState, JobStatus
from writeback_pipeline.domain.records import RowResult, RowWrite
from writeback_pipeline.salesforce.bulk_csv import file_of
from writeback_pipeline.salesforce.bulk_results import Settled
from writeback_pipeline.salesforce.calls import DATA_PATH, Calls, Request
from writeback_pipeline.salesforce.errors import UNREADABLE, CallFailed, unavailable

_JOB_ID = re.compile(r"750[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
_NO_SUCH_JOB = ("NOT_FOUND", "INVALID_CROSS_REFERENCE_KEY", "ENTITY_IS_DELETED")


class BulkJobs:
    """Jobs of one organisation. Trouble that is not a job's own raises OrganisationUnavailable."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def create(self, kind: JobKind) -> str:
        """An open job's id; raises JobRefused where Salesforce takes no such job."""
        body = {"object": kind.sobject, "operation": kind.operation, "contentType": "CSV", "lineEnding": "LF"}
        if kind.external_id_field is not None:
            body["externalIdFieldName"] = kind.external_id_field
        try:
            job = self._calls.single(Request("POST", "jobs/ingest", body))
        except CallFailed as failed:
            _tell(failed)
        return _status(job).job_id

    def upload(self, job_id: str, rows: Iterable[RowWrite]) -> None:
        """Give an open job all its rows; raises JobRefused where it does not take them."""
        try:
            self._calls.upload(f"jobs/ingest/{job_id}/batches", file_of(rows))
        except CallFailed as failed:
            _tell(failed)

    def close(self, job_id: str) -> None:
        """Let Salesforce begin; raises JobRefused when the job is not open (any more)."""
        self._patch(job_id, JobState.UPLOAD_COMPLETE)

    def abort(self, job_id: str) -> None:
        """Give a job up; raises JobRefused when it has ended already."""
        self._patch(job_id, JobState.ABORTED)

    def status(self, job_id: str) -> JobStatus:
        """How far Salesforce has got with the job; its state is GONE when there is no such job."""
        try:
            return _status(self._calls.single(Request("GET", f"jobs/ingest/{job_id}")))
        except CallFailed as failed:
            if failed.trouble.code in _NO_SUCH_JOB and not failed.trouble.maybe_executed:
                return JobStatus(job_id, JobState.GONE)
            raise failed.unavailable from None

    def unfinished(self, user_id: str) -> frozenset[str]:
        """The ids of that user's jobs that were closed and have not ended; none where the organisation takes none."""
        found: set[str] = set()
        path: str | None = "jobs/ingest?jobType=V2Ingest"
        while path is not None:
            try:
                page = self._calls.single(Request("GET", path))
                jobs = [(_status(told), told["createdById"]) for told in page["records"]]
                following = page.get("nextRecordsUrl")
            except CallFailed as failed:
                if failed.concerns_everything:
                    raise failed.unavailable from None
                return frozenset()
            except (KeyError, TypeError, AttributeError):
                raise unavailable(UNREADABLE) from None
            found |= {job.job_id for job, creator in jobs if job.state in UNDER_WAY and creator == user_id}
            path = following and str(following).removeprefix(DATA_PATH)
        return frozenset(found)

    def results(self, status: JobStatus, rows: Iterable[RowWrite]) -> list[RowResult]:
        """What became of each row of a job that has ended, in the order of the rows.

        A row that the job never came to is NOT_SENT, one that no result names is UNKNOWN. Files are read until every
        row was named, those that succeeded first.
        """
        settled = Settled(rows)
        address = f"jobs/ingest/{status.job_id}"
        try:
            settled.written(self._calls.table(f"{address}/successfulResults/"))
            if not settled.complete:
                settled.refused(self._calls.table(f"{address}/failedResults/"))
            if not settled.complete:
                settled.untouched(self._calls.table(f"{address}/unprocessedrecords/"), status)
        except CallFailed as failed:
            if failed.concerns_everything:
                raise failed.unavailable from None
        return settled.results(status)

    def _patch(self, job_id: str, state: JobState) -> None:
        try:
            self._calls.single(Request("PATCH", f"jobs/ingest/{job_id}", {"state": state.value}))
        except CallFailed as failed:
            _tell(failed)


def _tell(failed: CallFailed) -> NoReturn:
    if failed.concerns_everything:
        raise failed.unavailable from None
    raise JobRefused(failed.trouble.code, failed.trouble.message) from None


def _status(told: Any) -> JobStatus:
    try:
        job_id, state = told["id"], JobState(told["state"])
        if not _JOB_ID.fullmatch(job_id):
            raise ValueError(job_id)
        return JobStatus(job_id, state, int(told.get("numberRecordsProcessed") or 0), told.get("errorMessage"))
    except (KeyError, TypeError, AttributeError, ValueError):
        raise unavailable(UNREADABLE) from None
