"""Send row writes: journal all of them, then call after call, each only under a lease that outlasts it.

Where several threads send, each waits for one of the calls that may be under way at once, but never with anything that
is not yet on disk.

What rows there are is planned before; what their answers mean is settled after. Nothing is sent that is not
journalled, and nothing is journalled for a person whom another worker has taken over.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Semaphore
from time import monotonic
from typing import NamedTuple, TypeVar
from uuid import uuid4

from writeback_pipeline.delivery.protocols import Journal, Organisation
from writeback_pipeline.domain.budget import CallAhead
from writeback_pipeline.domain.ledger import AttemptOutcome, Intent, OriginChange, StoreBusy
from writeback_pipeline.domain.planning import payload_hash
from writeback_pipeline.domain.records import Answer, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.logs import tell

_log = logging.getLogger(__name__)

CALL_ALLOWANCE = timedelta(seconds=65)
"""Longest that a write call takes; it is not sent under a lease with less left."""

LANE = "composite"

ROWS_PER_TRANSACTION = 10_000
"""Rows that are journalled, or settled, at once."""

RECORDING_TRIES = 5
"""How often the ledger is asked to take answers while other processes keep it busy; it waits by itself each time."""

_Recorded = TypeVar("_Recorded")


def insist(record: Callable[[], _Recorded]) -> _Recorded:
    """Record answers, again while the ledger is busy: what is not recorded has to be read back later."""
    for _ in range(RECORDING_TRIES - 1):
        with suppress(StoreBusy):
            return record()
    return record()


class Outgoing(NamedTuple):
    """One row write and under whose lease it goes: `person_id` and `epoch` fence it, `lease_until` bounds it.

    `evidence` is what the ledger knows of the person's flag once the write is confirmed.
    """

    person_id: str
    epoch: int
    lease_until: datetime
    writeback_id: int
    target_id: str
    write: RowWrite
    flag_before: bool | None = None
    title: str | None = None
    revision: str | None = None
    evidence: OriginChange | None = None


class Batch(NamedTuple):
    """Rows that go together: the positions of those in each call, and how all of them are journalled."""

    id: str
    run_id: str | None
    rows: Sequence[Outgoing]
    groups: Sequence[Sequence[int]]
    intents: Sequence[Intent]


@dataclass(slots=True)
class Sent:
    """Answers in the rows' positions, None for a row that is no longer ours; `unrecorded` is for whoever settles them,
    `entered` what earlier answers proved of flags, which is recorded.

    `trouble` concerns the whole organisation: rows after it are NOT_SENT. `refused` is set where rows are NOT_SENT
    because Salesforce does not take them by this lane.
    """

    results: list[RowResult | None]
    unrecorded: list[AttemptOutcome]
    entered: set[OriginChange] = field(default_factory=set)
    trouble: OrganisationUnavailable | None = None
    refused: bool = False


class _Slot:
    """One of the calls that may be under way at once, for the rest of the block; at its beginning if one is free."""

    def __init__(self, slots: Semaphore) -> None:
        self._slots = slots
        self.is_ours = False

    def __enter__(self) -> "_Slot":
        self.is_ours = self._slots.acquire(blocking=False)
        return self

    def wait(self) -> None:
        """Have it now."""
        self.is_ours = self.is_ours or self._slots.acquire()

    def __exit__(self, *_: object) -> None:
        if self.is_ours:
            self._slots.release()


def prepared(rows: Sequence[Outgoing], organisation: Organisation, now: datetime, run_id: str | None) -> Batch:
    """The rows as they go in calls."""
    return batch_of(rows, organisation.batches([row.write for row in rows]), now, run_id, LANE)


def batch_of(
    rows: Sequence[Outgoing], groups: Sequence[Sequence[int]], now: datetime, run_id: str | None, lane: str
) -> Batch:
    """The rows as they go by that lane, each in one of the groups."""
    batch_id = uuid4().hex
    numbers = {position: number for number, group in enumerate(groups, 1) for position in group}
    intents = [intent(row, batch_id, lane, numbers[position], now, run_id) for position, row in enumerate(rows)]
    return Batch(batch_id, run_id, rows, groups, intents)


def send(
    batch: Batch,
    ledger: Journal,
    organisation: Organisation,
    now: Callable[[], datetime],
    slots: Semaphore | None = None,
) -> Sent:
    """Journal and send the rows; what one call brought is recorded before the next, the last one's answers are not.

    Each call takes one of the `slots`. One that is free is reserved for with what is entered before the call; else it
    is waited for after that.
    """
    rows, attempts = batch.rows, list[int | None]()
    sent = Sent([None] * len(rows), [])
    confirmed: list[OriginChange] = []
    for number, group in enumerate(batch.groups, 1):
        with _Slot(slots or Semaphore()) as slot:
            if number == 1 or sent.unrecorded:
                ahead = organisation.call_ahead() if slot.is_ours and sent.trouble is None else None
                if number == 1:
                    attempts = journal(batch, ledger, ahead)
                else:
                    record_answers(ledger, sent.unrecorded, confirmed, now(), ahead)
                    sent.entered.update(confirmed)
            slot.wait()
            ours = [position for position in group if attempts[position] is not None]
            begun = monotonic()
            answers = _call([rows[position] for position in ours], organisation, now, sent)
            organisation.forgo_call()
        told = {"run": batch.run_id, "batch": batch.id, "lane": LANE, "call": number}
        tell_answers(_log, "call", answers, seconds=monotonic() - begun, **told)
        confirmed = confirmed_flags([rows[position] for position in ours], answers)
        sent.unrecorded, answered_at = [], now()
        for position, answer in zip(ours, answers, strict=True):
            attempt_id = attempts[position]
            assert attempt_id is not None
            sent.results[position] = answer
            sent.unrecorded.append(outcome(attempt_id, answer, answered_at))
    return sent


def record_answers(
    ledger: Journal,
    outcomes: Sequence[AttemptOutcome],
    evidence: Sequence[OriginChange],
    now: datetime,
    ahead: CallAhead | None = None,
) -> None:
    """Commit answers, and what they prove of flags, before anything is settled by them, which follows."""
    insist(lambda: ledger.record(outcomes, [], evidence, now, release=False, in_between=True, ahead=ahead))


def confirmed_flags(rows: Iterable[Outgoing], answers: Iterable[RowResult]) -> list[OriginChange]:
    """What the ledger knows of flags by these answers."""
    return [
        row.evidence
        for row, answer in zip(rows, answers, strict=True)
        if answer.answer is Answer.OK and row.evidence is not None
    ]


def outcome(attempt_id: int, answer: RowResult, now: datetime) -> AttemptOutcome:
    """The answer as the journal takes it."""
    return AttemptOutcome(attempt_id, answer.answer, now, answer.code, answer.message, answer.record_id)


def tell_answers(
    log: logging.Logger, event: str, answers: Sequence[RowResult], *, seconds: float, **told: object
) -> None:
    """A line about rows that were sent together: how they were answered, and how long that took."""
    counts = {answer.value: count for answer, count in Counter(each.answer for each in answers).items()}
    tell(log, event, **told, rows=len(answers), **counts, seconds=round(seconds, 3))


def _call(
    rows: Sequence[Outgoing], organisation: Organisation, now: Callable[[], datetime], sent: Sent
) -> list[RowResult]:
    """One call, unless a lease is too short or an earlier call met trouble: then certainly not sent."""
    deadline = min((row.lease_until for row in rows), default=now())
    if sent.trouble is None and deadline - now() >= CALL_ALLOWANCE:
        try:
            answers = organisation.write([row.write for row in rows])
        except OrganisationUnavailable as error:
            sent.trouble = error
        else:
            sent.trouble = _no_answer_at_all(answers)
            return answers
    code, message = (
        (sent.trouble.code, sent.trouble.message) if sent.trouble else ("LEASE_TOO_SHORT", "not sent in time")
    )
    return [RowResult(Answer.NOT_SENT, code=code, message=message)] * len(rows)


def _no_answer_at_all(answers: Sequence[RowResult]) -> OrganisationUnavailable | None:
    """The trouble behind a call of which no row got an answer: nothing more is sent into it."""
    if not answers or any(answer.answer is not Answer.UNKNOWN for answer in answers):
        return None
    advice = "What was sent is in doubt and is not sent again; the rest is tried again by itself."
    return OrganisationUnavailable(answers[0].code or "NO_ANSWER", answers[0].message or "", advice, passing=True)


def journal(batch: Batch, ledger: Journal, ahead: CallAhead | None = None) -> list[int | None]:
    """An attempt id per row; None for a row that may not be sent. The call `ahead` is reserved with the last."""
    ids: list[int | None] = []
    for start in range(0, len(batch.intents), ROWS_PER_TRANSACTION):
        end = start + ROWS_PER_TRANSACTION
        ids += ledger.journal(batch.intents[start:end], ahead=ahead if end >= len(batch.intents) else None)
    return ids


def intent(row: Outgoing, batch_id: str, lane: str, call_number: int, now: datetime, run_id: str | None) -> Intent:
    """The row as it is journalled."""
    return Intent(
        person_id=row.person_id,
        epoch=row.epoch,
        writeback_id=row.writeback_id,
        operation=row.write.operation,
        target_id=row.target_id,
        batch_id=batch_id,
        lane=lane,
        call_number=call_number,
        intent_at=now,
        send_deadline=row.lease_until,
        payload_hash=payload_hash(row.write),
        run_id=run_id,
        flag_before=row.flag_before,
        title=row.title,
        revision=row.revision,
    )
