"""Look for what was sent without an answer: one search for the Notes of many people, then what that proves of each.

The search comes before the look at the people themselves: whoever is still where they were afterwards had no Note taken
away by a merge in between, and whoever is not is searched again where they are.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.delivery.protocols import OptOutLedger, Organisation
from writeback_pipeline.domain.ledger import QUIET, Claim
from writeback_pipeline.domain.reading_back import (
    NoteKey,
    ReadBack,
    doubted_until,
    is_restored,
    note_keys,
    read_back,
    record_keys,
)
from writeback_pipeline.domain.records import FoundNote, Gone, Held, Live, Moved
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.logs import tell

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Search:
    """Notes by where they hang and their title, Notes by their record key, and when the search began: what had time to
    arrive then may have arrived since."""

    began_at: datetime
    notes: Mapping[NoteKey, Sequence[FoundNote]]
    keyed: Mapping[str, str | None]

    @property
    def note_ids(self) -> set[str]:
        """Every Note that was found."""
        notes = (note.note_id for found in self.notes.values() for note in found)
        return {*notes, *(id_ for id_ in self.keyed.values() if id_ is not None)}


def search(claims: Sequence[Claim], organisation: Organisation, settings: WritebackSettings, now: datetime) -> Search:
    """Look for the Notes of everything that is in doubt; no call where nothing is."""
    doubted = [claim for claim in claims if claim.doubts]
    keys = {key for claim in doubted for key in note_keys(claim, settings)}
    # Both kinds: the setting may have changed since the Note was sent.
    notes = organisation.find_notes(sorted(keys), tuple(NoteObject)) if keys else {}
    records = {key for claim in doubted for key in record_keys(claim)} if settings.key_records else ()
    keyed = organisation.find_key_records(sorted(records)) if records else {}
    return Search(now, notes, keyed)


def after_lost_jobs(
    claims: list[Claim], ledger: OptOutLedger, organisation: Organisation, now: datetime
) -> list[Claim]:
    """The claims; what a restore put in doubt stays so while a Bulk job is at work of which the ledger knows no more.

    To be asked before anything is searched for: such a job may write until it ends, and then for a quiet time nothing
    of it can be told from what was never sent. One call, and none where nothing was restored.
    """
    restored = [is_restored(claim) for claim in claims]
    if not any(restored):
        return claims
    jobs = organisation.unfinished_jobs()
    lost = sorted(jobs - set(ledger.known_jobs(jobs)))
    if not lost:
        return claims
    tell(_log, "a restored ledger waits for Bulk jobs that it does not know", jobs=" ".join(lost), people=sum(restored))
    return [
        doubted_until(claim, now + QUIET) if doubted else claim for claim, doubted in zip(claims, restored, strict=True)
    ]


def read_back_all(
    claims: Sequence[Claim],
    held: Mapping[str, Held],
    found: Search,
    ledger: OptOutLedger,
    settings: WritebackSettings,
) -> list[ReadBack]:
    """The claims as they are after the read-back, in their order.

    What the ledger knows as anybody's Note proves nothing here: a merge that nobody has heard of may have brought it.
    """
    known = ledger.notes_known(found.note_ids) if found.note_ids else ()
    if known:
        claims = [claim._replace(known_notes=claim.known_notes.union(known)) for claim in claims]
    return [
        read_back(claim, still_there(held, claim), found.notes, found.keyed, settings, found.began_at)
        for claim in claims
    ]


def still_there(held: Mapping[str, Held], claim: Claim) -> Live | Gone:
    """What the organisation holds of a person who did not move."""
    where = held[claim.person.salesforce_id]
    assert not isinstance(where, Moved)
    return where
