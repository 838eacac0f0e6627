"""What ties the project's files together: one code location, one instance, documents that name what exists."""

import re
import tomllib
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.config import dagster_instance_config

from writeback_pipeline.bridges import variables_of
from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.definitions import defs
from writeback_pipeline.environment import Environment, read_environment

PROJECT = Path(__file__).parents[1]


def test_workspace_and_dg_name_the_same_location() -> None:
    (entry,) = yaml.safe_load((PROJECT / "workspace.yaml").read_text())["load_from"]
    tool = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert entry["python_module"]["module_name"] == tool["code_location_target_module"]
    assert entry["python_module"]["location_name"] == tool["code_location_name"]


def test_the_code_location_loads() -> None:
    dg.Definitions.validate_loadable(defs())


def test_every_asset_is_described_owned_and_grouped() -> None:
    for spec in defs().resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.owners, spec.key
        assert spec.group_name != "default", spec.key
        assert spec.kinds, spec.key


def test_dagster_takes_the_instance_configuration() -> None:
    config, _ = dagster_instance_config(str(PROJECT))
    assert config["telemetry"] == {"enabled": False}
    assert config["nux"] == {"enabled": False}
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def test_dagster_takes_the_configuration_of_an_installation_with_workers() -> None:
    config, _ = dagster_instance_config(str(PROJECT / "deploy" / "celery"))
    assert config["run_monitoring"]["enabled"]
    assert config["run_retries"]["enabled"]
    runs = config["concurrency"]["runs"]
    limits = {each["key"]: each["limit"] for each in runs["tag_concurrency_limits"]}
    assert limits["dagster/backfill"] < runs["max_concurrent_runs"], "a backfill leaves opt-outs a place"


def test_each_of_several_bridges_has_as_many_runs_as_one_that_is_alone(tmp_path: Path) -> None:
    (tmp_path / "bridges.toml").write_text("".join(f'[[bridge]]\nname = "{name}"\n' for name in ("a", "b", "c")))
    alone = dagster_instance_config(str(PROJECT))[0]["concurrency"]["runs"]
    shared = {"WRITEBACK_HOME": str(tmp_path)}
    folders = [
        use_dagster_home(read_environment(variables), dict(variables))
        for variables in (shared, variables_of("a", shared), variables_of("b", shared))
    ]
    assert set(folders) == {tmp_path / "dagster"}
    runs = dagster_instance_config(str(folders[0]))[0]["concurrency"]["runs"]
    (limit,) = runs["tag_concurrency_limits"]
    assert (limit["key"], limit["limit"]) == ("dagster/code_location", alone["max_concurrent_runs"])
    assert runs["max_concurrent_runs"] == 3 * alone["max_concurrent_runs"]


def test_two_homes_have_two_instances(tmp_path: Path) -> None:
    folders = []
    for name in ("one", "two"):
        environment = read_environment({"WRITEBACK_HOME": str(tmp_path / name)})
        variables: dict[str, str] = {}
        folders.append(use_dagster_home(environment, variables))
        assert variables["DAGSTER_HOME"] == str(tmp_path / name / "dagster")
        text = (folders[-1] / "dagster.yaml").read_text()
        assert str(tmp_path / name / "dagster" / "storage") in text
    assert folders[0] != folders[1]


def test_an_instance_that_somebody_chose_is_left_alone(tmp_path: Path) -> None:
    environment = Environment(tmp_path, "db", "activity")
    assert use_dagster_home(environment, {"DAGSTER_HOME": "/elsewhere"}) == Path("/elsewhere")
    assert not (tmp_path / "dagster").exists()


def test_the_locks_name_packages_and_no_registry() -> None:
    for lock in (
        "requirements.lock",
        "requirements-celery.lock",
        "requirements-test.lock",
        "requirements-mutation.lock",
        "requirements-bench.lock",
    ):
        text = (PROJECT / lock).read_text()
        assert "://" not in text
        assert all("==" in line for line in text.splitlines() if line and line[0].isalpha())
        assert text.count("--hash=sha256:") > 50


def test_the_tests_that_the_table_of_faults_names_exist() -> None:
    text = (PROJECT / "docs" / "faults.md").read_text()
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    assert [int(number) for number in re.findall(r"(?m)^\| (\d+) \|", text)] == list(range(1, 43))
    sources = {path: (PROJECT / "writeback_pipeline_tests" / path).read_text() for path, _ in named}
    assert [test for path, test in named if f"def {test}(" not in sources[path]] == []
