"""From a summary to the write of its Task, and from the answer to the writeback's new state.

A Task that the ledger knows by id is updated; any other is upserted by its key. What the Task says is `activity`'s.
"""

import random
from dataclasses import dataclass, replace
from datetime import datetime

from writeback_pipeline.domain.activity import (
    CREATE_ONLY_FIELDS,
    KEY_FIELD,
    Presentation,
    Summary,
    task_fields,
)
from writeback_pipeline.domain.ledger import QUIET, Settlement
from writeback_pipeline.domain.outcomes import Action, classify
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.planning import MAX_ATTEMPTS, retry_at
from writeback_pipeline.domain.records import Answer, Operation, RowResult, RowWrite
from writeback_pipeline.domain.window_ledger import KnownSummary, WindowLease
from writeback_pipeline.domain.writebacks import Status

_MOVED_CODES = ("CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND")


@dataclass(frozen=True, slots=True)
class TaskWrite:
    """One summary on its way into its Task. `fields` are all of the Task's; `task_id` is set where it is known."""

    writeback_id: int
    key: str
    revision: str
    attempts: int
    person: PersonRef
    fields: dict[str, str]
    task_id: str | None

    @property
    def write(self) -> RowWrite:
        """The row as it is sent."""
        fields = self.fields | {"WhoId": self.person.salesforce_id}
        if self.task_id is None:
            return RowWrite(Operation.UPSERT_TASK, "Task", fields, external_id=(KEY_FIELD, self.key))
        kept = {name: value for name, value in fields.items() if name not in CREATE_ONLY_FIELDS}
        return RowWrite(Operation.UPSERT_TASK, "Task", kept, record_id=self.task_id)


def is_due(known: KnownSummary | None, revision: str) -> bool:
    """Whether the summary is to be sent: not while an earlier send of it is in doubt, nor if this revision is written
    or was refused and waits for a person to retry it."""
    if known is None:
        return True
    settled = known.revision == revision and known.status in (Status.WRITTEN, Status.FAILED)
    return not settled and known.status is not Status.UNKNOWN


def task_write(
    writeback_id: int, summary: Summary, known: KnownSummary | None, presentation: Presentation
) -> TaskWrite:
    """The write of a summary; to where the ledger knows that the person went."""
    return TaskWrite(
        writeback_id=writeback_id,
        key=summary.key,
        revision=summary.revision,
        attempts=known.attempts if known else 0,
        person=(known and known.person) or summary.person,
        fields=task_fields(summary, presentation),
        task_id=known.task_id if known else None,
    )


def may_have_moved(result: RowResult) -> bool:
    """Whether the answer can mean that the person, or the Task itself, is not where the ledger thinks."""
    return result.answer is Answer.REJECTED and result.code in _MOVED_CODES


def settle_task(
    task: TaskWrite, result: RowResult, lease: WindowLease, now: datetime, jitter: random.Random
) -> Settlement:
    """The writeback's new state; a refused revision is remembered, so that it is not sent again unchanged."""
    base = Settlement(
        task.writeback_id,
        lease.scope,
        lease.epoch,
        Status.WRITTEN,
        person=task.person,
        attempted=result.answer is not Answer.NOT_SENT,
    )
    if result.answer is Answer.OK:
        return replace(base, task_id=result.record_id, revision=task.revision, written_at=now)
    told = replace(base, error_code=result.code, error_message=result.message)
    if result.answer is Answer.UNKNOWN:
        advice = "Salesforce gave no answer. The Task has a key of its own and is written again."
        return replace(told, status=Status.UNKNOWN, next_attempt_at=lease.lease_until + QUIET, advice=advice)
    outcome = classify(result.code or "", result.message or "")
    told = replace(told, advice=outcome.advice)
    refused = result.answer is Answer.REJECTED and outcome.action in (Action.PERSON, Action.REDIRECT)
    exhausted = base.attempted and outcome.action is Action.RETRY and task.attempts + 1 >= MAX_ATTEMPTS
    if refused or exhausted:
        return replace(told, status=Status.FAILED, revision=task.revision)
    return replace(told, status=Status.WAITING, next_attempt_at=retry_at(task.attempts + 1, now, jitter))
