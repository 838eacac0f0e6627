"""What is known of a person's flag in Salesforce without asking, and whether an opt-out stands on the platform."""

from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.domain.both_sides import last_known_flag, opted_out
from writeback_pipeline.domain.ledger import Attempt, AttemptOutcome, Intent
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.records import Answer, Operation
from writeback_pipeline.domain.story import Facts, OptOutRecord, OverruledClear
from writeback_pipeline.domain.writebacks import FlagResult, Kind, Status, Writeback

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def attempt(operation: Operation, at: datetime, answer: Answer | None = Answer.OK) -> Attempt:
    intent = Intent("003", 1, 1, operation, "003", "batch", "composite", 1, at, at, "hash")
    return Attempt(1, intent, None if answer is None else AttemptOutcome(1, answer, at))


def written(kind: Kind, flag: FlagResult, at: datetime) -> Writeback:
    empty = dict.fromkeys(Writeback._fields)
    told = {"kind": kind, "object_type": ObjectType.CONTACT, "occurred_at": at, "created_at": at, "written_at": at}
    return Writeback(**empty | told | {"id": 1, "status": Status.WRITTEN, "flag_result": flag})  # type: ignore[arg-type]


def opt_out(origin: str, since: datetime, cleared_at: datetime | None = None) -> OptOutRecord:
    return OptOutRecord(1, origin, since, False, None, cleared_at, None)


def facts(*known: Attempt | Writeback | OptOutRecord | OverruledClear) -> Facts:
    def those(of: type) -> tuple[object, ...]:
        return tuple(each for each in known if isinstance(each, of))

    return Facts((), those(Writeback), those(Attempt), {}, those(OptOutRecord), (), overruled=those(OverruledClear))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "flag"),
    [
        ([], None),
        ([attempt(Operation.SET_FLAG, NOON)], True),
        ([attempt(Operation.SET_FLAG, NOON), attempt(Operation.CLEAR_FLAG, NOON + HOUR)], False),
        ([attempt(Operation.CLEAR_FLAG, NOON), attempt(Operation.SET_FLAG, NOON - HOUR)], False),
        ([attempt(Operation.CREATE_NOTE, NOON)], None),
        ([attempt(Operation.SET_FLAG, NOON, Answer.UNKNOWN)], None),
        ([attempt(Operation.SET_FLAG, NOON, Answer.REJECTED)], None),
        ([attempt(Operation.SET_FLAG, NOON, None)], None),
        ([written(Kind.UNSUBSCRIBE, FlagResult.UNCHANGED, NOON)], True),
        ([written(Kind.RESUBSCRIBE, FlagResult.UNCHANGED, NOON)], False),
        ([written(Kind.UNSUBSCRIBE, FlagResult.SUPPRESSED, NOON)], None),
        ([written(Kind.UNSUBSCRIBE, FlagResult.SUPERSEDED, NOON)], None),
        ([opt_out("platform", NOON)], None),
        ([opt_out("salesforce", NOON)], True),
        ([opt_out("import", NOON, NOON + HOUR)], False),
        ([attempt(Operation.SET_FLAG, NOON), OverruledClear(NOON + HOUR, None)], False),
        ([attempt(Operation.SET_FLAG, NOON + 2 * HOUR), OverruledClear(NOON + HOUR, None)], True),
    ],
)
def test_the_latest_that_was_heard_counts(
    known: list[Attempt | Writeback | OptOutRecord | OverruledClear], flag: bool | None
) -> None:
    heard = last_known_flag(facts(*known))
    assert (None if heard is None else heard[0]) is flag


def test_an_opt_out_stands_until_every_one_is_taken_back() -> None:
    assert opted_out(facts()) is None
    assert opted_out(facts(opt_out("platform", NOON))) is True
    assert opted_out(facts(opt_out("platform", NOON, NOON), opt_out("salesforce", NOON))) is True
    assert opted_out(facts(opt_out("platform", NOON, NOON))) is False
