"""`writebacks bridges`, and every other command for one bridge of several."""

import json
import os
from pathlib import Path

import pytest
import yaml
from click.testing import Result

from writeback_pipeline.bridges_toml import Bridge
from writeback_pipeline.commands.bridges import HEADER, workspace_text
from writeback_pipeline.store.store import Store
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.intake.files import CONTACT

pytestmark = pytest.mark.duckdb_file  # a bridge that names no database keeps its ledger in its home


@pytest.fixture
def writebacks(writebacks: Writebacks) -> Writebacks:
    """The command line; one that is for a bridge keeps nothing of the others in its process, which is this one."""

    def call(*arguments: object, **variables: str) -> Result:
        before = dict(os.environ)
        try:
            return writebacks(*arguments, **variables)
        finally:
            os.environ.clear()
            os.environ.update(before)

    return call


@pytest.fixture
def several(home: Path) -> Path:
    home.mkdir()
    (home / "bridges.toml").write_text('[[bridge]]\nname = "north"\n[[bridge]]\nname = "south"\n')
    return home


def test_a_command_is_about_the_bridge_that_is_named_and_no_other(several: Path, writebacks: Writebacks) -> None:
    assert writebacks("--bridge", "north", "enqueue", "unsubscribe", "--contact", CONTACT).exit_code == 0
    assert len(json.loads(writebacks("list", "--format", "json", WRITEBACK_BRIDGE="north").stdout)) == 1
    assert json.loads(writebacks("--bridge", "south", "list", "--format", "json").stdout) == []
    assert not (several / "writebacks.duckdb").exists()


def test_a_command_without_a_bridge_does_nothing_where_there_are_several(several: Path, writebacks: Writebacks) -> None:
    result = writebacks("enqueue", "unsubscribe", "--contact", CONTACT)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "say which, --bridge NAME or WRITEBACK_BRIDGE. There are north, south" in result.stderr
    assert sorted(each.name for each in several.iterdir()) == ["bridges.toml"]


def test_help_needs_no_bridge(several: Path, writebacks: Writebacks) -> None:
    assert writebacks("enqueue", "--help").exit_code == 0
    assert writebacks("--help").exit_code == 0


def test_a_bridge_without_a_file_is_told(writebacks: Writebacks) -> None:
    result = writebacks("--bridge", "north", "list")
    assert result.exit_code == 2
    assert "there is no bridge north in" in result.stderr
    assert writebacks("bridges").exit_code == 2


def test_the_list_tells_how_each_bridge_is_whatever_another_has(several: Path, writebacks: Writebacks) -> None:
    store = Store(several / "bridges" / "north" / "writebacks.duckdb")
    assert writebacks("--bridge", "north", "enqueue", "unsubscribe", "--contact", CONTACT).exit_code == 0
    broken = several / "broken.duckdb"
    broken.write_bytes(b"not a database " * 1_000)
    result = writebacks("bridges", "list", "--format", "json", SOUTH_WRITEBACK_DATABASE=str(broken))
    assert result.exit_code == 1
    north, south = json.loads(result.stdout)
    assert (north["name"], north["level"], north["organisation"]) == ("north", "ok", "embedded")
    assert north["condition"] == "1 opt-outs wait, the oldest for 0 min"
    assert (south["name"], south["level"]) == ("south", "failure")
    assert f"{broken} cannot be used" in south["condition"]
    assert store.depth().owed == 1


def test_the_list_shows_no_secret_and_names_what_is_missing(several: Path, writebacks: Writebacks) -> None:
    variables = {"NORTH_SALESFORCE_URL": "https://north.example", "NORTH_SALESFORCE_CLIENT_SECRET": "not to be seen"}
    result = writebacks("bridges", **variables)
    assert result.exit_code == 1
    assert "SALESFORCE_CLIENT_ID missing" in result.stdout
    assert "Its variables begin with NORTH_" in result.stdout
    assert "not to be seen" not in result.output


def test_two_bridges_with_one_database_are_refused_by_name(several: Path, writebacks: Writebacks) -> None:
    one = {"NORTH_WRITEBACK_DATABASE": "/srv/one", "SOUTH_WRITEBACK_DATABASE": "/srv/one"}
    result = writebacks("bridges", **one)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "set NORTH_WRITEBACK_DATABASE or SOUTH_WRITEBACK_DATABASE" in result.stderr


def test_two_bridges_with_the_same_mailings_are_warned_of_by_name(several: Path, writebacks: Writebacks) -> None:
    one = {"NORTH_WRITEBACK_ACTIVITY": "/srv/events", "SOUTH_WRITEBACK_ACTIVITY": "/srv/events"}
    for command in (("bridges",), ("bridges", "workspace")):
        result = writebacks(*command, **one)
        assert result.exit_code == 0
        assert "Warning: the bridges north and south have the same WRITEBACK_ACTIVITY" in result.stderr


def test_commands_that_are_named_have_the_bridge_that_was(several: Path, writebacks: Writebacks) -> None:
    result = writebacks("--bridge", "north", "retry")
    assert result.exit_code == 2
    assert "(writebacks --bridge north list shows them)" in result.stderr
    assert writebacks("--bridge", "south", "enqueue", "unsubscribe", "--contact", CONTACT).exit_code == 0
    checked = writebacks("--bridge", "south", "check")
    assert "then writebacks --bridge south alerts test" in checked.stdout


def test_the_workspace_has_a_code_location_for_each_bridge() -> None:
    text = workspace_text([Bridge("north", "NORTH_"), Bridge("south-east", "SE_", ("south", 4000))])
    assert text.startswith(HEADER)
    module = {"module_name": "writeback_pipeline.code_locations", "attribute": "north", "location_name": "north"}
    server = {"host": "south", "port": 4000, "location_name": "south-east"}
    assert yaml.safe_load(text) == {"load_from": [{"python_module": module}, {"grpc_server": server}]}


def test_the_workspace_is_written_once_and_checked(several: Path, writebacks: Writebacks) -> None:
    path = several / "workspace.yaml"
    assert writebacks("bridges", "workspace", "--check").exit_code == 1
    assert not path.exists()
    assert writebacks("bridges", "workspace").exit_code == 0
    assert writebacks("bridges", "workspace", "--check").exit_code == 0
    (several / "bridges.toml").write_text('[[bridge]]\nname = "north"\n')
    assert writebacks("bridges", "workspace", "--check").exit_code == 1


def test_a_workspace_of_somebody_elses_is_left_alone(several: Path, writebacks: Writebacks, tmp_path: Path) -> None:
    path = tmp_path / "workspace.yaml"
    path.write_text("load_from: []\n")
    result = writebacks("bridges", "workspace", "--output", path)
    assert result.exit_code == 2
    assert "was written by somebody else" in result.stderr
    assert path.read_text() == "load_from: []\n"
