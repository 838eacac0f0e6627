"""The settings on the command line: shown, changed together or not at all, remembered with who and when."""

import getpass
import json
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from writeback_pipeline.commands.tables import LONGEST
from writeback_pipeline.domain.settings import MEANINGS, takes
from writeback_pipeline.domain.writebacks import FlagResult, Status
from writeback_pipeline_tests.commands.conftest import Writebacks


def shown(writebacks: Writebacks) -> dict[str, object]:
    settings = json.loads(writebacks("settings", "show", "--format", "json").stdout)
    assert isinstance(settings, dict)
    return settings


def test_every_setting_is_shown_with_its_own_type(writebacks: Writebacks) -> None:
    assert shown(writebacks) == {
        "activity_enabled": True,
        "sent": True,
        "opened": False,
        "occurrence": "daily",
        "frequency": "manual",
        "suppress_opt_out_flag": False,
        "time_zone": "UTC",
        "week_starts_on": "monday",
        "platform_name": "Informz",
        "note_object": "Note",
        "api_budget_share": 0.5,
        "opt_out_reserve": 0.2,
        "bulk_threshold": 10000,
        "concurrent_calls": 4,
        "key_records": False,
        "audit_sample": 0,
    }


def test_the_table_shows_values_beside_defaults_and_what_cannot_be_turned_off(writebacks: Writebacks) -> None:
    writebacks("settings", "set", "frequency=hourly")
    text = writebacks("settings", "show").stdout
    (frequency,) = [" ".join(line.split()) for line in text.splitlines() if line.startswith("frequency ")]
    assert frequency == (
        "frequency hourly manual manual, hourly, daily or weekly how often activity is delivered by itself"
    )
    assert "Unsubscribe and resubscribe are always written" in text


def test_every_setting_tells_what_it_takes_and_what_it_is_for(writebacks: Writebacks) -> None:
    assert MEANINGS.keys() == shown(writebacks).keys()
    assert all(takes(name) for name in MEANINGS)
    assert max(map(len, MEANINGS.values())) <= LONGEST, "none is cut"


def test_ending_the_suppression_says_what_follows(writebacks: Writebacks, settle_all: Callable[..., None]) -> None:
    assert "is left alone" in writebacks("settings", "set", "suppress_opt_out_flag=true").stderr
    writebacks("enqueue", "unsubscribe", "--contact", "003000000000001AAA")
    settle_all(Status.WRITTEN, flag_result=FlagResult.SUPPRESSED)
    told = writebacks("settings", "set", "suppress_opt_out_flag=false").stderr
    assert "1 people had unsubscribed while it was left alone: the next delivery looks at each of them" in told


def test_a_change_says_what_it_was_and_what_it_is(writebacks: Writebacks) -> None:
    result = writebacks("settings", "set", "sent=false", "time_zone=America/New_York", "opened=false")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "sent: true -> false",
        "time_zone: UTC -> America/New_York",
        "opened: already so",
    ]
    assert (shown(writebacks)["sent"], shown(writebacks)["time_zone"]) == (False, "America/New_York")


def test_a_change_as_json_lists_what_really_changed(writebacks: Writebacks) -> None:
    result = writebacks("settings", "set", "platform_name=A=B", "sent=true", "--format", "json")
    assert json.loads(result.stdout) == [{"name": "platform_name", "old": "Informz", "new": "A=B"}]


@pytest.mark.parametrize(
    ("assignments", "says"),
    [
        (["sent=false", "opened=maybe"], "opened takes true or false, not 'maybe'"),
        (["sent=false", "colour=red"], "'colour' is not a setting; the settings are activity_enabled"),
        (["sent=false", "opened"], "'opened' is no assignment: write NAME=VALUE"),
        (["sent=false", "sent=true"], "sent is given twice"),
        ([], "Missing argument"),
    ],
)
def test_one_wrong_value_changes_nothing(writebacks: Writebacks, assignments: list[str], says: str) -> None:
    before = shown(writebacks)
    result = writebacks("settings", "set", *assignments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert shown(writebacks) == before


@pytest.mark.parametrize("name", ["unsubscribe_enabled", "resubscribe", "opt_outs_enabled", "Unsubscribe"])
def test_opt_outs_cannot_be_turned_off(writebacks: Writebacks, name: str) -> None:
    result = writebacks("settings", "set", f"{name}=false")
    assert result.exit_code == 2
    assert "unsubscribe and resubscribe cannot be turned off" in result.stderr


def test_the_history_says_who_changed_what_and_when(writebacks: Writebacks) -> None:
    assert writebacks("settings", "history").stdout == "No setting was ever changed.\n"
    writebacks("settings", "set", "sent=false")
    writebacks("settings", "set", "sent=true")
    first, second = json.loads(writebacks("settings", "history", "--format", "json").stdout)
    assert (first["name"], first["old"], first["new"]) == ("sent", "true", "false")
    assert (second["old"], second["new"]) == ("false", "true")
    assert first["by"] == getpass.getuser()
    assert first["at"].endswith("Z")
    assert datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"]) < timedelta(minutes=1)
    lines = writebacks("settings", "history").stdout.splitlines()
    assert lines[0].split() == ["at", "by", "setting", "old", "new"]
    assert lines[1].split()[1:] == [first["by"], "sent", "true", "false"]


def test_leaving_the_flag_alone_is_said_in_words(writebacks: Writebacks) -> None:
    assert "only leaves its Note" in writebacks("settings", "set", "suppress_opt_out_flag=true").stderr
    ended = writebacks("settings", "set", "suppress_opt_out_flag=false").stderr
    assert ended == "From now on Email Opt Out is set again.\n"
