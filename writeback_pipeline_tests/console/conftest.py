"""A console over a store of its own, and a client for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from writeback_pipeline_tests.console.serving import Client, Served, local_access, serving, with_accounts


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Like `served`, for all tests of a module that change nothing in it."""
    with serving(tmp_path_factory.mktemp("untouched"), local_access()) as running:
        yield running


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A console on loopback without accounts: whoever asks is an operator."""
    with serving(tmp_path, local_access()) as running:
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    """A console with accounts."""
    with serving(tmp_path, with_accounts()) as running:
        yield running


@pytest.fixture
def client(served: Served) -> Client:
    return Client(served.address)
