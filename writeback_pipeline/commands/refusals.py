"""Say at once which resubscribes will be refused, as far as the ledger knows; the delivery has the last word."""

from collections.abc import Sequence
from datetime import datetime

from writeback_pipeline.commands.output import message
from writeback_pipeline.domain.planning import foreseen_refusals
from writeback_pipeline.domain.writebacks import Change, Kind
from writeback_pipeline.store.store import Store

SHOWN = 10
"""How many are spelt out."""


def warn_of_refusals(store: Store, changes: Sequence[Change], now: datetime) -> None:
    """Tell on standard error whose resubscribe will be refused, and where it has to be made instead."""
    resubscribes = [change for change in changes if change.kind is Kind.RESUBSCRIBE]
    people = sorted({change.salesforce_id for change in resubscribes if change.salesforce_id is not None})
    if not people:
        return
    settings, elsewhere = store.settings(), store.opted_out_elsewhere(people)
    told = [
        f"{row.object_type} {row.salesforce_id}: {advice}"
        for claim in store.preview(now, limit=len(people), people=people)
        for row, advice in foreseen_refusals(claim, settings, elsewhere=claim.person.salesforce_id in elsewhere)
    ]
    for line in told[:SHOWN]:
        message(f"Warning: this resubscribe will be refused. {line}")
    if len(told) > SHOWN:
        message(f"Warning: {len(told) - SHOWN:,} more resubscribes will be refused.")
