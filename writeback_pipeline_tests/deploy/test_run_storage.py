"""Dagster's storage of an installation with workers takes a PostgreSQL URL as everybody writes it."""

from pathlib import Path

import dagster as dg
import pytest

from writeback_pipeline.run_storage import with_driver
from writeback_pipeline_tests.deploy.installation import DEPLOY, new_database


@dg.asset
def something() -> None:
    """Nothing but a run with its events."""


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("postgresql://u:p@db/dagster?sslmode=require", "postgresql+psycopg2://u:p@db/dagster?sslmode=require"),
        ("postgres://db/dagster", "postgresql+psycopg2://db/dagster"),
        ("postgresql+psycopg2://db/dagster", "postgresql+psycopg2://db/dagster"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_url_that_names_no_driver_gets_the_one_that_is_needed(url: str, used: str) -> None:
    assert with_driver(url) == used


def test_runs_and_their_events_are_kept_under_a_plain_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", new_database())
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([something], instance=instance).success
    with dg.DagsterInstance.from_config(str(tmp_path)) as again:
        (run,) = again.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS
        assert again.get_latest_materialization_event(dg.AssetKey("something")) is not None
