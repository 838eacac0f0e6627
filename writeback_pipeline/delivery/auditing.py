"""Audit: the ledger against live Salesforce, and a repair that may only ever opt out.

Deliveries may go on meanwhile: of people to whom something is owed before or after the reading nothing is concluded.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from writeback_pipeline.delivery.pinning import check_pinned
from writeback_pipeline.delivery.synchronising import ChangedPeople, StatusLedger
from writeback_pipeline.domain.auditing import Comparison, Expectation, compare, without
from writeback_pipeline.domain.ledger import Origin
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Gone, Held, Live
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.sync import SeenPerson


class AuditedLedger(StatusLedger, Protocol):
    """The store, as far as an audit needs it."""

    def settings(self) -> WritebackSettings:
        """The settings now."""

    def expectations(self, sample: int) -> Sequence[Expectation]:
        """Everybody who stands opted out, or that many of them drawn by lot where `sample` is not 0."""

    def under_way(self) -> frozenset[str]:
        """People to whom something is owed, or whose flag is to be looked at."""


class AuditedOrganisation(ChangedPeople, Protocol):
    """Salesforce, as far as an audit needs it."""

    def look(self, people: Sequence[PersonRef]) -> Mapping[str, Held]:
        """What the organisation holds, by salesforce_id."""


def audit(ledger: AuditedLedger, organisation: AuditedOrganisation, now: datetime) -> Comparison:
    """Compare everybody, or as many as `audit_sample` says: of a sample, only whether Salesforce shows it."""
    found = organisation.organisation_id
    check_pinned(ledger.pin_organisation(found), found)
    settings, moving = ledger.settings(), ledger.under_way()
    if settings.audit_sample:
        expected = ledger.expectations(settings.audit_sample)
        held = organisation.look([each.person for each in expected])
        opted_out = {
            each.salesforce_id: SeenPerson(each.person, opted_out=True, changed_at=now)
            for each in expected
            if isinstance(where := held[each.salesforce_id], Live) and where.opted_out
        }
    else:
        opted_out = {each.person.salesforce_id: each for each in organisation.opted_out_people()}
        expected = ledger.expectations(0)
    moving |= ledger.under_way()
    comparison = compare(expected, opted_out, moving, suppressed=settings.suppress_opt_out_flag)
    missing = [each.person for each in comparison.only_here]
    looked_up = organisation.look(missing) if missing else {}
    return without(comparison, frozenset(id_ for id_, held in looked_up.items() if isinstance(held, Gone)))


def repair(ledger: AuditedLedger, comparison: Comparison, now: datetime) -> int:
    """Opt out where one side lacks it: on the platform at once, in Salesforce by the next delivery.

    Returns how many opt-outs that delivery has to set. An opt-out of Salesforce's own that is gone there is left.
    """
    lost = [each.salesforce_id for each in comparison.only_here if each.by_platform]
    ledger.question_people(lost, now)
    ledger.learn(comparison.only_there, Origin.SALESFORCE, now, now)
    return len(lost)
