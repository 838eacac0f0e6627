"""bridges.toml and the environment of each bridge."""

from pathlib import Path

import pytest

from writeback_pipeline.bridges import conflicts, doubtful, read_bridges, variables_of
from writeback_pipeline.bridges_toml import Bridge, BridgesMisconfigured, parse
from writeback_pipeline.environment import read_environment

NORTH_AND_SOUTH = (
    '[[bridge]]\nname = "north"\n\n[[bridge]]\nname = "south-east"\nprefix = "SE_"\nserver = "south:4000"\n'
)


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bridges.toml").write_text(NORTH_AND_SOUTH)
    return {
        "WRITEBACK_HOME": str(tmp_path),
        "WRITEBACK_LOG_LEVEL": "info",
        "WRITEBACK_ALERT_NAME": "production",
        "SALESFORCE_URL": "https://nobody.example",
        "NORTH_SALESFORCE_URL": "https://north.example",
        "NORTH_SALESFORCE_CLIENT_SECRET": "secret of the north",
        "SE_SALESFORCE_URL": "https://south.example",
        "SE_WRITEBACK_LOG_LEVEL": "debug",
        "SE_WRITEBACK_DATABASE": "postgresql://se:secret@db.example/writebacks",
        "PATH": "/bin",
    }


def test_a_bridge_has_a_name_a_prefix_and_perhaps_a_server() -> None:
    assert parse(NORTH_AND_SOUTH, "bridges.toml") == (
        Bridge("north", "NORTH_"),
        Bridge("south-east", "SE_", ("south", 4000)),
    )


def test_without_a_prefix_it_is_the_name_in_capitals() -> None:
    (bridge,) = parse('[[bridge]]\nname = "north-america"', "bridges.toml")
    assert bridge.prefix == "NORTH_AMERICA_"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ('[[bridge]]\nname = "north"\n\n[[bridge]]\nname = "north"', 4, "north is taken by the bridge of line 1"),
        ('[[bridge]]\nname = "a-b"\n[[bridge]]\nname = "c"\nprefix = "A_B_"', 3, "A_B_ is taken by the bridge of"),
        ('[[bridge]]\nname = "North"', 1, 'write name = "north", up to 30 small letters'),
        ('[[bridge]]\nname = "static"', 1, "static is no name that a bridge can have"),
        ('\n[[bridge]]\nprefix = "NORTH_"', 2, "the bridge has no name"),
        ('[[bridge]]\nname = "north"\nprefix = "NORTH"', 1, 'write prefix = "NORTH_"'),
        ('[[bridge]]\nname = "north"\nprefix = "MY_SALESFORCE_"', 1, "MY_SALESFORCE_ is no prefix of variables"),
        ('[[bridge]]\nname = "dagster"', 1, "DAGSTER_ is no prefix of variables"),
        ('[[bridge]]\nname = "north"\nsecret = "x"', 1, "a bridge has no secret: it has name, prefix, server"),
        ('[[bridge]]\nname = 1', 1, "write name as text in quotation marks"),
        ('[[bridge]]\nname = "north"\nserver = "north"', 1, 'write server = "north:4000"'),
        ('[[bridge]]\nname = "north"\nserver = "north:70000"', 1, 'write server = "north:4000"'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_bridge_is_told_with_its_line_and_the_remedy(text: str, line: int, told: str) -> None:
    with pytest.raises(BridgesMisconfigured) as error:
        parse(text, "bridges.toml")
    assert str(error.value).startswith(f"bridges.toml, line {line}: ")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[bridge]]\nname = north", "bridges.toml is no TOML: Invalid value (at line 2, column 8)"),
        ("", "it has no list of them. Each begins with the line [[bridge]]"),
        ('[bridge]\nname = "north"', "it has no list of them"),
        ('[north]\nprefix = "NORTH_"', "it has north"),
        ("bridge = [1]", "it has no list of them"),
        ("bridge = []", "it has no list of them"),
    ],
)
def test_a_file_that_lists_no_bridges_is_told(text: str, told: str) -> None:
    with pytest.raises(BridgesMisconfigured) as error:
        parse(text, "bridges.toml")
    assert told in str(error.value)


def test_without_the_file_there_is_no_bridge(tmp_path: Path) -> None:
    assert read_bridges({"WRITEBACK_HOME": str(tmp_path)}) == ()


def test_a_file_that_somebody_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(BridgesMisconfigured, match="No such file or directory"):
        read_bridges({"WRITEBACK_BRIDGES": str(tmp_path / "elsewhere.toml")})


def test_a_bridge_sees_its_own_variables_without_their_prefix_and_no_others(variables: dict[str, str]) -> None:
    seen = variables_of("north", variables)
    assert seen["SALESFORCE_URL"] == "https://north.example"
    assert seen["SALESFORCE_CLIENT_SECRET"] == "secret of the north"
    assert seen["WRITEBACK_LOG_LEVEL"] == "info"
    assert seen["PATH"] == "/bin"
    assert "WRITEBACK_DATABASE" not in seen
    assert not [name for name in seen if name.startswith("SE_")]


def test_what_is_shared_can_be_said_otherwise_for_a_bridge(variables: dict[str, str]) -> None:
    assert variables_of("south-east", variables)["WRITEBACK_LOG_LEVEL"] == "debug"


