"""Rows for the pages of the Writeback List: some that are queued, some that failed."""

from collections.abc import Sequence
from typing import Any

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.writebacks import Status, Writeback
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.console.serving import START
from writeback_pipeline_tests.contracts.story import MINUTE, settled, unsubscribe


def queue(store: Store, people: Sequence[PersonRef], **more: Any) -> None:
    """An unsubscribe of each, the first a minute after the second."""
    store.enqueue([unsubscribe(person, START - n * MINUTE, **more) for n, person in enumerate(people)], START)


def fail(
    store: Store,
    code: str = "NOT_FOUND",
    advice: str = "Mend it, then retry.",
    status: Status = Status.FAILED,
    **more: Any,
) -> None:
    """Settle whatever is due with that error."""
    how = {"error_code": code, "advice": advice, "error_message": f"{code} it is", **more}
    claims = store.claim("worker", START, limit=1000)
    settlements = [settled(claim, status, row=row)._replace(**how) for claim in claims for row in claim.taken]
    store.record([], settlements, [], START, release=True)


def rows(store: Store) -> list[Writeback]:
    """Everything, newest first."""
    return store.writebacks(WritebackFilter())
