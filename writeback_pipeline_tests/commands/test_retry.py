"""Sending failed writebacks back to the queue."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.intake.files import CONTACT

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def failed(store: Store, settle_all: Callable[..., None]) -> list[int]:
    """The ids of three writebacks that failed; a fourth is pending."""
    moments = [NOW + timedelta(seconds=number) for number in range(4)]
    changes = [Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, CONTACT, moment) for moment in moments]
    store.enqueue(changes[:3], NOW)
    settle_all(Status.FAILED, error_code="NOT_FOUND")
    store.enqueue(changes[3:], NOW)
    return sorted(row.id for row in store.writebacks(WritebackFilter(statuses=(Status.FAILED,))))


def test_all_that_failed_go_back_to_pending(writebacks: Writebacks, store: Store, failed: list[int]) -> None:
    result = writebacks("retry", "--status", "failed")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{len(failed)} back to pending\n", "")
    assert store.count(WritebackFilter(statuses=(Status.PENDING,))) == 4


def test_only_those_named_go_back(writebacks: Writebacks, store: Store, failed: list[int]) -> None:
    result = writebacks("retry", failed[0], failed[2], "--format", "json")
    assert json.loads(result.stdout) == {"retried": [failed[0], failed[2]], "refused": {}}
    assert [row.id for row in store.writebacks(WritebackFilter(statuses=(Status.FAILED,)))] == [failed[1]]


def test_nothing_failed_is_nothing_to_do(writebacks: Writebacks) -> None:
    result = writebacks("retry", "--status", "failed", "--status", "waiting")
    assert (result.exit_code, result.stdout) == (0, "0 back to pending\n")


def test_each_that_cannot_go_back_is_named_with_the_reason(writebacks: Writebacks, failed: list[int]) -> None:
    pending = max(failed) + 1
    result = writebacks("retry", failed[0], pending)
    assert (result.exit_code, result.stdout) == (1, "1 back to pending\n")
    assert result.stderr.startswith(f"{pending}: it is pending already")


def test_a_wrong_id_among_the_right_ones_changes_nothing(
    writebacks: Writebacks, store: Store, failed: list[int]
) -> None:
    result = writebacks("retry", *failed, 4711, 4712)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no writeback has the id 4711, 4712: nothing was changed" in result.stderr
    assert store.count(WritebackFilter(statuses=(Status.FAILED,))) == len(failed)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "say which"),
        (["4711"], "no writeback has the id 4711"),
        (["x"], "'x' is not a valid integer"),
        (["--status", "written"], "'written' is not one of 'failed', 'waiting'"),
    ],
)
def test_naming_nothing_or_nothing_that_exists_is_refused(
    writebacks: Writebacks, arguments: list[str], says: str
) -> None:
    result = writebacks("retry", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
