"""Bulk jobs in the ledger: fenced at every step, taken over whole, and never a reason to send anything again."""

from dataclasses import replace

from writeback_pipeline.domain.adoption import AdoptedJob
from writeback_pipeline.domain.bulk import BulkJob, JobKind, Stage
from writeback_pipeline.domain.ledger import LEASE, QUIET, Attempt, AttemptOutcome, Claim, Intent
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import (
    MINUTE,
    NOW,
    answered,
    contact,
    everything,
    intent,
    statuses,
    unsubscribe,
)
from writeback_pipeline_tests.contracts.test_store_activity import SCOPE, leased, owe, row, summary

FLAGS = BulkJob("750000000000001AAA", "batch", 1, JobKind("Contact", "update"), 2, Stage.CREATED, NOW)
NOTES = replace(FLAGS, job_id="750000000000002AAA", call_number=2, kind=JobKind("Note", "insert"))
TASKS = replace(FLAGS, job_id="750000000000003AAA", kind=JobKind("Task", "upsert", "Writeback_Key__c"), rows=1)
LATER = NOW + LEASE + MINUTE


def claimed(store: Store, people: int = 2, owner: str = "worker") -> list[Claim]:
    store.enqueue([unsubscribe(contact(number), reason="no, thanks") for number in range(people)], NOW)
    return store.claim(owner, NOW, limit=people)


def in_bulk(claim: Claim, operation: Operation) -> Intent:
    number = 2 if operation is Operation.CREATE_NOTE else 1
    return intent(claim, operation)._replace(lane="bulk", call_number=number)


def journalled(store: Store, claims: list[Claim]) -> list[int]:
    """Attempt ids: everybody's flag, then everybody's note."""
    operations = (Operation.SET_FLAG, Operation.CREATE_NOTE)
    ids = store.journal([in_bulk(claim, operation) for operation in operations for claim in claims])
    return [id_ for id_ in ids if id_ is not None]


def uploaded(store: Store, job: BulkJob) -> BulkJob:
    assert store.enter_job(job, "worker")
    assert store.move_job(job, Stage.UPLOADED, "worker", NOW)
    return replace(job, stage=Stage.UPLOADED)


def adopted(store: Store) -> AdoptedJob:
    job = store.adopt_job("next", LATER)
    assert job is not None
    return job


def test_a_job_in_progress_is_taken_over_with_its_rows(store: Store) -> None:
    claims = claimed(store)
    ids = journalled(store, claims)
    job = uploaded(store, FLAGS)
    assert store.adopt_job("next", NOW) is None
    taken = adopted(store)
    assert taken.job == job
    assert [each.attempt_id for each in taken.rows] == ids[:2]
    assert [each.write.record_id for each in taken.rows] == [claim.person.salesforce_id for claim in claims]
    assert [each.epoch for each in taken.rows] == [claim.epoch + 1 for claim in claims]
    assert store.adopt_job("third", LATER) is None


def test_workers_who_took_a_job_over_and_ended_are_counted_and_no_others(store: Store) -> None:
    journalled(store, claimed(store))
    uploaded(store, FLAGS)
    given_back, *lost = [NOW + number * (LEASE + MINUTE) for number in range(1, 5)]
    taken = store.adopt_job("gives it back", given_back)
    assert taken is not None
    store.release_job(taken.job, "gives it back")
    again = [store.adopt_job(f"worker {number}", at) for number, at in enumerate(lost)]
    assert [each and each.lost for each in (taken, *again)] == [0, 0, 1, 2]


def test_the_ledger_tells_which_jobs_it_knows_whatever_became_of_them(store: Store) -> None:
    journalled(store, claimed(store))
    job = uploaded(store, FLAGS)
    assert store.known_jobs([job.job_id, "750000000000009AAA"]) == {job.job_id}
    assert store.known_jobs([]) == set()


def test_people_of_a_job_that_has_not_ended_are_nobodys_to_claim_and_nothing_of_theirs_is_doubted(
    store: Store,
) -> None:
    journalled(store, claimed(store))
    uploaded(store, FLAGS)
    store.enqueue([unsubscribe(contact(0), NOW + MINUTE)], NOW)
    assert store.claim("next", LATER, limit=10) == []
    assert statuses(store) == [Status.SENDING, Status.SENDING, Status.PENDING]
    assert store.due(LATER) > 0


def test_a_worker_that_was_taken_over_can_do_nothing_more_with_its_job(store: Store) -> None:
    journalled(store, claimed(store))
    job = uploaded(store, FLAGS)
    adopted(store)
    assert not store.renew_job(job, "worker", LATER)
    assert not store.move_job(job, Stage.ENDED, "worker", LATER)


def test_a_job_that_was_given_up_cannot_be_uploaded_by_its_first_worker(store: Store) -> None:
    journalled(store, claimed(store))
    assert store.enter_job(FLAGS, "worker")
    taken = adopted(store)
    assert taken.job.stage is Stage.CREATED
    assert store.move_job(taken.job, Stage.ENDED, "next", LATER)
    assert not store.move_job(FLAGS, Stage.UPLOADED, "worker", LATER)


def test_a_lease_is_renewed_for_the_whole_batch(store: Store) -> None:
    journalled(store, claimed(store))
    job = uploaded(store, FLAGS)
    assert store.renew_job(job, "worker", NOW + 2 * MINUTE)
    assert store.adopt_job("next", LATER) is None
    assert store.adopt_job("next", LATER + 2 * MINUTE) is not None


