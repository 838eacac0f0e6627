"""`--wait`: for how long a command goes on, and until when it sleeps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from writeback_pipeline.commands import waiting
from writeback_pipeline.commands.run import OWED
from writeback_pipeline.commands.runs import FinishedRun
from writeback_pipeline.commands.waiting import FAILURES, PAUSE, may_go_on, sleep_until_next_try
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.commands.conftest import Writebacks

GOOD = FinishedRun("run", None, passing=False, failed_checks=(), numbers={})
TROUBLE = FinishedRun("run", "Salesforce is out", passing=True, failed_checks=(), numbers={})
WRONG = FinishedRun("run", "The login was refused", passing=False, failed_checks=(), numbers={})
PERSON = "003wb000000CcWNAA0"


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([GOOD], True),
        ([TROUBLE], True),
        ([GOOD, WRONG], False),
        ([TROUBLE] * (FAILURES - 1), True),
        ([GOOD, *[TROUBLE] * (FAILURES - 1)], True),
        ([GOOD, *[TROUBLE] * FAILURES], False),
    ],
)
def test_a_command_goes_on_until_only_a_person_can_help(runs: list[FinishedRun], expected: bool) -> None:
    assert may_go_on(runs) is expected


@pytest.mark.parametrize("other", ["--limit=3", "--dry-run"])
def test_waiting_until_nothing_is_owed_goes_with_no_part_of_it(writebacks: Writebacks, other: str) -> None:
    assert writebacks("run", "opt-outs", "--wait", other).exit_code == 2


@pytest.mark.parametrize("minutes", [0, 7])
def test_it_sleeps_until_the_first_try_that_is_due_and_a_while_at_least(
    store: Store,
    settle_all: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    minutes: int,
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(waiting, "time", SimpleNamespace(sleep=slept.append))
    now = datetime.now(UTC)
    store.enqueue([Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, PERSON, now)], now)
    settle_all(Status.WAITING, next_attempt_at=now + timedelta(minutes=minutes))
    sleep_until_next_try(store, Purpose.OPT_OUTS, OWED)
    (seconds,) = slept
    assert max(PAUSE.total_seconds(), (minutes - 1) * 60) <= seconds <= max(PAUSE.total_seconds(), minutes * 60)
    assert capsys.readouterr().err.startswith("1 are owed; the next run is at ")
