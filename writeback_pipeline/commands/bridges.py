"""`writebacks bridges`: the organisations of bridges.toml with their condition, and Dagster's workspace of them."""

import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import yaml

from writeback_pipeline.bindings import open_store
from writeback_pipeline.bridges import bridges_file, conflicts, doubtful, read_bridges, variables_of
from writeback_pipeline.bridges_toml import Bridge, BridgesMisconfigured
from writeback_pipeline.commands.output import NEEDS_A_PERSON, format_option, message, print_json
from writeback_pipeline.commands.tables import plain
from writeback_pipeline.domain.condition import Condition, condition
from writeback_pipeline.domain.findings import Level
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.hints import typed
from writeback_pipeline.salesforce.connection import URL, from_environment

PATIENCE = timedelta(seconds=3)
"""How long a database that is busy is waited for."""

MODULE = "writeback_pipeline.code_locations"
HEADER = "# Written by `writebacks bridges workspace`; what is changed here is lost.\n"


@click.group(invoke_without_command=True)
@click.pass_context
def bridges(context: click.Context) -> None:
    """Several organisations: list them, and write Dagster's workspace."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@bridges.command("list")
@format_option("table", "json")
def list_(format_: str) -> None:
    """Show every bridge of bridges.toml, where it keeps its state, and how it is.

    Two that read the same mailing events, or write into the same organisation as the same user, are warned of.

    Exit codes: 0 all is well; 1 a bridge needs a person; 2 bridges.toml is wrong, or two bridges have the same home or
    database.
    """
    several = _several()
    _warn(several)
    with ThreadPoolExecutor(len(several)) as threads:  # one that does not answer holds up no other
        shown = list(threads.map(_shown, several))
    if format_ == "json":
        print_json(shown)
    else:
        names, organisations = (max(len(each[what]) for each in shown) for what in ("name", "organisation"))
        for each in shown:
            where = f"{each['name']:<{names}}  {each['organisation']:<{organisations}}"
            click.echo(f"{each['level']:<8} {where}  {plain(typed(each['condition'], each['name']))}")
    sys.exit(NEEDS_A_PERSON if any(each["level"] == Level.FAILURE for each in shown) else 0)


@bridges.command()
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; default: beside bridges.toml."
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file is not as it would be written.")
def workspace(output: Path | None, check: bool) -> None:
    """Write the workspace.yaml with a code location for each bridge, which Dagster loads by -w."""
    several = _several()
    _warn(several)
    text = workspace_text(several)
    path = output or bridges_file(os.environ).with_name("workspace.yaml")
    found = path.read_text() if path.exists() else None
    if found == text:
        message(f"{path} is up to date.")
        return
    if check:
        message(f"{path} is not up to date: writebacks bridges workspace writes it.")
        sys.exit(NEEDS_A_PERSON)
    if found is not None and not found.startswith(HEADER):
        raise BridgesMisconfigured(
            f"{path} was written by somebody else: name another file with --output, or remove it"
        )
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(text)
    temporary.replace(path)
    message(f"{path} is written.")


def workspace_text(several: Sequence[Bridge]) -> str:
    """A workspace with a code location for each bridge, named after it; the same bridges give the same text."""
    return HEADER + yaml.safe_dump({"load_from": [_location(bridge) for bridge in several]}, sort_keys=False)


def _location(bridge: Bridge) -> dict[str, Any]:
    if bridge.server is not None:
        host, port = bridge.server
        return {"grpc_server": {"host": host, "port": port, "location_name": bridge.name}}
    return {"python_module": {"module_name": MODULE, "attribute": bridge.name, "location_name": bridge.name}}


def _several() -> tuple[Bridge, ...]:
    several = read_bridges(os.environ)
    if not several:
        raise BridgesMisconfigured(
            f'there is no {bridges_file(os.environ)}: a bridge in it reads [[bridge]], name = "north" '
            "(docs/many-organisations.md)"
        )
    for told in conflicts(several, os.environ):
        raise BridgesMisconfigured(told)
    return several


def _warn(several: Sequence[Bridge]) -> None:
    for told in doubtful(several, os.environ):
        message(f"Warning: {told}.")


def _shown(bridge: Bridge) -> dict[str, str]:
    variables = variables_of(bridge.name, os.environ)
    environment = read_environment(variables)
    how = _condition(bridge, environment, variables, datetime.now(UTC))
    return {
        "name": bridge.name,
        "prefix": bridge.prefix,
        "home": str(environment.home),
        "organisation": variables.get(URL) or "embedded",
        "level": how.level,
        "condition": how.words,
    }


def _condition(bridge: Bridge, environment: Environment, variables: Mapping[str, str], now: datetime) -> Condition:
    from writeback_pipeline.cli import troubles

    try:
        from_environment(variables)
        if not environment.has_database:
            return Condition(Level.OK, "nothing was ever queued")
        return condition(open_store(environment, wait=PATIENCE).measures(now), now)
    except troubles() as error:
        return Condition(Level.FAILURE, f"{str(error).rstrip('.')}. Its variables begin with {bridge.prefix}.")
