"""What delivery needs of the outside: a ledger to claim from and settle in, an organisation to look at and write to.

Every ledger call is one transaction that ends before it returns. No ledger call happens during an organisation call.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from writeback_pipeline.domain.ledger import AttemptOutcome, Claim, Intent, OriginChange, Settlement
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import ApiUsage, Held, RowResult, RowWrite
from writeback_pipeline.domain.settings import WritebackSettings


class OptOutLedger(Protocol):
    """The store, as far as opt-outs need it."""

    def settings(self) -> WritebackSettings:
        """The settings now."""

    def pin_organisation(self, organisation_id: str) -> str:
        """Pin the organisation at the first delivery; returns the pinned id."""

    def pinned_organisation(self) -> str | None:
        """The id pinned so far."""

    def settle_without_recipient(self, now: datetime, run_id: str | None) -> int:
        """Settle changes of people without a Salesforce record; returns how many."""

    def claim(self, owner: str, now: datetime, *, limit: int) -> list[Claim]:
        """Lease up to `limit` people to whom something is owed."""

    def preview(self, now: datetime, *, limit: int, people: Sequence[str] | None = None) -> list[Claim]:
        """What `claim` would take, without taking it; of `people`, whatever is known even if nothing is due."""

    def redirect(self, moves: Mapping[str, PersonRef], now: datetime) -> Mapping[str, str]:
        """Follow converted and merged records and release those people; what cannot be followed, with the reason."""

    def extend(self, owner: str, claims: Sequence[Claim], now: datetime) -> list[Claim]:
        """The claims that are still the owner's, with fresh leases."""

    def journal(self, intents: Sequence[Intent]) -> list[int | None]:
        """Commit intents; returns an attempt id each, None where the person is no longer leased under that epoch."""

    def record(
        self,
        outcomes: Sequence[AttemptOutcome],
        settlements: Sequence[Settlement],
        origins: Sequence[OriginChange],
        now: datetime,
        *,
        release: bool,
    ) -> int:
        """Commit answers and what follows from them; returns how many settlements came too late and were ignored."""

    def release(self, owner: str, claims: Sequence[Claim]) -> None:
        """Give leases back untouched."""


class Organisation(Protocol):
    """Salesforce, as far as opt-outs need it. Trouble that is not a row's raises OrganisationUnavailable."""

    @property
    def organisation_id(self) -> str:
        """The organisation's own id."""

    @property
    def usage(self) -> ApiUsage:
        """Calls made so far."""

    def look(self, people: Sequence[PersonRef]) -> dict[str, Held]:
        """What the organisation holds, by salesforce_id."""

    def batches(self, rows: Sequence[RowWrite]) -> list[tuple[int, ...]]:
        """The rows' positions, grouped so that each group costs one call."""

    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        """Write one group; the answers are in the rows' positions."""
