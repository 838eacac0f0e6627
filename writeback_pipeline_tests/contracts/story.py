"""Short words for the tests of the store: people, their changes, and what one worker does with a claim."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from writeback_pipeline.domain.ledger import AttemptOutcome, Claim, Intent, OriginChange, Settlement, WritebackFilter
from writeback_pipeline.domain.people import ObjectType, PersonRef, person_ref
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.writebacks import Change, Kind, Status, Writeback
from writeback_pipeline.store.store import Store

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def contact(number: int) -> PersonRef:
    return person_ref(ObjectType.CONTACT, f"003{number:012d}")


def lead(number: int) -> PersonRef:
    return person_ref(ObjectType.LEAD, f"00Q{number:012d}")


def unsubscribe(person: PersonRef, at: datetime = NOW, kind: Kind = Kind.UNSUBSCRIBE, **more: str | None) -> Change:
    return Change(kind, person.object_type, person.salesforce_id, at, **more)


def resubscribe(person: PersonRef, at: datetime = NOW) -> Change:
    return unsubscribe(person, at, Kind.RESUBSCRIBE)


def claim_one(store: Store, now: datetime = NOW, owner: str = "worker") -> Claim:
    (claim,) = store.claim(owner, now, limit=1)
    return claim


def intent(
    claim: Claim,
    operation: Operation = Operation.CREATE_NOTE,
    row: Writeback | None = None,
    at: datetime | None = None,
    run_id: str | None = None,
) -> Intent:
    return Intent(
        person_id=claim.person.salesforce_id,
        epoch=claim.epoch,
        writeback_id=(row or claim.taken[0]).id,
        operation=operation,
        target_id=claim.person.salesforce_id,
        batch_id="batch",
        lane="composite",
        call_number=1,
        intent_at=at or claim.lease_until - timedelta(seconds=100),
        send_deadline=claim.lease_until,
        payload_hash="0" * 64,
        run_id=run_id,
        flag_before=False,
        title="Contact unsubscribed",
    )


def journalled(store: Store, intents: Sequence[Intent]) -> list[int]:
    ids = [id_ for id_ in store.journal(intents) if id_ is not None]
    assert len(ids) == len(intents)
    return ids


def answered(attempt_id: int, answer: Answer = Answer.OK, **more: str | None) -> AttemptOutcome:
    return AttemptOutcome(attempt_id, answer, NOW, **more)


def settled(claim: Claim, status: Status = Status.WRITTEN, row: Writeback | None = None) -> Settlement:
    return Settlement(
        writeback_id=(row or claim.taken[0]).id,
        person_id=claim.person.salesforce_id,
        epoch=claim.epoch,
        status=status,
        person=claim.person,
        written_at=NOW if status is Status.WRITTEN else None,
        next_attempt_at=NOW + 10 * MINUTE if status in (Status.WAITING, Status.UNKNOWN) else None,
        attempted=True,
    )


def opted_out(claim: Claim, *, flag_set: bool = True, row: Writeback | None = None) -> OriginChange:
    row = row or claim.taken[0]
    return OriginChange(claim.person.salesforce_id, row.kind is Kind.UNSUBSCRIBE, row.occurred_at, row.id, flag_set)


def written(store: Store, claim: Claim) -> None:
    """Deliver everything taken: flag and notes confirmed, rows settled, lease given back."""
    operations = {Kind.UNSUBSCRIBE: Operation.SET_FLAG, Kind.RESUBSCRIBE: Operation.CLEAR_FLAG}
    intents = [
        intent(claim, operation, row)
        for row in claim.taken
        for operation in (operations[row.kind], Operation.CREATE_NOTE)
    ]
    outcomes = [answered(id_) for id_ in journalled(store, intents)]
    settlements = [settled(claim, row=row) for row in claim.taken]
    origins = [opted_out(claim, row=row) for row in claim.taken]
    assert store.record(outcomes, settlements, origins, NOW, release=True) == 0


def everything(store: Store) -> list[Writeback]:
    return store.writebacks(WritebackFilter())


def statuses(store: Store) -> list[Status]:
    """In the order in which the rows were queued."""
    return [row.status for row in sorted(everything(store), key=lambda row: row.id)]
