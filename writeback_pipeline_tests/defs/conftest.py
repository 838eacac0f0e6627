"""The pipeline as Dagster sees it, over a small world."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from writeback_pipeline.activity.source import MailingEvents
from writeback_pipeline.alerting.teller import Channels
from writeback_pipeline.bindings import open_channels
from writeback_pipeline.definitions import build_definitions
from writeback_pipeline.defs.ports import Organisation
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.mailings import DAY, Mailings
from writeback_pipeline_tests.world import World


@dataclass
class Database:
    """The resource `platform_database` of a world."""

    world: World

    def ledger(self) -> Store:
        return self.world.ledger


@dataclass
class Connector:
    """The resource `salesforce` of a world: a session of its own for every step, as in production."""

    world: World

    def connect(self, purpose: Purpose, *, manual: bool) -> AbstractContextManager[Organisation]:
        return self.world.guarded(purpose, manual=manual, now=lambda: datetime.now(UTC))


class ChannelsOfTheEnvironment:
    """The resource `alert_channels`, as in production."""

    def teller(self) -> Channels:
        return open_channels(os.environ)


@dataclass
class Pipeline:
    """The definitions over a world, with an instance of their own."""

    world: World
    mailings: Mailings
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    @property
    def resources(self) -> dict[str, Any]:
        """What sensors and schedules take."""
        return resources_of(self.world, self.mailings)

    def materialize(
        self,
        *assets: str,
        day: str = DAY,
        until: str | None = None,
        config: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Materialise a partition of these assets, or a range in a single run, with their checks, as the UI does."""
        keys = [dg.AssetKey(asset) for asset in assets]
        job = self.definitions.resolve_implicit_global_asset_job_def()
        ends = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": until or day}
        return job.execute_in_process(
            run_config={"ops": {asset: {"config": config} for asset in assets}} if config else {},
            instance=self.instance,
            asset_selection=keys,
            partition_key=day if day and until is None else None,
            tags=(tags or {}) if until is None else ends,
            raise_on_error=False,
        )

    def tick_of(self, schedule: str, when: datetime) -> Sequence[dg.RunRequest] | str:
        """What a schedule answers at that time: its run requests, or why it skips."""
        definition = self.definitions.resolve_schedule_def(schedule)
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=when,
            resources=self.resources,
            repository_def=self.definitions.get_repository_def(),
        ) as context:
            answer = definition.evaluate_tick(context)
        return answer.run_requests or answer.skip_message or ""

    def run(self, **config: Any) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def("deliver_opt_outs").execute_in_process(
            run_config={"ops": {"opt_out_writebacks": {"config": config}}}, instance=self.instance, raise_on_error=False
        )

    def look_for_alerts(self) -> str:
        """What the sensor of the alerts says of one look."""
        context = dg.build_sensor_context(
            instance=self.instance, repository_def=self.definitions.get_repository_def(), resources=self.alert_resources
        )
        answer = self.definitions.resolve_sensor_def("alert_sensor")(context)
        assert isinstance(answer, dg.SkipReason)
        return answer.skip_message or ""

    @property
    def alert_resources(self) -> dict[str, Any]:
        """What the sensor of the alerts takes."""
        return {name: self.resources[name] for name in ("platform_database", "alert_channels")}

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        sensor = self.definitions.resolve_sensor_def("opt_out_queue_sensor")
        context = dg.build_sensor_context(instance=self.instance, resources={"platform_database": Database(self.world)})
        answer = sensor(context)
        assert isinstance(answer, dg.RunRequest | dg.SkipReason)
        return answer


def resources_of(world: World, mailings: Mailings) -> dict[str, Any]:
    return {
        "platform_database": Database(world),
        "mailing_activity": MailingEvents(str(mailings.folder), "200MB"),
        "alert_channels": ChannelsOfTheEnvironment(),
    }


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def pipeline(world: World, tmp_path: Path, instance: dg.DagsterInstance) -> Pipeline:
    mailings = Mailings(tmp_path / "mailing_activity")
    resources = resources_of(world, mailings) | {"salesforce": Connector(world)}
    return Pipeline(world, mailings, build_definitions(resources), instance)


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """The values of an asset's materialisation in that run."""
    (event,) = [
        each
        for each in result.get_asset_materialization_events()
        if each.materialization.asset_key == dg.AssetKey(asset)
    ]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Passed or not, by the check's name."""
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
