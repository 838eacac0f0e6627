"""A Dagster code location for each bridge of bridges.toml: the attribute of this module that has its name.

`writebacks bridges workspace` writes the workspace.yaml that names them. A run's own process, on whatever machine,
finds its bridge by the same name. A process that serves one bridge only, a code server or one that WRITEBACK_BRIDGE
is set for, keeps nothing of the environment that is another's.
"""

import os
import sys

import dagster as dg

from writeback_pipeline.bridges import CHOSEN, enter, read_bridges
from writeback_pipeline.definitions import location_of


def __getattr__(name: str) -> dg.Definitions:
    """The definitions of the bridge of that name."""
    if name.startswith("_") or name not in {bridge.name for bridge in read_bridges(os.environ)}:
        raise AttributeError(f"bridges.toml has no bridge {name}")
    if os.environ.get(CHOSEN) or sys.argv[1:2] == ["api"]:  # `dagster api grpc` serves one location
        enter(name)
    return location_of(name)