def test_a_bridge_never_inherits_an_organisation_or_a_ledger(variables: dict[str, str]) -> None:
    del variables["NORTH_SALESFORCE_URL"]
    seen = variables_of("north", variables | {"WRITEBACK_DATABASE": "other.duckdb", "WRITEBACK_ACTIVITY": "/other"})
    assert not {"SALESFORCE_URL", "WRITEBACK_DATABASE", "WRITEBACK_ACTIVITY"} & seen.keys()


def test_each_bridge_has_a_home_of_its_own_and_all_have_one_dagster(variables: dict[str, str], tmp_path: Path) -> None:
    north, south = (read_environment(variables_of(name, variables)) for name in ("north", "south-east"))
    assert (north.home, south.home) == (tmp_path / "bridges" / "north", tmp_path / "bridges" / "south-east")
    assert north.dagster_home == south.dagster_home == tmp_path / "dagster"


def test_an_empty_variable_is_as_good_as_none(variables: dict[str, str], tmp_path: Path) -> None:
    seen = read_environment(variables_of("north", variables | {"NORTH_WRITEBACK_HOME": ""}))
    assert seen.home == tmp_path / "bridges" / "north"


def test_the_child_of_a_bridges_process_sees_the_same(variables: dict[str, str]) -> None:
    once = variables_of("north", variables)
    assert variables_of("north", once) == once


def test_a_bridge_that_is_not_there_is_told_beside_those_that_are(variables: dict[str, str]) -> None:
    with pytest.raises(BridgesMisconfigured, match=r"no bridge west in .*bridges.toml: it has north, south-east"):
        variables_of("west", variables)


@pytest.mark.parametrize(
    ("name", "north", "south"),
    [
        ("WRITEBACK_HOME", "/srv/one", "/srv/../srv/one"),
        ("WRITEBACK_DATABASE", "/srv/one.duckdb", "/srv/./one.duckdb"),
        ("WRITEBACK_DATABASE", "postgresql://n:1@db.example/w", "postgresql://s:2@DB.example:5432/w?sslmode=require"),
        ("WRITEBACK_DATABASE", "postgresql://n:1@localhost/w?schema=a", "postgresql://s:2@127.0.0.1/w?schema=a"),
        ("WRITEBACK_DATABASE", "postgresql://n:1@db.example/w", "postgresql:///w?host=db.example&port=5432"),
    ],
)
def test_two_bridges_with_one_home_or_database_do_nothing(
    variables: dict[str, str], name: str, north: str, south: str
) -> None:
    shared = variables | {f"NORTH_{name}": north, f"SE_{name}": south}
    with pytest.raises(BridgesMisconfigured) as error:
        variables_of("north", shared)
    assert f"set NORTH_{name} or SE_{name} to a place of its own" in str(error.value)
    assert ":1@" not in str(error.value)


@pytest.mark.parametrize("apart", ["schema", "host"])
def test_a_schema_or_a_server_each_keeps_two_bridges_apart(variables: dict[str, str], apart: str) -> None:
    url = f"postgresql:///writebacks?{apart}="
    told = variables | {"NORTH_WRITEBACK_DATABASE": f"{url}north", "SE_WRITEBACK_DATABASE": f"{url}south"}
    assert list(conflicts(read_bridges(told), told)) == []


@pytest.mark.parametrize(
    ("name", "north", "south"),
    [
        ("WRITEBACK_ACTIVITY", "/srv/events", "/srv/./events"),
        ("WRITEBACK_ACTIVITY", "s3://bucket/events", "s3://bucket/events"),
        ("SALESFORCE_URL", "https://acme.my.salesforce.com", "https://ACME.my.salesforce.com:443/"),
        ("SALESFORCE_URL", "http://localhost:8080", "http://127.0.0.1:8080"),
        ("SALESFORCE_URL", "http://localhost:8080", "http://[::1]:8080"),
    ],
)
def test_two_bridges_with_the_same_mailings_or_in_the_same_organisation_as_the_same_user_are_told(
    variables: dict[str, str], name: str, north: str, south: str
) -> None:
    users = {"NORTH_SALESFORCE_CLIENT_ID": "app", "SE_SALESFORCE_CLIENT_ID": "app"}
    told = variables | users | {f"NORTH_{name}": north, f"SE_{name}": south}
    (warning,) = doubtful(read_bridges(told), told)
    assert warning.startswith(f"the bridges north and south-east have the same {name}: ")
    assert f"set NORTH_{name} or SE_{name} to a place of its own" in warning
    assert variables_of("north", told)


def test_one_organisation_as_two_users_and_the_embedded_ones_are_nobodys_concern(variables: dict[str, str]) -> None:
    users = {"NORTH_SALESFORCE_CLIENT_ID": "app", "SE_SALESFORCE_CLIENT_ID": "another"}
    same = variables | users | {"SE_SALESFORCE_URL": variables["NORTH_SALESFORCE_URL"]}
    assert list(doubtful(read_bridges(same), same)) == []
    embedded = {name: value for name, value in variables.items() if "SALESFORCE" not in name}
    assert list(doubtful(read_bridges(embedded), embedded)) == []


def test_what_others_share_keeps_no_bridge_from_working(variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "bridges.toml").write_text(NORTH_AND_SOUTH + '[[bridge]]\nname = "west"\n')
    shared = variables | {"WEST_WRITEBACK_DATABASE": variables["SE_WRITEBACK_DATABASE"]}
    assert variables_of("north", shared)
    with pytest.raises(BridgesMisconfigured, match="south-east and west"):
        variables_of("west", shared)
