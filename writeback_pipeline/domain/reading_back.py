"""What a read-back of writebacks without an answer proves, and what the ledger learns from it.

Pure: what Salesforce holds is an argument. A Note that is found was written, whenever it is found; one that is missing
was not, but only once its request can no longer arrive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from writeback_pipeline.domain.ledger import RESTORED, Claim, Doubt, OriginChange, Settlement
from writeback_pipeline.domain.notes import note_body, note_title
from writeback_pipeline.domain.people import ObjectType, PersonRef
from writeback_pipeline.domain.records import PREVIEW, FoundNote, Gone, Live
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback, record_key

NoteKey = tuple[str, str]
"""The record that a Note hangs on, and its title."""


class ReadBack(NamedTuple):
    """A claim after its doubts were looked into: what is settled of them waits to be planned."""

    claim: Claim
    settlements: tuple[Settlement, ...] = ()
    origins: tuple[OriginChange, ...] = ()


def record_keys(claim: Claim) -> set[str]:
    """The keys of the key records of the claim's doubts, in an organisation that has those."""
    return {record_key(doubt.writeback) for doubt in claim.doubts}


def note_keys(claim: Claim, settings: WritebackSettings) -> set[NoteKey]:
    """Where Notes of the claim's doubts may be: a merge or conversion takes a Note to another record."""
    unfound = (doubt for doubt in claim.doubts if doubt.writeback.note_id is None)
    return {key for doubt in unfound for key in _keys(doubt, claim.person, settings)}


def is_restored(claim: Claim) -> bool:
    """Whether something of the person is in doubt because the ledger was put back to an earlier state."""
    return any(doubt.writeback.error_code == RESTORED for doubt in claim.doubts)


def doubted_until(claim: Claim, until: datetime) -> Claim:
    """The claim with everything that is in doubt staying so till then at least."""
    doubts = (replace(doubt, readable_at=max(doubt.readable_at, until)) for doubt in claim.doubts)
    return claim._replace(doubts=tuple(doubts))


def read_back(
    claim: Claim,
    held: Live | Gone,
    found: Mapping[NoteKey, Iterable[FoundNote]],
    keyed: Mapping[str, str | None],
    settings: WritebackSettings,
    now: datetime,
) -> ReadBack:
    """What the Notes that were `found`, the Notes of key records, by record key, and the flag that is `held` say of the
    claim's doubts."""
    if not claim.doubts:
        return ReadBack(claim)
    notes = _notes_by_doubt(claim, found, keyed, settings)
    flag = held.opted_out if isinstance(held, Live) else None
    doubts = [_with_note(doubt, notes.get(doubt.writeback.id)) for doubt in claim.doubts]
    resolved = {doubt.writeback.id: _resolved(doubt, flag, now) for doubt in doubts if _is_over(doubt, flag, now)}
    origins = [
        OriginChange(
            claim.person.salesforce_id,
            opted_out=row.kind is Kind.UNSUBSCRIBE,
            at=event.occurred_at,
            writeback_id=row.id,
            flag_set=row.kind is Kind.UNSUBSCRIBE,
        )
        for event in claim.events
        if (row := resolved.get(event.id)) and row.flag_result in (FlagResult.SET, FlagResult.CLEARED)
    ]
    events = (
        event._replace(status=row.status, flag_result=row.flag_result, noted=row.note_id is not None)
        if (row := resolved.get(event.id))
        else event
        for event in claim.events
    )
    after = claim._replace(
        taken=(*claim.taken, *resolved.values()),
        doubts=tuple(doubt for doubt in doubts if doubt.writeback.id not in resolved),
        events=tuple(events),
        flag_is_ours=claim.flag_is_ours or any(origin.flag_set for origin in origins),
    )
    return ReadBack(after, tuple(_settlement(claim, row) for row in resolved.values()), tuple(origins))


def _keys(doubt: Doubt, person: PersonRef, settings: WritebackSettings) -> set[NoteKey]:
    row = doubt.writeback
    titles = doubt.titles or {
        note_title(row.kind, object_type, row.occurred_at, settings.zone, settings.platform_name)
        for object_type in ObjectType
    }
    return {(parent, title) for parent in {*doubt.targets, person.salesforce_id} for title in titles}


