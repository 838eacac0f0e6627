"""What a delivery logs is in the run's log in Dagster: each call with its rows and its time, no row and no address."""

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from writeback_pipeline_tests.defs.conftest import Pipeline

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One that captures what the project's own does."""
    captured = yaml.safe_load((PROJECT / "dagster.yaml").read_text())["python_logs"]
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides={"python_logs": captured}) as made:
        yield made


def test_a_run_tells_of_its_calls_in_its_own_log(pipeline: Pipeline) -> None:
    for _ in range(3):
        pipeline.world.unsubscribe(
            pipeline.world.contact(), reason="by jo.doe@mail.example", email="jo.doe@mail.example"
        )
    result = pipeline.run()
    entries = pipeline.instance.all_logs(result.run_id)
    said = [entry.user_message for entry in entries if entry.dagster_event is None]
    calls = [line for line in said if re.search(rf"call run={result.run_id} batch=\w+ lane=composite call=\d", line)]
    assert any(re.search(r"rows=6 ok=6 seconds=\d", line) for line in calls), said
    assert any("claimed and looked at" in line and "people=3 changes=3" in line for line in said)
    assert any("delivered" in line and "written=3" in line for line in said)
    assert not any("jo.doe" in repr(entry) for entry in entries)
