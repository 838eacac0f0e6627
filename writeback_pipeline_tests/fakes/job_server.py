"""The Bulk jobs of an organisation in memory: open, given rows, closed, worked at, ended, asked about.

How quickly a closed job is worked at, and whether to its end, is a matter of luck.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from writeback_pipeline.domain.bulk import FINISHED, UNDER_WAY, JobKind, JobRefused, JobState, JobStatus
from writeback_pipeline.domain.records import Answer, RowResult, RowWrite
from writeback_pipeline_tests.fakes.misfortunes import Execute, Luck


@dataclass(slots=True)
class Job:
    """One job; `results` are those of the rows it has come to. `closing` since somebody asked for it to begin."""

    kind: JobKind
    execute: Execute
    state: JobState = JobState.OPEN
    rows: tuple[RowWrite, ...] = ()
    results: list[RowResult] = field(default_factory=list)
    closing: bool = False

    def execute_next(self) -> bool:
        if len(self.results) == len(self.rows):
            return False
        self.results.append(self.execute(self.rows[len(self.results)]))
        return True

    def end(self, state: JobState) -> None:
        self.state = state

    @property
    def to_come(self) -> Sequence[RowWrite]:
        """Rows that it may still execute."""
        return () if self.state in FINISHED else self.rows[len(self.results) :]


@dataclass
class JobServer:
    """All jobs, by id."""

    execute: Execute
    luck: Luck
    jobs: dict[str, Job] = field(default_factory=dict)

    def create(self, kind: JobKind) -> str:
        job_id = f"750{len(self.jobs):012d}AAA"
        self.jobs[job_id] = Job(kind, self.execute)
        return job_id

    def upload(self, job_id: str, rows: Iterable[RowWrite]) -> None:
        self._open(job_id).rows = tuple(rows)

    def asked_to_close(self, job_id: str) -> None:
        self.jobs[job_id].closing = True

    def close(self, job_id: str) -> None:
        job = self._open(job_id)
        job.state = JobState.UPLOAD_COMPLETE
        self.luck.work(job)

    def abort(self, job_id: str) -> None:
        self._open(job_id).state = JobState.ABORTED

    def _open(self, job_id: str) -> Job:
        if self.jobs[job_id].state is not JobState.OPEN:
            raise JobRefused("INVALIDJOBSTATE", "the job is not open")
        return self.jobs[job_id]

    def status(self, job_id: str) -> JobStatus:
        job = self.jobs[job_id]
        return JobStatus(job_id, job.state, len(job.results))

    def results(self, job_id: str, rows: Iterable[RowWrite]) -> list[RowResult]:
        """What became of these rows of the job, told by what each row was, as Salesforce does."""
        job = self.jobs[job_id]
        left = list(enumerate(job.rows))
        return [self._result(job, _taken(left, row)) for row in rows]

    def _result(self, job: Job, position: int | None) -> RowResult:
        if position is None or not self.luck.names():
            return RowResult(Answer.UNKNOWN, code="NO_RESULT", message="no result names this row")
        if position < len(job.results):
            return job.results[position]
        return RowResult(Answer.NOT_SENT, code="UNPROCESSED", message=f"it ended as {job.state} before that row")

    def unfinished(self) -> frozenset[str]:
        """The ids of jobs that were closed and have not ended."""
        return frozenset(id_ for id_, job in self.jobs.items() if job.state in UNDER_WAY)

    def under_way(self) -> Iterator[RowWrite]:
        """Rows that may still be executed by jobs that somebody asked to begin."""
        return (row for job in self.jobs.values() if job.closing for row in job.to_come)


def _taken(left: list[tuple[int, RowWrite]], row: RowWrite) -> int | None:
    """The position of such a row of the job, each but once; None when the job has none like it."""
    alike = [each for each in left if _key(each[1]) == _key(row)]
    best = next((each for each in alike if each[1].fields == row.fields), alike[0] if alike else None)
    if best is None:
        return None
    left.remove(best)
    return best[0]


def _key(row: RowWrite) -> object:
    return row.external_id or row.record_id or (row.fields["ParentId"], row.fields["Title"])
