"""Compare what was written lately with what Salesforce holds: flags that are gone are set again, lost Notes are listed.

The repair is an ordinary delivery: whoever is questioned is looked at as if something were owed to them. A Note that
somebody deleted is not written again; who deleted it had a reason.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.delivery.report import DeliveryReport
from writeback_pipeline.domain.writebacks import Writeback

REACH = timedelta(days=30)
"""How far back opt-outs are compared."""


class Written(Protocol):
    """The ledger, as far as it tells what was written."""

    def question(self, since: datetime, now: datetime) -> int:
        """Have the flag verified of everybody to whom an opt-out was written since then; returns how many."""

    def notes_since(self, since: datetime) -> Mapping[str, Writeback]:
        """The opt-outs that were written since then, by the id of their Note."""


class Notes(Protocol):
    """The organisation, as far as it tells which Notes it has."""

    def missing_notes(self, ids: Collection[str]) -> Collection[str]:
        """Those of the Notes that it no longer has."""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How many people were compared, what the delivery that repaired them did, and whose Notes are gone."""

    people: int
    delivery: DeliveryReport
    without_note: Sequence[Writeback]


def reconcile(delivery: OptOutDelivery, ledger: Written, organisation: Notes) -> Reconciliation:
    """Compare and repair; trouble that is not a row's is raised as by the delivery."""
    now = delivery.now()
    people = ledger.question(now - REACH, now)
    report = delivery.run()
    written = ledger.notes_since(now - REACH)
    missing = organisation.missing_notes(list(written)) if written else ()
    return Reconciliation(people, report, [row for note_id, row in written.items() if note_id in missing])
