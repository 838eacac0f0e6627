"""Statuses move along their arrows only; the same change always has the same key."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import product

import pytest

from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import (
    OPEN_STATUSES,
    TRANSITIONS,
    Change,
    IllegalTransition,
    Kind,
    Status,
    check_transition,
    utc_text,
)

CHANGE = Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, "003dM00001wBXYDQA4", datetime(2026, 11, 23, 9, 5, 7, tzinfo=UTC))


def test_every_move_that_is_not_an_arrow_is_refused() -> None:
    for old, new in product(Status, Status):
        if new in TRANSITIONS[old]:
            check_transition(old, new)
        else:
            with pytest.raises(IllegalTransition, match=f"from {old} to {new}"):
                check_transition(old, new)


def test_an_unknown_outcome_is_never_sent_again_without_a_verdict() -> None:
    assert Status.SENDING not in TRANSITIONS[Status.UNKNOWN]
    assert Status.PENDING not in TRANSITIONS[Status.UNKNOWN]
    # Failed without one is only what ends the worker again and again; a retry doubts it once more.
    assert Status.UNKNOWN in TRANSITIONS[Status.FAILED]


def test_every_open_writeback_can_still_be_written() -> None:
    def reachable(status: Status, seen: frozenset[Status] = frozenset()) -> set[Status]:
        return {status}.union(*(reachable(s, seen | {status}) for s in TRANSITIONS[status] - seen))

    assert all(Status.WRITTEN in reachable(status) for status in OPEN_STATUSES)
    assert Status.WRITTEN in reachable(Status.FAILED)


def test_a_failed_writeback_goes_back_to_pending_or_after_a_restore_is_doubted() -> None:
    assert TRANSITIONS[Status.FAILED] == {Status.PENDING, Status.UNKNOWN}


def test_the_same_change_has_the_same_key_whatever_zone_it_was_told_in() -> None:
    elsewhere = replace(CHANGE, occurred_at=CHANGE.occurred_at.astimezone(timezone(timedelta(hours=5))))
    assert elsewhere.delivery_key == CHANGE.delivery_key == "unsubscribe/003dM00001wBXYDQA4/2026-11-23T09:05:07Z"


def test_another_person_kind_instant_or_reason_is_another_change() -> None:
    others = [
        replace(CHANGE, kind=Kind.RESUBSCRIBE),
        replace(CHANGE, salesforce_id="003dM00001wBXYEQA4"),
        replace(CHANGE, occurred_at=CHANGE.occurred_at + timedelta(microseconds=1)),
        replace(CHANGE, reason="Bad Email"),
        replace(CHANGE, reason="bad email"),
        replace(CHANGE, salesforce_id=None, email="a@example.org"),
        replace(CHANGE, salesforce_id=None, subscriber_id="17"),
    ]
    assert len({change.delivery_key for change in [CHANGE, *others]}) == len(others) + 1


def test_the_callers_key_is_taken_as_it_is() -> None:
    assert replace(CHANGE, key="informz-77").delivery_key == "informz-77"


def test_instants_are_told_in_utc_with_z() -> None:
    assert utc_text(datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=UTC)) == "2026-01-02T03:04:05.000060Z"
