"""The vocabulary between delivery and a Salesforce organisation: what it holds, what is to be written, what it said.

Values only. How calls are made and batched is the gateway's work; which writes are due is planned in `planning`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from writeback_pipeline.domain.people import PersonRef


class Live(NamedTuple):
    """A Contact or Lead that can be written; `account_id` groups rows that lock one another."""

    opted_out: bool
    account_id: str | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A converted Lead or a merged record: `to` is where it went, one hop."""

    to: PersonRef


@dataclass(frozen=True, slots=True)
class Gone:
    """A record that cannot be written: `code` is ENTITY_IS_DELETED (recycle bin) or NOT_FOUND (no such row)."""

    code: str


Held = Live | Moved | Gone
"""What an organisation holds under one person's id."""


class Operation(StrEnum):
    """What a row write does."""

    SET_FLAG = "set_flag"
    CLEAR_FLAG = "clear_flag"
    CREATE_NOTE = "create_note"
    UPSERT_TASK = "upsert_task"
    DELETE_NOTE = "delete_note"
    DELETE_TASK = "delete_task"
    DELETE_KEY_RECORD = "delete_key_record"


DELETIONS = (Operation.DELETE_NOTE, Operation.DELETE_TASK, Operation.DELETE_KEY_RECORD)
"""What only an undo does."""


class RowWrite(NamedTuple):
    """One record to create, update, upsert or delete.

    `record_id` is set for updates and deletions; `external_id` is the (field, value) of an upsert. `fields` repeat
    neither.
    `linked_to` is the record that a ContentNote hangs on: the link is made together with the note, or neither is.
    `record_key`, up to 255 characters, makes a key record together with the note: a key that exists already refuses
    both with DUPLICATE_VALUE, so that no note is ever written twice.
    """

    operation: Operation
    sobject: str
    fields: Mapping[str, Any]
    record_id: str | None = None
    external_id: tuple[str, str] | None = None
    linked_to: str | None = None
    record_key: str | None = None


class Answer(StrEnum):
    """What became of one row write."""

    OK = "ok"  # Salesforce confirmed it
    REJECTED = "rejected"  # Salesforce refused this row
    NOT_SENT = "not_sent"  # certainly not executed: refused as a whole, or never left
    UNKNOWN = "unknown"  # no answer that can be read: it may have been committed


class RowResult(NamedTuple):
    """The answer to one row write, in the position of the write.

    `record_id` is the id Salesforce gave; `code` and `message` are Salesforce's own for REJECTED and NOT_SENT.
    """

    answer: Answer
    record_id: str | None = None
    code: str | None = None
    message: str | None = None


PREVIEW = 255
"""Characters of a ContentNote's text that can be read beside others."""


@dataclass(frozen=True, slots=True)
class FoundNote:
    """A Note or ContentNote that the organisation has, in the recycle bin too.

    `body` is None where it was not read; of a ContentNote it is the preview, its first PREVIEW characters on one line.
    """

    note_id: str
    title: str
    body: str | None = None


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """Calls made by this session, and the organisation's own count as last heard (requests in 24 hours)."""

    calls: int
    used: int | None = None
    limit: int | None = None


class OrganisationUnavailable(Exception):
    """Trouble that concerns the whole organisation, not a row: login, permission, quota, outage.

    `code` is Salesforce's or the transport's; `advice` says what to do; `passing` whether a later run can succeed
    without anybody doing anything. `retry_after` is set where the trouble itself says how long to wait.
    """

    def __init__(
        self, code: str, message: str, advice: str, *, passing: bool, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(f"{code}: {message} {advice}")
        self.code = code
        self.message = message
        self.advice = advice
        self.passing = passing
        self.retry_after = retry_after
