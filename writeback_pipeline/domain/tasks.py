"""From a summary to the write of its Task, and from the answer to the next try or the writeback's new state.

A Task that the ledger knows by id is updated; any other is upserted by its key. An organisation that lacks the key's
field, or forbids it, has the key as the last line of the Task's text instead. What the Task says is `activity`'s.
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
from writeback_pipeline.domain.records import Answer, Held, Live, Moved, Operation, RowResult, RowWrite
from writeback_pipeline.domain.window_ledger import KnownSummary, WindowLease
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, Status

_MOVED_CODES = (
    "CANNOT_UPDATE_CONVERTED_LEAD",
    "ENTITY_IS_DELETED",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY",
    "INVALID_CROSS_REFERENCE_KEY",
    "NOT_FOUND",
)
_NOTHING_THERE = ("ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND")
_FIELD_CODES = ("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "NOT_FOUND")

_NO_SUCH_RECORD = (
    "Salesforce has no such record: it was deleted for good or belongs to another organisation. Correct the person's "
    "Salesforce id on the platform; events that name the right record are then written."
)
_ADVICE = {"INVALID_CROSS_REFERENCE_KEY": _NO_SUCH_RECORD, "NOT_FOUND": _NO_SUCH_RECORD}
_ACCESS = (
    "The integration user may not write this Task: give it access to Task and to the fields that the message names, by "
    "permission set; it is tried again by itself."
)
_NOT_SENT = "Nothing of it was sent, the message says why; it is tried again by itself."
_SET_ASIDE = (
    "Salesforce refused it as it was sent; it is tried again where the person is now, or without what was refused."
)
_NO_ANSWER = "Salesforce gave no answer. The Task is written again once the first try can no longer arrive."


@dataclass(frozen=True, slots=True)
class TaskWrite:
    """One summary on its way into its Task.

    `task_id` is set where it is known; `exists` where Salesforce said that there is one already. `key_in_text` is for
    an organisation without the key's field.
    """

    writeback_id: int
    summary: Summary
    presentation: Presentation
    attempts: int
    person: PersonRef
    task_id: str | None
    exists: bool = False
    key_in_text: bool = False

    @property
    def write(self) -> RowWrite:
        """The row as it is sent."""
        key = self.summary.key
        last_line = key if self.key_in_text else None
        fields = task_fields(self.summary, self.presentation, last_line=last_line)
        fields |= {"WhoId": self.person.salesforce_id}
        if self.exists or self.task_id is not None:
            fields = {name: value for name, value in fields.items() if name not in CREATE_ONLY_FIELDS}
        if not self.key_in_text and self.task_id is None:
            return RowWrite(Operation.UPSERT_TASK, "Task", fields, external_id=(KEY_FIELD, key))
        if not self.key_in_text:
            fields[KEY_FIELD] = key  # a Task made while the field was missing gets its key once it is there
        return RowWrite(Operation.UPSERT_TASK, "Task", fields, record_id=self.task_id)


def is_due(known: KnownSummary | None, revision: str) -> bool:
    """Whether the summary is to be sent: not while an earlier send of it is in doubt, nor if this revision is written,
    or was refused or undone and waits for a person to retry it."""
    if known is None:
        return True
    settled = known.revision == revision and known.status in (Status.WRITTEN, Status.FAILED)
    return not settled and not known.undone and known.status is not Status.UNKNOWN


def may_have_task(known: KnownSummary) -> bool:
    """Whether Salesforce holds a Task of it, or may: an answer may have been lost."""
    tried = known.status in (Status.PENDING, Status.WAITING) and known.attempts > 0
    return known.task_id is not None or tried or known.status in (Status.SENDING, Status.UNKNOWN)


def task_write(
    writeback_id: int, summary: Summary, known: KnownSummary | None, presentation: Presentation
) -> TaskWrite:
    """The write of a summary; to where the ledger knows that the person went."""
    still_tried = known and known.status not in (Status.WRITTEN, Status.FAILED)
    return TaskWrite(
        writeback_id=writeback_id,
        summary=summary,
        presentation=presentation,
        attempts=known.attempts if known and still_tried else 0,
        person=(known and known.person) or summary.person,
        task_id=known.task_id if known else None,
    )


def lacks_key_field(code: str | None, message: str | None) -> bool:
    """Whether the error says that the organisation has no field for the key, or forbids it."""
    return code in _FIELD_CODES and KEY_FIELD in (message or "")


def may_have_moved(result: RowResult) -> bool:
    """Whether the answer can mean that the person, or the Task itself, is not where the ledger thinks."""
    return result.answer is Answer.REJECTED and result.code in _MOVED_CODES


def may_be_tried_again(task: TaskWrite, result: RowResult) -> bool:
    """Whether another try at once may fare better: elsewhere, or in another form."""
    return may_have_moved(result) or next_try(task, result, None) is not None


def next_try(task: TaskWrite, result: RowResult, where: Held | None) -> TaskWrite | None:
    """The write as it is worth another try at once, None when it is not; `where` is what the organisation holds of a
    person who may have moved."""
    if lacks_key_field(result.code, result.message):
        return None if task.key_in_text else replace(task, key_in_text=True)
    if _names_create_only_field(result):
        return None if task.exists else replace(task, exists=True)
    if isinstance(where, Moved):
        return replace(task, person=where.to)
    if isinstance(where, Live) and task.task_id is not None and task.summary.mailings:
        return replace(task, task_id=None)  # somebody deleted the Task: its key makes another
    return None


def _names_create_only_field(result: RowResult) -> bool:
    """Whether an upsert was refused because its Task is there: an earlier try whose answer was lost has made it."""
    named = any(name in (result.message or "") for name in CREATE_ONLY_FIELDS)
    return result.answer is Answer.REJECTED and result.code in _FIELD_CODES and named


def set_aside(task: TaskWrite, result: RowResult, lease: WindowLease, now: datetime) -> Settlement:
    """The state of a writeback between a refusal and the next try of the same run: due, should that never come."""
    return Settlement(
        task.writeback_id,
        lease.scope,
        lease.epoch,
        Status.WAITING,
        next_attempt_at=now,
        error_code=result.code,
        error_message=result.message,
        advice=f"{_SET_ASIDE} {_who_comes_back(task.summary)}",
    )


def settle_task(
    task: TaskWrite, result: RowResult, lease: WindowLease, now: datetime, jitter: random.Random
) -> Settlement:
    """The writeback's new state; a refused revision is remembered, so that it is not sent again unchanged."""
    settled = _settled(task, result, lease, now, jitter)
    if settled.status not in OPEN_STATUSES:
        return settled
    return settled._replace(advice=f"{settled.advice} {_who_comes_back(task.summary)}")


