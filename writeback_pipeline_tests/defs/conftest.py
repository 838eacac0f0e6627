"""The pipeline as Dagster sees it, over a small world."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from writeback_pipeline.definitions import build_definitions
from writeback_pipeline.delivery.protocols import Organisation
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.world import World


@dataclass
class Database:
    """The resource `platform_database` of a world."""

    world: World

    def ledger(self) -> Store:
        return self.world.ledger


@dataclass
class Connector:
    """The resource `salesforce` of a world."""

    world: World

    @contextmanager
    def connect(self) -> Iterator[Organisation]:
        yield self.world.organisation


@dataclass
class Pipeline:
    """The definitions over a world, with an instance of their own."""

    world: World
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def run(self, **config: Any) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def("deliver_opt_outs").execute_in_process(
            run_config={"ops": {"opt_out_writebacks": {"config": config}}}, instance=self.instance, raise_on_error=False
        )

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        sensor = self.definitions.resolve_sensor_def("opt_out_queue_sensor")
        context = dg.build_sensor_context(instance=self.instance, resources={"platform_database": Database(self.world)})
        answer = sensor(context)
        assert isinstance(answer, dg.RunRequest | dg.SkipReason)
        return answer


@pytest.fixture
def pipeline(world: World) -> Iterator[Pipeline]:
    resources = {"platform_database": Database(world), "salesforce": Connector(world)}
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(world, build_definitions(resources), instance)


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
