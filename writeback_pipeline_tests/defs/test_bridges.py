"""Two bridges in one Dagster: neither sees the other's runs, checks or failures as its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from writeback_pipeline.definitions import build_definitions
from writeback_pipeline.defs.alerts import failed_runs
from writeback_pipeline.defs.scope import BRIDGE, Scope
from writeback_pipeline_tests.defs.conftest import Connector, Pipeline, resources_of
from writeback_pipeline_tests.mailings import DAY, Mailings
from writeback_pipeline_tests.world import world_in

NAMES = ("north", "south-east")


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One on disk: schedules are evaluated only over an instance that other processes could open."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_ran_yet(instance: dg.DagsterInstance) -> None:
    """No test sees the runs of another."""
    instance.wipe()


@pytest.fixture
def bridges(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[tuple[Pipeline, Pipeline]]:
    """Each over a world of its own, both in one instance."""
    homes = [tmp_path / name for name in NAMES]
    for home in homes:
        home.mkdir()
    with world_in(homes[0]) as north, world_in(homes[1]) as south:
        made = []
        for name, world in zip(NAMES, (north, south), strict=True):
            mailings = Mailings(world.home / "mailing_activity")
            resources = resources_of(world, mailings) | {"salesforce": Connector(world)}
            made.append(Pipeline(world, mailings, build_definitions(resources, scope=Scope(name)), instance))
        yield made[0], made[1]


def owe(*pipelines: Pipeline) -> None:
    for each in pipelines:
        each.world.unsubscribe(each.world.contact(), datetime.now(UTC))


def evaluated(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == name]
    return found


def test_assets_and_checks_have_the_bridge_before_their_keys_and_runs_its_tag(
    bridges: tuple[Pipeline, Pipeline],
) -> None:
    _, south = bridges
    specs = south.definitions.resolve_all_asset_specs()
    assert {spec.key.path[0] for spec in specs} == {"south_east"}
    assert {dep.asset_key.path[0] for spec in specs for dep in spec.deps} == {"south_east"}
    repository = south.definitions.get_repository_def()
    assert {key.asset_key.path[0] for key in repository.asset_checks_defs_by_key} == {"south_east"}
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    assert {job.tags[BRIDGE] for job in jobs} == {"south-east"}
    assert len(jobs) == 6


def test_a_pipeline_that_is_alone_has_neither(pipeline: Pipeline) -> None:
    assert all(len(spec.key.path) == 1 for spec in pipeline.definitions.resolve_all_asset_specs())
    assert {BRIDGE} & {
        tag for job in pipeline.definitions.get_repository_def().get_all_jobs() for tag in job.tags
    } == set()


def test_each_delivers_its_own_changes_and_shows_them_under_its_own_keys(bridges: tuple[Pipeline, Pipeline]) -> None:
    north, south = bridges
    owe(north, south, south)
    for pipeline, written in ((north, 1), (south, 2)):
        result = pipeline.run()
        assert result.success
        (event,) = result.asset_materializations_for_node("opt_out_writebacks")
        assert event.metadata["written"].value == written
        assert result.dagster_run.tags[BRIDGE]
    latest = north.instance.get_latest_materialization_event(dg.AssetKey(["north", "opt_out_writebacks"]))
    assert latest is not None
    assert latest.asset_materialization is not None
    assert latest.asset_materialization.metadata["written"].value == 1


def test_the_day_is_looked_at_for_each_organisation(bridges: tuple[Pipeline, Pipeline]) -> None:
    north, south = bridges
    south.world.hide_opt_out_field()
    owe(north, south)
    assert evaluated(north.run(), "organisation_is_ready").passed
    assert not evaluated(south.run(), "organisation_is_ready").passed
    owe(north)
    again = north.run()
    assert again.success
    assert evaluated(again, "organisation_is_ready").passed


def test_a_delivery_of_one_holds_the_sensor_of_no_other(bridges: tuple[Pipeline, Pipeline]) -> None:
    north, south = bridges
    owe(north, south)
    job = south.definitions.resolve_job_def("deliver_opt_outs")
    north.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=job.tags)
    asked = north.tick()
    assert isinstance(asked, dg.RunRequest)
    waits = south.tick()
    assert isinstance(waits, dg.SkipReason)
    assert waits.skip_message == "a delivery is under way"


def test_failed_runs_are_told_of_their_bridge_only(bridges: tuple[Pipeline, Pipeline]) -> None:
    north, south = bridges
    south.world.fault("unavailable")
    owe(north, south)
    assert not south.run().success
    assert north.run().success
    now = datetime.now(UTC)
    assert [each.job for each in failed_runs(north.instance, now, Scope("south-east"))] == ["deliver_opt_outs"]
    assert list(failed_runs(north.instance, now, Scope("north"))) == []
    assert "0 incidents are open" in north.look_for_alerts()


def test_a_run_from_an_assets_page_is_told_of_its_bridge_too(bridges: tuple[Pipeline, Pipeline]) -> None:
    north, south = bridges
    job = south.definitions.resolve_implicit_global_asset_job_def()
    location: Any = {"dagster/code_location": "south-east"}
    north.instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=location)
    now = datetime.now(UTC)
    assert len(list(failed_runs(north.instance, now, Scope("south-east")))) == 1
    assert list(failed_runs(north.instance, now, Scope("north"))) == []


def test_windows_of_activity_are_asked_for_and_counted_under_the_bridges_keys(
    bridges: tuple[Pipeline, Pipeline],
) -> None:
    north, south = bridges
    south.world.ledger.change_settings({"frequency": "daily"}, "tester", datetime.now(UTC))
    south.mailings.sent(south.world.contact())
    at = datetime(2025, 11, 24, 5, 20, tzinfo=UTC)
    asked = south.tick_of("daily_delivery_of_daily_activity", at)
    assert not isinstance(asked, str)
    assert dg.AssetKey(["south_east", "daily_sent_writebacks"]) in (asked[0].asset_selection or ())
    assert isinstance(north.tick_of("daily_delivery_of_daily_activity", at), str)
    job = south.definitions.resolve_job_def("deliver_daily_activity")
    result = job.execute_in_process(instance=south.instance, partition_key=DAY)
    assert result.success
    summaries = dg.AssetKey(["south_east", "daily_activity_summaries"])
    assert south.instance.get_latest_materialization_event(summaries) is not None
