"""Bulk jobs of the ledger in memory, and what their dead workers left: the same promises as the store's statements."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from writeback_pipeline.domain.adoption import AdoptedJob, AdoptedRow, Journalled, journalled_write, settle_by_journal
from writeback_pipeline.domain.bulk import BULK_LANE, BulkJob, Stage
from writeback_pipeline.domain.ledger import LEASE, AttemptOutcome
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline_tests.fakes import settling
from writeback_pipeline_tests.fakes.tables import Person, Sending, Tables


def enter(tables: Tables, job: BulkJob, owner: str) -> bool:
    """Enter a job that was created; False when any of its rows is no longer the owner's to send."""
    rows = [each for each in tables.attempts.values() if each.is_in(job)]
    if not rows or not all(each.outcome is None and _is_held_by(tables, each, owner) for each in rows):
        return False
    tables.jobs[job.job_id] = job
    return True


def move(tables: Tables, job: BulkJob, stage: Stage, owner: str) -> bool:
    """Enter that the job is one stage further; False when another worker has it or moved it."""
    if tables.jobs[job.job_id].stage is not job.stage or not _is_held(tables, job, owner):
        return False
    tables.jobs[job.job_id] = replace(job, stage=stage)
    if stage is Stage.UPLOADED:
        tables.uploaded.add(job.job_id)
    return True


def end(tables: Tables, job: BulkJob) -> None:
    """Enter that the job has ended, if every row of it has its answer."""
    if not _unanswered(tables, job):
        tables.jobs[job.job_id] = replace(tables.jobs[job.job_id], stage=Stage.ENDED)


def renew(tables: Tables, job: BulkJob, owner: str, now: datetime) -> bool:
    """Keep everybody in the job's batch leased; False when another worker has taken the job over."""
    for person in _batch(tables, job, owner):
        person.lease_until = now + LEASE
    return _is_held(tables, job, owner)


def release(tables: Tables, job: BulkJob, owner: str) -> None:
    """Give the leases of everybody in the job's batch back, as far as they are the owner's."""
    tables.taken_over[job.job_id] -= 1
    for person in list(_batch(tables, job, owner)):
        person.give_back()


def adopt(tables: Tables, owner: str, now: datetime, scope: str | None) -> AdoptedJob | None:
    """Take over the oldest unfinished job whose worker ended: of opt-outs, or of the window with that scope."""
    job = min(
        (each for each in tables.unfinished_jobs() if _is_left(tables, each, now, scope)),
        key=lambda each: (each.created_at, each.job_id),
        default=None,
    )
    if job is None:
        return None
    lost = tables.taken_over[job.job_id]
    tables.taken_over[job.job_id] += 1
    for sending in _unanswered(tables, job):
        person = tables.people[sending.intent.person_id]
        if person.is_free(now):
            person.lease_owner, person.lease_until = owner, now + LEASE
            person.epoch += 1
    for sending in tables.attempts.values():
        person = tables.people[sending.intent.person_id]
        if sending.intent.batch_id == job.batch_id and person.lease_owner == owner:
            sending.intent = sending.intent._replace(epoch=person.epoch)
    rows = [
        _adopted(tables, job, sending)
        for sending in _unanswered(tables, job)
        if tables.people[sending.intent.person_id].lease_owner == owner
    ]
    return AdoptedJob(job, tuple(rows), lost)


def _is_left(tables: Tables, job: BulkJob, now: datetime, scope: str | None) -> bool:
    return any(
        tables.people[each.intent.person_id].is_free(now)
        and (each.intent.operation is not Operation.UPSERT_TASK if scope is None else each.intent.person_id == scope)
        for each in _unanswered(tables, job)
    )


def _adopted(tables: Tables, job: BulkJob, sending: Sending) -> AdoptedRow:
    intent, row = sending.intent, tables.rows[sending.intent.writeback_id]
    write = journalled_write(job.kind, intent.operation, intent.target_id, intent.title, row.reason, row.delivery_key)
    return AdoptedRow(sending.id, intent.person_id, intent.epoch, write)


def settle(tables: Tables, job: BulkJob, outcomes: Sequence[AttemptOutcome], now: datetime) -> int:
    """Record answers of an adopted job, and what follows for their writebacks; how many were settled."""
    ids = {tables.attempts[outcome.attempt_id].intent.writeback_id for outcome in outcomes}
    settled = settle_answered(tables, sorted(ids), outcomes, now)
    end(tables, job)
    return len(settled)


def settle_left(tables: Tables, now: datetime) -> set[str]:
    """Settle what dead workers sent by Bulk and have answers for, or never came to send; returns those people."""
    free = {id_ for id_, person in tables.people.items() if person.is_free(now)}
    for sending in [each for each in tables.open_attempts.values() if each.intent.lane == BULK_LANE]:
        if sending.intent.person_id in free and not tables.may_have_been_in_a_job(sending):
            sending.outcome = AttemptOutcome(sending.id, Answer.NOT_SENT, now, "WORKER_ENDED", "It was not sent.")
            del tables.open_attempts[sending.id]
    left = [
        id_
        for id_ in tables.sending
        if tables.owner_of[id_] in free and any(each.intent.lane == BULK_LANE for each in tables.attempts_of[id_])
    ]
    return settle_answered(tables, sorted(left), [], now) if left else set()


def settle_answered(
    tables: Tables, writeback_ids: Collection[int], outcomes: Sequence[AttemptOutcome], now: datetime
) -> set[str]:
    """Record the outcomes, then settle those writebacks that are sending and answered; returns their people."""
    settling.record(tables, outcomes, [], [], now, release=False, seen=())
    judged = [
        (tables.rows[id_].status, *each)
        for id_ in writeback_ids
        if (each := settle_by_journal(list(_last_batch(tables, id_)))) is not None
    ]
    settlements = [settlement for status, settlement, _ in judged if status is Status.SENDING]
    origins = [origin for _, _, origins in judged for origin in origins]
    settling.record(tables, outcomes, settlements, origins, now, release=True, seen=())
    return {settlement.person_id for settlement in settlements}


def _last_batch(tables: Tables, id_: int) -> Iterator[Journalled]:
    attempts, row, owner = tables.attempts_of[id_], tables.rows[id_], tables.owner_of[id_]
    for each in attempts:
        if each.intent.batch_id == attempts[-1].intent.batch_id:
            yield Journalled(
                id_,
                owner,
                tables.people[owner].epoch,
                each.intent.operation,
                each.intent.send_deadline,
                row.occurred_at,
                each.intent.revision,
                each.outcome,
            )


def _unanswered(tables: Tables, job: BulkJob) -> list[Sending]:
    return [each for each in tables.open_attempts.values() if each.is_in(job)]


def _is_held(tables: Tables, job: BulkJob, owner: str) -> bool:
    return any(_is_held_by(tables, each, owner) for each in _unanswered(tables, job))


def _is_held_by(tables: Tables, sending: Sending, owner: str) -> bool:
    person = sending.intent.person_id
    return tables.is_current(person, sending.intent.epoch) and tables.people[person].lease_owner == owner


def _batch(tables: Tables, job: BulkJob, owner: str) -> Iterable[Person]:
    ids = {each.intent.person_id for each in tables.attempts.values() if each.intent.batch_id == job.batch_id}
    return (tables.people[id_] for id_ in ids if tables.people[id_].lease_owner == owner)
