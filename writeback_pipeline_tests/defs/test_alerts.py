"""The sensor of the alerts over real runs and checks: what failed is told once, and once more when it is mended."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from writeback_pipeline.alerting.configuration import AlertsMisconfigured
from writeback_pipeline.defs.alerts import failed_runs, red_checks
from writeback_pipeline.domain.health import RedCheck
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.alerting.receivers import Hooks, webhook
from writeback_pipeline_tests.defs.conftest import Pipeline
from writeback_pipeline_tests.mailings import DAY


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hooks]:
    """A webhook that the environment names."""
    with webhook() as made:
        monkeypatch.setenv("WRITEBACK_ALERT_WEBHOOK", made.url)
        yield made


def owe(pipeline: Pipeline) -> None:
    pipeline.world.clock.at = datetime.now(UTC)
    pipeline.world.unsubscribe(pipeline.world.contact())


def test_a_failed_run_is_told_once_and_its_mending_once(pipeline: Pipeline, hooks: Hooks) -> None:
    owe(pipeline)
    pipeline.world.fault("unavailable", times=2)
    assert not pipeline.run().success
    said = [pipeline.look_for_alerts() for _ in range(3)]
    assert said[0] == "1 incidents are open, 1 notices were told"
    assert said[1:] == ["1 incidents are open, 0 notices were told"] * 2
    assert len(hooks.texts) == 1
    assert "[warning] A run failed: deliver_opt_outs, run " in hooks.texts[0]
    assert "HTTP_503" in hooks.texts[0]
    pipeline.world.heal()
    assert pipeline.run().success
    assert pipeline.look_for_alerts() == "0 incidents are open, 1 notices were told"
    assert hooks.texts[1].startswith("[over] A run failed")


def test_credentials_of_another_organisation_page_somebody(pipeline: Pipeline, hooks: Hooks) -> None:
    pipeline.world.ledger.pin_organisation("00D000000000000AAA")
    owe(pipeline)
    assert not pipeline.run().success
    pipeline.look_for_alerts()
    (text,) = hooks.texts
    assert text.startswith("[page] The credentials lead to another organisation")
    assert "00D000000000000AAA" in text
    assert "docs/runbook.md#wrong-organisation" in text


def test_a_red_check_is_seen_until_it_is_green(pipeline: Pipeline) -> None:
    checks = list(pipeline.definitions.get_repository_def().asset_checks_defs_by_key)
    owe(pipeline)
    assert pipeline.run().success
    assert list(red_checks(pipeline.instance, checks)) == []
    pipeline.world.fault("validation_rule", times=1)
    owe(pipeline)
    pipeline.run()
    (red,) = red_checks(pipeline.instance, checks)
    assert red == RedCheck("opt_out_writebacks", "nothing_failed", "1 opt-outs need a person")


def test_a_ledger_that_cannot_be_used_is_told_in_its_own_words(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Store("postgresql://somebody:hush-4711@127.0.0.1:1/ledger", pipeline.world.home, wait=timedelta(0))
    with monkeypatch.context() as patched:
        patched.setattr(pipeline.world, "ledger", nowhere)
        assert not pipeline.run().success
    (failed,) = failed_runs(pipeline.instance, datetime.now(UTC))
    assert ":1/ledger cannot be used. Start the server" in failed.words
    assert "hush-4711" not in failed.words


def test_windows_of_activity_fail_each_for_itself(pipeline: Pipeline) -> None:
    @dg.job
    def deliver() -> None:
        @dg.op
        def fail(context: dg.OpExecutionContext) -> None:
            if context.run.tags["outcome"] == "bad":
                raise ValueError("jo.doe@mail.example")

        fail()

    for window, outcome in (("a", "bad"), ("b", "bad"), ("a", "bad"), ("b", "good")):
        deliver.execute_in_process(
            instance=pipeline.instance, tags={"dagster/partition": window, "outcome": outcome}, raise_on_error=False
        )
    (failed,) = failed_runs(pipeline.instance, datetime.now(UTC))
    assert (failed.job, failed.partition, failed.passing) == ("deliver", "a", True)
    assert failed.words == "an error that nobody foresaw"
    assert list(failed_runs(pipeline.instance, datetime.now(UTC) + timedelta(days=40))) == []


NEXT_DAY = "2025-11-21"


def failed_now(pipeline: Pipeline) -> list[tuple[str, str | None]]:
    return [(run.job, run.partition) for run in failed_runs(pipeline.instance, datetime.now(UTC))]


def test_a_run_from_an_assets_page_is_called_by_its_assets_and_mended_by_a_job_that_delivers_them(
    pipeline: Pipeline,
) -> None:
    person = pipeline.world.contact()
    pipeline.mailings.sent(person)
    pipeline.mailings.sent(person, when="11-21 09:05")
    pipeline.mailings.opened(person, when="11-21 10:00")
    pipeline.world.fault("unavailable")
    pipeline.materialize("daily_sent_writebacks")
    pipeline.materialize("daily_opened_writebacks", "daily_sent_writebacks", day=NEXT_DAY)
    owe(pipeline)
    pipeline.materialize("opt_out_writebacks", day="")
    failed = {
        ("daily_sent_writebacks", DAY),
        ("daily_opened_writebacks, daily_sent_writebacks", NEXT_DAY),
        ("opt_out_writebacks", None),
    }
    assert set(failed_now(pipeline)) == failed
    pipeline.world.heal()
    assert pipeline.run().success
    assert ("opt_out_writebacks", None) not in failed_now(pipeline)
    activity = pipeline.definitions.resolve_job_def("deliver_daily_activity")
    assert activity.execute_in_process(instance=pipeline.instance, partition_key=DAY).success
    assert failed_now(pipeline) == [("daily_opened_writebacks, daily_sent_writebacks", NEXT_DAY)]
    pipeline.materialize("daily_sent_writebacks", day=NEXT_DAY)
    assert len(failed_now(pipeline)) == 1, "the other asset is still to be delivered"
    pipeline.materialize("daily_opened_writebacks", day=NEXT_DAY)
    assert failed_now(pipeline) == []


def test_a_window_that_a_job_failed_on_is_mended_from_its_assets_page(pipeline: Pipeline) -> None:
    pipeline.mailings.sent(pipeline.world.contact())
    activity = pipeline.definitions.resolve_job_def("deliver_daily_activity")
    pipeline.world.fault("unavailable")
    kept = [dg.AssetKey("daily_sent_writebacks")]
    activity.execute_in_process(
        instance=pipeline.instance, partition_key=DAY, asset_selection=kept, raise_on_error=False
    )
    assert failed_now(pipeline) == [("deliver_daily_activity", DAY)]
    pipeline.world.heal()
    pipeline.materialize("daily_sent_writebacks", config={"dry_run": True})
    assert len(failed_now(pipeline)) == 1, "a dry run delivers nothing"
    pipeline.materialize("daily_sent_writebacks", day=NEXT_DAY)
    assert len(failed_now(pipeline)) == 1, "that was another window"
    pipeline.materialize("daily_sent_writebacks")
    assert failed_now(pipeline) == []


def test_a_run_whose_check_broke_is_mended_by_no_asset(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    owe(pipeline)
    with monkeypatch.context() as patched:
        patched.setattr(type(pipeline.world.ledger), "unaccounted", lambda *_: 1 // 0)
        assert not pipeline.run().success
    assert failed_now(pipeline) == [("deliver_opt_outs", None)]
    pipeline.materialize("pending_queue", day="")
    assert failed_now(pipeline) == [("deliver_opt_outs", None)]
    assert pipeline.run().success
    assert failed_now(pipeline) == []


def test_both_sensors_leave_signs_of_life(pipeline: Pipeline) -> None:
    pipeline.tick()
    pipeline.look_for_alerts()
    beats = pipeline.world.ledger.health(datetime.now(UTC)).heartbeats
    assert set(beats) == {"opt_out_queue_sensor", "alert_sensor"}


def test_wrong_variables_fail_the_looks_and_no_delivery(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WRITEBACK_ALERT_MAIL_TO", "ops@example.org")
    owe(pipeline)
    assert isinstance(pipeline.tick(), dg.RunRequest)
    assert pipeline.run().success
    with pytest.raises(AlertsMisconfigured, match="WRITEBACK_ALERT_SMTP_URL"):
        pipeline.look_for_alerts()