def _notes_by_doubt(
    claim: Claim,
    found: Mapping[NoteKey, Iterable[FoundNote]],
    keyed: Mapping[str, str | None],
    settings: WritebackSettings,
) -> dict[int, str]:
    """A Note each, as far as there are any: events of one second share a title, so Notes are told apart by text first
    and by number last, unless one that nobody reads back now may have sent its own under that title, too."""
    given = {}
    for doubt in claim.doubts:
        note_id = doubt.writeback.note_id or _unless_known(keyed.get(record_key(doubt.writeback)), claim)
        if note_id is not None:
            given[doubt.writeback.id] = note_id
    taken = {*claim.known_notes, *given.values()}
    free = {note.note_id for notes in found.values() for note in notes} - taken
    for by_text in (True, False):
        for doubt in sorted(claim.doubts, key=lambda doubt: doubt.writeback.id):
            row = doubt.writeback
            if not by_text and _has_rival(row, claim):
                continue
            candidates = sorted(
                note.note_id
                for key in _keys(doubt, claim.person, settings)
                for note in found.get(key, ())
                if note.note_id in free and (not by_text or _tells(note, row))
            )
            if row.id not in given and candidates:
                given[row.id] = candidates[0]
                free.discard(candidates[0])
    return given


def _has_rival(row: Writeback, claim: Claim) -> bool:
    """Whether another event of that second may have a Note that the ledger does not know, and is not in doubt now: one
    that failed because its workers were lost."""
    read_back_now = {doubt.writeback.id for doubt in claim.doubts}
    second = row.occurred_at.replace(microsecond=0)
    return any(
        event.kind is row.kind
        and event.occurred_at.replace(microsecond=0) == second
        and event.status is Status.FAILED
        and not event.noted
        and event.id not in read_back_now
        for event in claim.events
    )


def _unless_known(note_id: str | None, claim: Claim) -> str | None:
    """The Note of a key record, unless the ledger knows it already: then it is one that an undo has deleted."""
    return None if note_id in claim.known_notes else note_id


def _tells(note: FoundNote, row: Writeback) -> bool:
    """Whether the Note's text, or its preview, is this row's; line ends and blanks are not kept as they were sent."""
    if note.body is None:
        return False
    told, sent = (" ".join(text.split()) for text in (note.body, note_body(note.title, row.reason)))
    return told == sent or (len(told) == PREVIEW and sent.startswith(told))


def _with_note(doubt: Doubt, note_id: str | None) -> Doubt:
    return replace(doubt, writeback=doubt.writeback._replace(note_id=doubt.writeback.note_id or note_id))


def _is_over(doubt: Doubt, flag: bool | None, now: datetime) -> bool:
    """A Note that is there says nothing of the flag: a write of that may land later, and must be known as ours then."""
    flag_has_landed = doubt.flag is None or doubt.flag == flag
    return doubt.readable_at <= now or (doubt.writeback.note_id is not None and flag_has_landed)


def _resolved(doubt: Doubt, flag: bool | None, now: datetime) -> Writeback:
    row = doubt.writeback
    flag_result = row.flag_result
    if doubt.flag is not None and doubt.flag == flag:
        flag_result = FlagResult.SET if flag else FlagResult.CLEARED
    return row._replace(status=Status.WAITING, flag_result=flag_result, next_attempt_at=now)


def _settlement(claim: Claim, row: Writeback) -> Settlement:
    return Settlement(
        row.id,
        claim.person.salesforce_id,
        claim.epoch,
        row.status,
        flag_result=row.flag_result,
        note_id=row.note_id,
        next_attempt_at=row.next_attempt_at,
        error_code=row.error_code,
        error_message=row.error_message,
        advice=_FOUND if row.note_id else _ABSENT,
    )


_FOUND = "Read back: its Note is in Salesforce; what else it needs is done next."
_ABSENT = "Read back: it did not reach Salesforce, so it is sent again."
