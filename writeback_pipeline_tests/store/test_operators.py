"""What people had done is kept with their name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import Asked, OperatorAction
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.store.queue import UnknownWriteback
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.contracts.story import claim_one, contact, everything, settled, unsubscribe

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "writebacks.duckdb")


def failed(store: Store, number: int) -> int:
    store.enqueue([unsubscribe(contact(number))], NOW)
    claim = claim_one(store)
    store.record([], [settled(claim, Status.FAILED)], [], NOW, release=True)
    return claim.taken[0].id


def test_a_retry_is_kept_with_who_asked_for_it_and_what_went_back(store: Store) -> None:
    first, second = failed(store, 1), failed(store, 2)
    asked = Asked("olga", NOW)
    store.retry(ids=[first], asked=asked)
    assert store.latest_actions("retry", 10) == [OperatorAction(asked, "retry", "back to pending", (first,))]
    assert store.actions_concerning(first) == store.latest_actions("retry", 10)
    assert store.actions_concerning(second) == []


def test_a_retry_that_moved_nothing_is_no_action(store: Store) -> None:
    store.enqueue([unsubscribe(contact(1))], NOW)
    (row,) = everything(store)
    store.retry(ids=[row.id], asked=Asked("olga", NOW))
    with pytest.raises(UnknownWriteback):
        store.retry(ids=[4711], asked=Asked("olga", NOW))
    assert store.latest_actions("retry", 10) == []


def test_actions_come_newest_first_by_name_and_with_any_text(store: Store) -> None:
    texts = ["one", "Ω\0\ud800 <b>", "three"]
    for minute, text in enumerate(texts):
        store.enter_action(OperatorAction(Asked("Ω\0", NOW + timedelta(minutes=minute)), "launch", text))
    store.enter_action(OperatorAction(Asked("olga", NOW), "retry", ""))
    found = store.latest_actions("launch", 2)
    assert [action.detail for action in found] == ["three", "Ω\ufffd\ufffd <b>"]
    assert found[0].asked == Asked("Ω\ufffd", NOW + timedelta(minutes=2))
