"""The looks beside the console: they notice a silent sensor, tell it once, and outlive a look that fails."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from writeback_pipeline.bindings import open_channels
from writeback_pipeline.cli import troubles
from writeback_pipeline.commands.lookout import keep_looking
from writeback_pipeline.domain.health import LedgerHealth
from writeback_pipeline.domain.ledger import StoreBusy
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.alerting.receivers import Hooks, webhook
from writeback_pipeline_tests.patience import wait_until


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    with webhook() as made:
        yield made


def test_a_silent_sensor_is_told_once_though_a_look_failed(
    store: Store, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.beat("opt_out_queue_sensor", timedelta(seconds=30), datetime.now(UTC) - timedelta(hours=1))
    looks = []
    health = store.health

    def sometimes(now: datetime) -> LedgerHealth:
        looks.append(now)
        if len(looks) == 1:
            raise StoreBusy("busy")
        if len(looks) == 2:
            raise KeyError("unforeseen")
        return health(now)

    monkeypatch.setattr(store, "health", sometimes)
    channels = open_channels({"WRITEBACK_ALERT_WEBHOOK": hooks.url})
    end = keep_looking(store, channels, seconds=0.01, troubles=troubles())
    wait_until(lambda: len(looks) >= 6)
    end()
    assert len(hooks.texts) == 1
    assert "opt_out_queue_sensor has not ticked for 1 h 0 min" in hooks.texts[0]
