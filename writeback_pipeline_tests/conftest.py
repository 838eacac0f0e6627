"""Fixtures that several folders share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from writeback_pipeline_tests.browser import open_browser
from writeback_pipeline_tests.torture import COUNTS
from writeback_pipeline_tests.world import World, world_in


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests that repeat something many times have counted."""
    if COUNTS:
        terminalreporter.section("counts")
        for line in COUNTS:
            terminalreporter.write_line(line)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_in(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that a module shares."""
    with open_browser() as opened:
        yield opened
