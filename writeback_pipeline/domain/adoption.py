"""A Bulk job that its worker left behind: what the journal still knows of its rows, enough to read its results.

Pure. Who may take a job over, and when, is decided in the store; how it is finished is delivery's work.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.domain.bulk import BulkJob, JobKind
from writeback_pipeline.domain.ledger import QUIET, AttemptOutcome, OriginChange, Settlement
from writeback_pipeline.domain.notes import note_body
from writeback_pipeline.domain.planning import OPT_OUT_FIELD
from writeback_pipeline.domain.records import Answer, Operation, RowWrite
from writeback_pipeline.domain.writebacks import FlagResult, Status

_FLAGS = {Operation.SET_FLAG: (True, FlagResult.SET), Operation.CLEAR_FLAG: (False, FlagResult.CLEARED)}

_TAKEN_UP = "Its worker ended before everything was sent; what is missing is sent by the next delivery."
_IN_DOUBT = "Salesforce named no result for it. What it holds is read back before anything is sent again."


@dataclass(frozen=True, slots=True)
class AdoptedRow:
    """One journalled row of a job, under the epoch of whoever took the job over."""

    attempt_id: int
    person_id: str
    epoch: int
    write: RowWrite


@dataclass(frozen=True, slots=True)
class AdoptedJob:
    """A job taken over, with the rows of which no answer is recorded; `lost` workers took it over before and ended."""

    job: BulkJob
    rows: tuple[AdoptedRow, ...]
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Journalled:
    """An attempt of one writeback with its outcome, as far as the writeback's state follows from it."""

    writeback_id: int
    person_id: str
    epoch: int
    operation: Operation
    send_deadline: datetime
    occurred_at: datetime
    revision: str | None
    outcome: AttemptOutcome | None


def journalled_write(
    kind: JobKind, operation: Operation, target_id: str, title: str | None, reason: str | None, key: str
) -> RowWrite:
    """The row as far as a job's results repeat it; `key` is the writeback's own."""
    if operation is Operation.CREATE_NOTE:
        assert title is not None
        fields = {"ParentId": target_id, "Title": title, "Body": note_body(title, reason)}
        return RowWrite(operation, kind.sobject, fields)
    if kind.external_id_field is not None:
        return RowWrite(operation, kind.sobject, {}, external_id=(kind.external_id_field, key))
    fields_sent = {OPT_OUT_FIELD: _FLAGS[operation][0]} if operation in _FLAGS else {}
    return RowWrite(operation, kind.sobject, fields_sent, record_id=target_id)


def settle_by_journal(attempts: Sequence[Journalled]) -> tuple[Settlement, list[OriginChange]] | None:
    """The state of a writeback whose worker ended, from all its attempts of one batch; None while one has no answer.

    A Task is written once its row is. An opt-out waits for the next delivery, which plans it again on what the answers
    prove, and finds nothing left to send where everything was written.
    """
    outcomes = [attempt.outcome for attempt in attempts if attempt.outcome is not None]
    if not attempts or len(outcomes) < len(attempts):
        return None
    last = attempts[-1]
    base = Settlement(
        last.writeback_id,
        last.person_id,
        last.epoch,
        Status.WAITING,
        advice=_TAKEN_UP,
        attempted=any(outcome.answer is not Answer.NOT_SENT for outcome in outcomes),
    )
    origins = []
    for attempt, outcome in zip(attempts, outcomes, strict=True):
        if outcome.answer is not Answer.OK:
            base = base._replace(error_code=outcome.code, error_message=outcome.message)
        elif attempt.operation is Operation.CREATE_NOTE:
            base = base._replace(note_id=outcome.record_id)
        elif attempt.operation in _FLAGS:
            opted_out, result = _FLAGS[attempt.operation]
            base = base._replace(flag_result=result)
            origins.append(
                OriginChange(last.person_id, opted_out, attempt.occurred_at, last.writeback_id, flag_set=opted_out)
            )
        else:
            base = base._replace(status=Status.WRITTEN, advice=None, task_id=outcome.record_id)
            base = base._replace(revision=attempt.revision, written_at=outcome.answered_at)
    if any(outcome.answer is Answer.UNKNOWN for outcome in outcomes):
        until = max(attempt.send_deadline for attempt in attempts) + QUIET
        base = base._replace(status=Status.UNKNOWN, next_attempt_at=until, advice=_IN_DOUBT)
    return base, origins
