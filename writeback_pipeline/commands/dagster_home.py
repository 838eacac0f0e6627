"""The Dagster instance of a home: its configuration is the project's dagster.yaml, its storage lies in the home.

Nothing here imports dagster; that takes seconds and is left to whoever runs something.
"""

import fcntl
import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from writeback_pipeline.bridges import read_bridges
from writeback_pipeline.environment import Environment

PROJECT = Path(__file__).parents[2]
_DEFAULT_HOME = "data"

TICKS_AT_ONCE = 4
"""Of each kind, for each of several bridges."""


def use_dagster_home(environment: Environment, variables: MutableMapping[str, str] = os.environ) -> Path:
    """Make DAGSTER_HOME the home's own instance, unless it is set already; returns the folder."""
    chosen = variables.get("DAGSTER_HOME")
    if chosen:
        return Path(chosen)
    template = PROJECT / "dagster.yaml"
    if not template.is_file():
        from writeback_pipeline.salesforce.connection import ConfigurationError

        raise ConfigurationError(f"{template} is missing: run from a checkout of the project, or set DAGSTER_HOME")
    folder = environment.dagster_home
    folder.mkdir(parents=True, exist_ok=True)
    configuration = _moved(yaml.safe_load(template.read_text()), folder.parent)
    if bridges := read_bridges(variables):
        _share(configuration, len(bridges))
    _write(folder / "dagster.yaml", yaml.safe_dump(configuration, sort_keys=False))
    variables["DAGSTER_HOME"] = str(folder)
    return folder


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Nobody else is in here: Dagster's first process makes the tables, and two that do it at once collide."""
    with (folder / "instance.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _share(configuration: dict[str, Any], bridges: int) -> None:
    """As many runs for each bridge as for one that is alone, and ticks that wait for no other bridge's."""
    configuration["concurrency"]["runs"]["max_concurrent_runs"] *= bridges
    for daemon in ("sensors", "schedules"):
        configuration[daemon] = {"use_threads": True, "num_workers": TICKS_AT_ONCE * bridges}


def _moved(value: Any, home: Path) -> Any:
    """The configuration with every `base_dir` below the default home moved to this one."""
    if not isinstance(value, dict):
        return value
    return {
        key: str(home / Path(inner).relative_to(_DEFAULT_HOME)) if key == "base_dir" else _moved(inner, home)
        for key, inner in value.items()
    }


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text() == text:
        return
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
