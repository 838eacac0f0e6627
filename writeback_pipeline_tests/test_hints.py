"""Commands in texts, where there are several bridges."""

import sys
from pathlib import Path

import pytest

from writeback_pipeline import cli
from writeback_pipeline.bridges import CHOSEN
from writeback_pipeline.hints import OF_ONE_BRIDGE, as_called, typed

TEXT = "2 writebacks wait. All of them: writebacks list --status failed; `writebacks why ID` tells more."


def test_a_command_is_told_with_the_bridge_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHOSEN, "north")
    assert typed(TEXT) == (
        "2 writebacks wait. All of them: writebacks --bridge north list --status failed; "
        "`writebacks --bridge north why ID` tells more."
    )
    assert typed(typed(TEXT)) == typed(TEXT)
    assert typed("writebacks retry 1", "south") == "writebacks --bridge south retry 1"


def test_without_a_bridge_it_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CHOSEN, raising=False)
    assert typed(TEXT) == TEXT


def test_every_command_that_is_about_one_bridge_is_known() -> None:
    assert set(OF_ONE_BRIDGE) == set(cli._COMMANDS) - {"bridges"}


@pytest.mark.parametrize(
    ("called", "on_the_path", "typed_so"),
    [
        (".venv/bin/writebacks", False, ".venv/bin/writebacks"),
        ("{bin}/writebacks", False, "{bin}/writebacks"),
        ("{bin}/writebacks", True, "writebacks"),
        ("{bin}/pytest", False, "writebacks"),
    ],
)
def test_a_command_is_told_as_this_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, called: str, on_the_path: bool, typed_so: str
) -> None:
    command = tmp_path / "writebacks"
    command.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if on_the_path else "")
    monkeypatch.setattr(sys, "argv", [called.format(bin=tmp_path)])
    assert as_called() == typed_so.format(bin=tmp_path)
