"""What a read-back proves of writebacks without an answer."""

from datetime import UTC, datetime, timedelta

from writeback_pipeline.domain.ledger import Claim, Doubt
from writeback_pipeline.domain.opt_outs import OptOutEvent
from writeback_pipeline.domain.people import ObjectType, person_ref
from writeback_pipeline.domain.reading_back import ReadBack, note_keys, read_back
from writeback_pipeline.domain.records import FoundNote, Live
from writeback_pipeline.domain.settings import WritebackSettings
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON = NOW + timedelta(minutes=10)
PERSON = person_ref(ObjectType.CONTACT, "003000000000001")
TITLE = "Contact unsubscribed from Informz on 11/23/26 12:00:00 PM"
KEY = (PERSON.salesforce_id, TITLE)
SETTINGS = WritebackSettings()


def row(number: int, reason: str | None = None) -> Writeback:
    return Writeback(
        id=number,
        kind=Kind.UNSUBSCRIBE,
        object_type=PERSON.object_type,
        salesforce_id=PERSON.salesforce_id,
        subscriber_id=None,
        email=None,
        occurred_at=NOW,
        reason=reason,
        window_start=None,
        window_end=None,
        delivery_key=f"key {number}",
        status=Status.UNKNOWN,
        flag_result=None,
        attempts=1,
        next_attempt_at=NOW,
        error_code="NO_ANSWER",
        error_message=None,
        advice=None,
        note_id=None,
        task_id=None,
        redirected_from=None,
        run_id=None,
        created_at=NOW,
        written_at=None,
    )


def claim(*doubts: Doubt, known: frozenset[str] = frozenset()) -> Claim:
    events = tuple(OptOutEvent(d.writeback.id, Kind.UNSUBSCRIBE, NOW, Status.UNKNOWN) for d in doubts)
    return Claim(PERSON, 1, SOON, (), events, False, None, doubts, known)


def doubt(number: int, until: datetime = SOON, flag: bool | None = None, reason: str | None = None) -> Doubt:
    return Doubt(row(number, reason), frozenset({TITLE}), frozenset({PERSON.salesforce_id}), until, flag)


def after(doubted: Claim, *notes: FoundNote, opted_out: bool = False, now: datetime = NOW) -> ReadBack:
    return read_back(doubted, Live(opted_out), {KEY: notes}, {}, SETTINGS, now)


def note(number: int, body: str = TITLE) -> FoundNote:
    return FoundNote(f"00200000000000{number}AAA", TITLE, body)


def test_absence_proves_nothing_before_its_time() -> None:
    doubted = claim(doubt(1))
    assert after(doubted) == ReadBack(doubted)
    (settlement,) = after(doubted, now=SOON).settlements
    assert (settlement.status, settlement.note_id) == (Status.WAITING, None)


def test_a_note_that_is_found_settles_the_matter_at_once() -> None:
    found = after(claim(doubt(1)), note(1))
    (settlement,) = found.settlements
    assert (settlement.status, settlement.note_id) == (Status.WAITING, note(1).note_id)
    assert [taken.note_id for taken in found.claim.taken] == [note(1).note_id]


def test_a_flag_that_may_still_arrive_keeps_the_doubt_though_the_note_is_there() -> None:
    doubted = claim(doubt(1, flag=True))
    early = after(doubted, note(1), opted_out=False)
    assert early.settlements == ()
    assert [each.writeback.note_id for each in early.claim.doubts] == [note(1).note_id]
    landed = after(doubted, note(1), opted_out=True)
    assert landed.claim.flag_is_ours
    assert [settlement.flag_result for settlement in landed.settlements] == [FlagResult.SET]
    never = after(doubted, note(1), opted_out=False, now=SOON)
    assert not never.claim.flag_is_ours
    assert [settlement.flag_result for settlement in never.settlements] == [None]


def test_a_note_that_the_ledger_knows_is_nobody_elses() -> None:
    doubted = claim(doubt(1), known=frozenset({note(1).note_id}))
    assert after(doubted, note(1)).settlements == ()


def test_notes_of_one_title_are_told_apart_by_their_text_and_then_counted() -> None:
    one, two, three = (doubt(number, reason=f"reason {number}") for number in (1, 2, 3))
    told = {
        settlement.writeback_id: settlement.note_id
        for settlement in after(
            claim(one, two, three), note(1, "cut off"), note(2, f"{TITLE}\r\nReason:  reason 3 ")
        ).settlements
    }
    assert told == {3: note(2).note_id, 1: note(1).note_id}


def test_a_note_of_another_text_may_be_that_of_an_event_whose_workers_were_lost() -> None:
    doubted = claim(doubt(1, reason="reason 1"))
    lost = OptOutEvent(2, Kind.UNSUBSCRIBE, NOW + timedelta(microseconds=1), Status.FAILED)
    beside = doubted._replace(events=(*doubted.events, lost))
    assert after(beside, note(1, "of whichever")).settlements == ()
    assert after(beside, note(1, f"{TITLE}\nReason: reason 1")).settlements[0].note_id == note(1).note_id
    for harmless in (lost._replace(noted=True), lost._replace(occurred_at=NOW + timedelta(seconds=1))):
        other = doubted._replace(events=(*doubted.events, harmless))
        assert after(other, note(1, "of whichever")).settlements[0].note_id == note(1).note_id


def test_a_row_without_a_journal_is_looked_for_by_the_title_that_it_has_now() -> None:
    unsent = Doubt(row(1), frozenset(), frozenset(), NOW)
    assert note_keys(claim(unsent), SETTINGS) >= {KEY}
