"""How the suite runs, and fixtures that several folders share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser

from writeback_pipeline_tests.browser import open_browser
from writeback_pipeline_tests.ledgers import EVERY, STORE, location
from writeback_pipeline_tests.torture import COUNTS
from writeback_pipeline_tests.world import World, world_in

IN_MEMORY = Path("/dev/shm")
ROOM = 4 * 1024**3
"""Bytes free there that are enough for a run of the suite."""

# A slow machine is no defect.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure() -> None:
    """Temporary files lie in memory where there is room: tests lose no power, so waiting for a disk proves nothing."""
    if os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `every_store` is run once for each."""
    if "database" in metafunc.fixturenames and metafunc.definition.get_closest_marker("every_store"):
        metafunc.parametrize("database", EVERY, indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, so that no process has one of them left when the others are done; without tests of a DuckDB
    file where the ledger is none."""
    items.sort(key=lambda item: "torture" not in item.path.parts)
    if STORE != "duckdb":
        elsewhere = [item for item in items if item.get_closest_marker("duckdb_file")]
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that ran a part of the suite hands over what its tests have counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = COUNTS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Such a process has ended; one that broke off hands nothing over."""
    COUNTS.extend(getattr(node, "workeroutput", {}).get("counts", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the tests that repeat something many times have counted."""
    if COUNTS:
        terminalreporter.section("counts")
        for line in COUNTS:
            terminalreporter.write_line(line)


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the world's ledger is; a test marked `every_store` has one of each."""
    return location(tmp_path, getattr(request, "param", STORE))


@pytest.fixture
def world(tmp_path: Path, database: str) -> Iterator[World]:
    with world_in(tmp_path, database) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser that a module shares."""
    with open_browser() as opened:
        yield opened
