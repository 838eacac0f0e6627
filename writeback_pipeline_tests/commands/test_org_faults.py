"""Faults of the embedded organisation from the command line: listed, armed, seen to strike, cleared."""

import json
from pathlib import Path

import pytest
import requests

from writeback_pipeline.local_org.fault_kinds import KINDS
from writeback_pipeline.local_org.server import run_in_thread
from writeback_pipeline_tests.commands.conftest import Writebacks
from writeback_pipeline_tests.patience import PATIENCE_SECONDS

CREDENTIALS = {"grant_type": "client_credentials", "client_id": "local", "client_secret": "local"}


@pytest.fixture
def organisation(home: Path) -> Path:
    """The file of a home's organisation without people."""
    home.mkdir()
    return home / "local_org.sqlite"


def test_every_kind_is_listed_with_what_it_does(writebacks: Writebacks) -> None:
    lines = writebacks("org", "faults", "kinds").stdout.splitlines()
    for name, kind in KINDS.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert kind.does[:50] in line
        assert kind.level in line
    told = json.loads(writebacks("org", "faults", "kinds", "--format", "json").stdout)
    assert told.keys() == KINDS.keys()


def test_a_fault_strikes_the_server_that_is_running_as_often_as_it_was_told(
    writebacks: Writebacks, organisation: Path
) -> None:
    with run_in_thread(organisation) as server:
        token = requests.post(f"{server.url}/services/oauth2/token", data=CREDENTIALS, timeout=PATIENCE_SECONDS).json()
        as_user = {"Authorization": f"Bearer {token['access_token']}"}

        def status() -> int:
            return requests.get(
                f"{server.url}/services/data/v65.0/limits", headers=as_user, timeout=PATIENCE_SECONDS
            ).status_code

        armed = writebacks("org", "faults", "arm", "unavailable", "--times", 2, "path=limits", "html=false")
        assert (armed.exit_code, armed.stdout) == (
            0,
            "Fault 1 is armed: unavailable path=limits html=False (2 of 2 left)\n",
        )
        assert [status() for _ in range(3)] == [503, 503, 200]
    assert writebacks("org", "faults").stdout.splitlines() == [
        "1  unavailable path=limits html=False (0 of 2 left)",
        "Struck so far: unavailable 2",
    ]


def test_faults_are_armed_while_nobody_serves_and_cleared_one_by_one_or_all(
    writebacks: Writebacks, organisation: Path
) -> None:
    told = json.loads(writebacks("org", "faults", "arm", "row_lock", "object=Contact", "--format", "json").stdout)
    assert told.items() >= {"id": 1, "kind": "row_lock", "object": "Contact", "remaining": None}.items()
    writebacks("org", "faults", "arm", "drop_after", "probability=0.01", "times=5")
    writebacks("org", "faults", "arm", "validation_rule", 'fields=["Email"]', "message=12")
    listed = json.loads(writebacks("org", "faults", "list", "--format", "json").stdout)
    assert [(fault["kind"], fault["remaining"]) for fault in listed["faults"]] == [
        ("row_lock", None),
        ("drop_after", 5),
        ("validation_rule", None),
    ]
    assert listed["faults"][2].items() >= {"fields": ["Email"], "message": "12"}.items()
    assert writebacks("org", "faults", "clear", 2).stdout == "1 disarmed\n"
    assert writebacks("org", "faults", "clear", 2).exit_code == 2
    assert writebacks("org", "faults", "clear").stdout == "2 disarmed\n"
    assert writebacks("org", "faults").stdout == "No fault is armed.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["earthquake"], "there is no fault 'earthquake'; there are concurrent_limit, "),
        (["slow", "object=Contact"], "slow has no option 'object'; it has every, method, path, "),
        (["slow", "seconds=soon"], "seconds is not 'soon' but a number"),
        (["row_lock", "object"], "'object' is no option: write NAME=VALUE"),
        (["row_lock", "object=Lead", "object=Contact"], "object is given twice"),
        (["row_lock", "--times", "0"], "0 is not in the range x>=1"),
    ],
)
def test_what_cannot_be_armed_is_refused_with_the_reason(
    writebacks: Writebacks, organisation: Path, arguments: list[str], says: str
) -> None:
    result = writebacks("org", "faults", "arm", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_without_an_organisation_there_is_nothing_to_list(writebacks: Writebacks, home: Path) -> None:
    for command in ([], ["list"], ["clear"]):
        result = writebacks("org", "faults", *command)
        assert result.exit_code == 2
        assert "there is no embedded organisation yet" in result.stderr
    assert not home.exists()
