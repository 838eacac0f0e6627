"""Send row writes as Bulk jobs, and finish the jobs that a worker left behind.

A job's id is in the ledger before it is given any rows, and that it has them all before Salesforce may begin. So
whoever comes next knows what to do with it: a job without all its rows never began and is given up, any other is asked
about until it has ended, and its results tell of every row. No job is ever made again for rows that one has. Where
results end one worker after another, nobody reads them any more: each person is read back instead.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from time import monotonic

from writeback_pipeline.delivery.bulk_batch import Batch, JobRows
from writeback_pipeline.delivery.protocols import BulkLedger, Organisation
from writeback_pipeline.delivery.sending import (
    ROWS_PER_TRANSACTION,
    Outgoing,
    Sent,
    insist,
    outcome,
    record_answers,
    tell_answers,
)
from writeback_pipeline.domain.adoption import AdoptedJob
from writeback_pipeline.domain.bulk import (
    BULK_LANE,
    FINISHED,
    READ_BACK_AFTER,
    BulkJob,
    JobRefused,
    JobState,
    JobStatus,
    Stage,
    pause_before_look,
)
from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.logs import tell

_log = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(minutes=30)
"""How long one worker waits for a job; after that it is left for the next delivery to finish."""

TROUBLED_LOOKS = 5
"""How often in a row a job may not be heard of before it is left to the next delivery; the pauses between grow."""


LONGEST_HOLD = timedelta(seconds=60)
"""How long a worker waits where calls are held back; for longer than that the job is left to the next delivery."""

_CONFIRMED = RowResult(Answer.OK)


class JobLost(Exception):
    """Another worker took the job over; whatever becomes of it is recorded there."""


@dataclass(frozen=True, slots=True)
class BulkJobs:
    """One worker's jobs: its ledger, its organisation, its clock; `sleep` takes seconds."""

    ledger: BulkLedger
    organisation: Organisation
    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    owner: str
    run_id: str | None

    def begin(self) -> Batch:
        """A batch for rows that are to go together, to be added portion by portion."""
        return Batch(self.organisation.job_files(), self.ledger, self.now, self.run_id)

    def send_all(self, rows: Sequence[Outgoing]) -> Sent:
        """Journal the rows and send them; their results are in their places."""
        batch = self.begin()
        for start in range(0, len(rows), ROWS_PER_TRANSACTION):
            batch.add(rows[start : start + ROWS_PER_TRANSACTION])
        return self.send(batch)

    def send(self, batch: Batch) -> Sent:
        """Job after job, each with its answers recorded.

        What makes new records comes last: everybody's flags before anybody's notes. Rows of a job that was lost, or
        left while Salesforce works on it, have no result; the latter is told as the trouble.
        """
        sent = Sent([None] * batch.rows, [])
        for number, rows in sorted(batch.jobs.items(), key=lambda each: each[1].kind.operation == "insert"):
            entered = self.now(), self.run_id
            job = BulkJob("", batch.id, number, rows.kind, len(rows.places), Stage.CREATED, *entered)
            begun = monotonic()
            answers, job = self._sent(job, rows.writes, sent)
            told = {"run": self.run_id, "batch": batch.id, "lane": BULK_LANE, "call": number, "job": job.job_id or None}
            tell_answers(_log, "Bulk job", answers, seconds=monotonic() - begun, **told)
            if answers:
                self._record(rows, answers, sent)
            if answers and job.job_id:
                insist(partial(self.ledger.end_job, job, self.now()))
        return sent

    def _record(self, rows: JobRows, answers: Sequence[RowResult], sent: Sent) -> None:
        """Record the answers to the rows, a portion at a time."""
        start = 0
        for evidence in rows.evidence.portions():
            end, now = start + len(evidence), self.now()
            outcomes = [outcome(*each, now) for each in zip(rows.attempts[start:end], answers[start:end], strict=True)]
            proven = []
            for place, answer, change in zip(rows.places[start:end], answers[start:end], evidence, strict=True):
                if change is not None and answer.answer is Answer.OK:
                    proven.append(change)
                    answer = _CONFIRMED  # whose flag it is, its plan knows
                sent.results[place] = answer
            record_answers(self.ledger, outcomes, proven, now)
            start = end

    def finish_left(self, check: Callable[[], None], scope: str | None = None) -> None:
        """Finish the jobs of dead workers, one by one: of opt-outs, or of the window with that scope.

        `check` is called before anything is asked of the organisation. Raises OrganisationUnavailable when one is still
        at work or cannot be heard of.
        """
        while (left := self.ledger.adopt_job(self.owner, self.now(), scope)) is not None:
            taken_over = {"run": self.run_id, "batch": left.job.batch_id, "lane": BULK_LANE, "job": left.job.job_id}
            tell(_log, "Bulk job of an earlier run taken over", **taken_over, rows=len(left.rows))
            try:
                check()
                results = self._finished(left)
            except JobLost:
                continue
            except BaseException:
                with suppress(Exception):  # leases that cannot be given back run out by themselves
                    self.ledger.release_job(left.job, self.owner)
                raise
            self._settle(left, results)

    def _sent(self, job: BulkJob, rows: Iterable[RowWrite], sent: Sent) -> tuple[Sequence[RowResult], BulkJob]:
        """The answers, none when they are not ours to know now; and the job, with its id if there is one."""
        if sent.trouble is not None:
            return not_sent(job.rows, sent.trouble.code, sent.trouble.message), job
        try:
            job = replace(job, job_id=self.organisation.create_job(job.kind))
            if not self.ledger.enter_job(job, self.owner):
                self._abort(job)
                return [], job
            job = self._filled(job, rows)
        except JobRefused as refused:
            sent.refused = True
            return not_sent(job.rows, refused.code, refused.message), job
        except JobLost:
            return [], job
        except OrganisationUnavailable as trouble:
            sent.trouble = trouble
            return not_sent(job.rows, trouble.code, trouble.message), job
        try:
            with suppress(JobRefused, OrganisationUnavailable):  # what it did is seen at the first look
                self.organisation.close_job(job.job_id)
            status, results = self._results(job, partial(self.organisation.job_results, rows=rows), looked=False)
        except JobLost:
            return [], job
        except OrganisationUnavailable as trouble:
            sent.trouble = trouble
            return [], job
        sent.refused |= status.state is JobState.FAILED and status.processed == 0
        return results, job

    def _filled(self, job: BulkJob, rows: Iterable[RowWrite]) -> BulkJob:
        """The job with all its rows; where that cannot be known it is given up, as it never began."""
        try:
            self.organisation.upload_job(job.job_id, rows)
        except (JobRefused, OrganisationUnavailable):
            self._give_up(job)
            raise
        return self._uploaded(job)

    def _uploaded(self, job: BulkJob) -> BulkJob:
        """The job, entered as one that has its rows; raises JobLost."""
        if not insist(lambda: self.ledger.move_job(job, Stage.UPLOADED, self.owner, self.now())):
            raise JobLost(job.job_id)
        return replace(job, stage=Stage.UPLOADED)

    def _finished(self, left: AdoptedJob) -> list[RowResult]:
        job = left.job
        if job.stage is Stage.CREATED:
            if self.organisation.job_status(job.job_id).state is JobState.OPEN:
                self._give_up(job)
                return not_sent(len(left.rows), "WORKER_ENDED", f"Bulk job {job.job_id} never had all its rows.")
            job = self._uploaded(job)  # the ledger is from a backup: it was closed after that was made
        read: Callable[[JobStatus], list[RowResult]]
        if left.lost < READ_BACK_AFTER:
            read = partial(self.organisation.job_results, rows=[row.write for row in left.rows])
        else:
            read = partial(unread, rows=len(left.rows), lost=left.lost)
        _, results = self._results(job, read, looked=True)
        return results

    def _settle(self, left: AdoptedJob, results: Sequence[RowResult]) -> None:
        for start in range(0, len(results), ROWS_PER_TRANSACTION):
            now, end = self.now(), start + ROWS_PER_TRANSACTION
            answered = zip(left.rows[start:end], results[start:end], strict=True)
            outcomes = [outcome(row.attempt_id, result, now) for row, result in answered]
            insist(partial(self.ledger.settle_job, left.job, outcomes, now))

    def _results(
        self, job: BulkJob, read: Callable[[JobStatus], list[RowResult]], *, looked: bool
    ) -> tuple[JobStatus, list[RowResult]]:
        """Wait for the job to end, then read its results; the first look comes at once for a job that is not new."""
        last = self.now() + LONGEST_WAIT
        troubles = 0
        for looks in count(-1 if looked else 0):
            self._wait(job, looks)
            try:
                status = self.organisation.job_status(job.job_id)
                if status.state in FINISHED:
                    results = read(status)
                    self._keep(job)
                    return status, results
                if status.state is JobState.OPEN:
                    with suppress(JobRefused):
                        self.organisation.close_job(job.job_id)
                troubles = 0
            except OrganisationUnavailable as trouble:
                troubles += 1
                hold = trouble.retry_after or timedelta()
                if troubles == TROUBLED_LOOKS or not trouble.passing or hold > LONGEST_HOLD:
                    raise
                self.sleep(hold.total_seconds())
                self._keep(job)
            if self.now() >= last:
                break
        raise OrganisationUnavailable(
            "BULK_JOB_RUNNING",
            f"Salesforce has not finished Bulk job {job.job_id} ({job.rows} rows) yet.",
            "The next delivery goes on with the same job; see Setup, Bulk Data Load Jobs.",
            passing=True,
        )

    def _wait(self, job: BulkJob, looks: int) -> None:
        """Wait before the next look; raises JobLost."""
        if looks >= 0:
            self.sleep(pause_before_look(job.rows, looks).total_seconds())
        self._keep(job)

    def _keep(self, job: BulkJob) -> None:
        """Keep the people leased; raises JobLost when another worker has the job."""
        if not insist(lambda: self.ledger.renew_job(job, self.owner, self.now())):
            raise JobLost(job.job_id)

    def _give_up(self, job: BulkJob) -> None:
        """End a job that was never closed. The ledger has it first: from then on nobody closes it."""
        if not insist(lambda: self.ledger.move_job(job, Stage.ENDED, self.owner, self.now())):
            raise JobLost(job.job_id)
        self._abort(job)

    def _abort(self, job: BulkJob) -> None:
        with suppress(JobRefused, OrganisationUnavailable):  # an open job does nothing, and goes after a week
            self.organisation.abort_job(job.job_id)


def not_sent(rows: int, code: str, message: str) -> list[RowResult]:
    """The same answer for all of them: certainly not executed."""
    return [RowResult(Answer.NOT_SENT, code=code, message=message)] * rows


def unread(status: JobStatus, rows: int, lost: int) -> list[RowResult]:
    """The answers of a job that has ended and whose results ended whoever read them: what it wrote is read back."""
    message = f"{lost} workers in a row ended after they took over Bulk job {status.job_id}: its results are not read."
    return [RowResult(Answer.UNKNOWN, code="NO_RESULT", message=message)] * rows
