"""Look for what was sent without an answer: one search for the Notes of many people, then what that proves of each."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from writeback_pipeline.delivery.protocols import Organisation
from writeback_pipeline.domain.ledger import Claim
from writeback_pipeline.domain.reading_back import ReadBack, note_keys, read_back, record_keys
from writeback_pipeline.domain.records import Gone, Held, Live, Moved
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings


def read_back_all(
    claims: Sequence[Claim],
    held: Mapping[str, Held],
    organisation: Organisation,
    settings: WritebackSettings,
    now: datetime,
) -> list[ReadBack]:
    """The claims as they are after the read-back, in their order; no call where nothing is in doubt."""
    keys = {key for claim in claims for key in note_keys(claim, settings)}
    # Both kinds: the setting may have changed since the Note was sent.
    found = organisation.find_notes(sorted(keys), tuple(NoteObject)) if keys else {}
    records = {key for claim in claims for key in record_keys(claim)} if settings.key_records else ()
    keyed = organisation.find_key_records(sorted(records)) if records else {}
    return [read_back(claim, still_there(held, claim), found, keyed, settings, now) for claim in claims]


def still_there(held: Mapping[str, Held], claim: Claim) -> Live | Gone:
    """What the organisation holds of a person who did not move."""
    where = held[claim.person.salesforce_id]
    assert not isinstance(where, Moved)
    return where