def test_what_was_journalled_for_a_job_that_was_never_created_was_not_sent(store: Store) -> None:
    journalled(store, claimed(store))
    assert len(store.claim("next", LATER, limit=10)) == 2
    assert {attempt.outcome and attempt.outcome.answer for attempt in attempts(store)} == {Answer.NOT_SENT}
    assert not store.enter_job(FLAGS, "worker")


def test_a_job_is_not_entered_once_one_of_its_rows_is_another_workers(store: Store) -> None:
    claims = claimed(store)
    journalled(store, claims)
    store.release("worker", [claims[0].lease])
    store.claim("next", NOW, limit=1)
    assert not store.enter_job(FLAGS, "worker")


def test_an_adopted_job_leaves_what_it_proves_and_the_rest_to_the_next_delivery(store: Store) -> None:
    journalled(store, claimed(store))
    uploaded(store, FLAGS)
    taken = adopted(store)
    store.claim("other", LATER, limit=10)  # notes had no job yet
    outcomes = [answered(taken.rows[0].attempt_id), answered(taken.rows[1].attempt_id, Answer.REJECTED, code="X")]
    assert store.settle_job(taken.job, outcomes, LATER) == 0
    # Their notes are not answered while the leases run; once those are given back, they were not sent.
    first, second = store.claim("next", LATER + LEASE, limit=10)
    assert (first.flag_is_ours, second.flag_is_ours) == (True, False)
    assert [each.taken[0].flag_result for each in (first, second)] == [FlagResult.SET, None]
    assert store.adopt_job("next", LATER + 2 * LEASE) is None


def test_what_left_with_its_person_for_another_record_is_in_doubt_together_with_its_attempts(store: Store) -> None:
    store.enqueue([unsubscribe(contact(0), NOW - MINUTE), unsubscribe(contact(0))], NOW)
    (claim,) = store.claim("worker", NOW, limit=9)
    flag, *notes = (
        intent(claim, operation, row=row)._replace(lane="bulk", call_number=number)
        for operation, row, number in (
            (Operation.SET_FLAG, claim.taken[1], 1),
            (Operation.CREATE_NOTE, claim.taken[0], 2),
            (Operation.CREATE_NOTE, claim.taken[1], 2),
        )
    )
    assert None not in store.journal([flag, *notes])
    uploaded(store, replace(FLAGS, rows=1))
    store.redirect({contact(0).salesforce_id: contact(1)}, NOW)
    assert store.adopt_job("next", NOW) is not None, "who has a lease of the record that was there before"
    store.claim("other", NOW, limit=9)
    assert statuses(store) == [Status.UNKNOWN, Status.SENDING]
    (attempt,) = store.attempts_of([claim.taken[0].id])
    assert attempt.outcome is not None
    assert attempt.outcome.answer is Answer.UNKNOWN


def test_answers_recorded_before_the_worker_ended_are_not_asked_for_again(store: Store) -> None:
    claims = claimed(store)
    ids = journalled(store, claims)
    job = uploaded(store, FLAGS)
    store.record([answered(id_) for id_ in ids[:2]], [], [], NOW, release=False)
    store.end_job(job, NOW)
    uploaded(store, NOTES)
    taken = adopted(store)
    assert [each.write.fields["Body"] for each in taken.rows] == ["Contact unsubscribed\nReason: no, thanks"] * 2
    outcomes = [answered(each.attempt_id, record_id=f"002{each.attempt_id}") for each in taken.rows]
    assert store.settle_job(taken.job, outcomes, LATER) == 2
    again = store.claim("next", LATER, limit=10)
    assert [each.taken[0].note_id for each in again] == [f"002{id_}" for id_ in ids[2:]]
    assert all(each.flag_is_ours and each.taken[0].flag_result is FlagResult.SET for each in again)


def test_a_row_without_a_result_stays_in_doubt(store: Store) -> None:
    journalled(store, claimed(store, 1))
    uploaded(store, NOTES)
    taken = adopted(store)
    store.record([answered(attempts(store)[0].id)], [], [], LATER, release=False)
    store.settle_job(taken.job, [answered(taken.rows[0].attempt_id, Answer.UNKNOWN)], LATER)
    [found] = everything(store)
    assert found.status is Status.UNKNOWN
    assert found.next_attempt_at == NOW + LEASE + QUIET


def test_tasks_of_an_adopted_job_are_written_in_the_revision_that_was_sent(store: Store) -> None:
    lease = leased(store)
    (id_,) = owe(store, lease, summary(contact(1)))
    sent = Intent(
        lease.scope, lease.epoch, id_, Operation.UPSERT_TASK, contact(1).salesforce_id, "batch", "bulk", 1,
        NOW, lease.lease_until, "0" * 64, revision="r1",
    )  # fmt: skip
    store.journal([sent])
    uploaded(store, TASKS)
    assert store.adopt_job("next", LATER) is None
    assert store.lease_window(SCOPE, "next", LATER) is None
    taken = store.adopt_job("next", LATER, SCOPE)
    assert taken is not None
    assert taken.rows[0].write.external_id == ("Writeback_Key__c", summary(contact(1)).key)
    outcome = AttemptOutcome(taken.rows[0].attempt_id, Answer.OK, LATER, record_id="00T000000000001AAA")
    assert store.settle_job(taken.job, [outcome], LATER) == 1
    assert (row(store, id_).status, row(store, id_).task_id) == (Status.WRITTEN, "00T000000000001AAA")
    found = store.lease_window(SCOPE, "next", LATER)
    assert found is not None
    assert found[1][summary(contact(1)).key].revision == "r1"


def attempts(store: Store) -> list[Attempt]:
    return store.attempts_of([each.id for each in everything(store)])