def _who_comes_back(summary: Summary) -> str:
    """Rows of activity come with their window: what to do where no schedule asks for that. It holds whatever the
    frequency is changed to while the row waits."""
    day = summary.window.name
    command = f"writebacks run activity --occurrence {summary.window.occurrence} --from {day} --to {day}"
    return (
        "With the frequency manual that takes somebody: materialise its window again, or "
        f"`{command} --kind {summary.kind}`."
    )


def _settled(
    task: TaskWrite, result: RowResult, lease: WindowLease, now: datetime, jitter: random.Random
) -> Settlement:
    base = Settlement(
        task.writeback_id,
        lease.scope,
        lease.epoch,
        Status.WRITTEN,
        person=task.person,
        attempted=result.answer is not Answer.NOT_SENT,
    )
    if result.answer is Answer.OK:
        return base._replace(task_id=result.record_id, revision=task.summary.revision, written_at=now)
    if not task.summary.mailings and result.code in _NOTHING_THERE:
        return base._replace(revision=task.summary.revision, written_at=now)  # and no Task says anything untrue
    told = base._replace(error_code=result.code, error_message=result.message)
    if result.answer is Answer.UNKNOWN:
        return told._replace(status=Status.UNKNOWN, next_attempt_at=lease.lease_until + QUIET, advice=_NO_ANSWER)
    later = retry_at(task.attempts + 1, now, jitter)
    if result.answer is Answer.NOT_SENT:
        return told._replace(status=Status.WAITING, next_attempt_at=later, advice=_NOT_SENT)
    outcome = classify(result.code or "", result.message or "")
    if outcome.action is Action.CONFIGURATION:
        return told._replace(status=Status.WAITING, next_attempt_at=later, advice=_ACCESS)
    told = told._replace(advice=_ADVICE.get(result.code or "", outcome.advice))
    refused = outcome.action in (Action.PERSON, Action.REDIRECT)
    exhausted = outcome.action is Action.RETRY and task.attempts + 1 >= MAX_ATTEMPTS
    if refused or exhausted:
        return told._replace(status=Status.FAILED, revision=task.summary.revision)
    return told._replace(status=Status.WAITING, next_attempt_at=later)
