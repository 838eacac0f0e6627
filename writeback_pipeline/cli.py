"""`writebacks`: which commands there are, each loaded only when it is asked for, and how their errors are told.

What a command does is in its module under `writeback_pipeline.commands`. Nothing heavy may be imported from here.
"""

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from writeback_pipeline.bridges import CHOSEN, enter, read_bridges
from writeback_pipeline.bridges_toml import BridgesMisconfigured
from writeback_pipeline.commands.output import InputError
from writeback_pipeline.environment import read_environment
from writeback_pipeline.logs import configure

_COMMANDS = {
    "demo": ("demo:demo", "Carry the sample changes into the embedded organisation and show what it now holds."),
    "enqueue": ("enqueue:enqueue", "Queue opt-out changes, one or a whole file."),
    "run": ("run:run", "Deliver now, as a Dagster run that the UI lists."),
    "list": ("list:list_", "Show the Writeback List, newest first."),
    "why": ("why:why", "Tell one person's whole story, in time order."),
    "retry": ("retry:retry", "Put failed and waiting writebacks back to pending."),
    "check": ("check:check", "Look at everything that delivery needs, and change nothing."),
    "alerts": ("alerts:alerts", "What is wrong with the pipeline, and who was told of it."),
    "audit": ("audit:audit", "Compare who stands opted out here with whom Salesforce shows opted out."),
    "undo": ("undo:undo", "Take a run back: its Notes and Tasks, and the flags that it changed."),
    "move": ("move:move", "Carry the ledger over to another database, such as from DuckDB to PostgreSQL."),
    "erase": ("erase:erase", "Erase a person's names and words; their opt-out goes on being honoured."),
    "prune": ("prune:prune", "Move old, settled mailing activity out of the ledger."),
    "settings": ("settings:settings", "Show and change the writeback settings."),
    "console": ("console:console", "Serve the pages, Writeback Settings and the others, until Ctrl-C."),
    "org": ("org:org", "Serve, reset and look into the embedded organisation; make it misbehave."),
    "bridges": ("bridges:bridges", "Several organisations: list them, and write Dagster's workspace."),
}
"""Name to where it is, and its line in the overview, which is shown without loading it."""

_OF_ALL_BRIDGES = ("bridges", "console")
"""Commands that need no bridge named where there are several; the first is about all of them anyway."""

_HELP = "writeback_pipeline.help"
"""Whether only a command's help is asked for, which needs no bridge."""


class _Commands(click.Group):
    """Loads commands when they are called, and tells errors that a person can mend without a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks for it
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(f"writeback_pipeline.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):  # a terminal that lacks a character shows a mark in its place
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")
        ctx.meta[_HELP] = not {"-h", "--help"}.isdisjoint(ctx.args)
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if told := in_words(error):
                raise InputError(told) from error
            raise


def in_words(error: Exception) -> str | None:
    """All that a person needs to be told of the error; None for one that nobody foresaw."""
    if isinstance(error, troubles()):
        return str(error)
    home = read_environment(os.environ).home
    if isinstance(error, OSError) and isinstance(error.filename, str) and Path(error.filename).is_relative_to(home):
        reason = error.strerror or type(error).__name__
        return f"{error.filename} cannot be used ({reason}): correct WRITEBACK_HOME, or the folder's permissions"
    return None


def troubles() -> tuple[type[Exception], ...]:
    """Errors whose message is all that a person needs; imported only once something has gone wrong."""
    from writeback_pipeline.domain.trouble import Trouble
    from writeback_pipeline.local_org.records import UnusableFile  # the embedded organisation knows nothing of us

    return Trouble, UnusableFile


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="writeback-pipeline")
@click.option("--bridge", envvar=CHOSEN, metavar="NAME", help="Of several organisations, the one that this is about.")
@click.pass_context
def main(context: click.Context, bridge: str | None) -> None:
    """Deliver opt-outs and mailing activity from the e-mail platform to Salesforce.

    State lies in WRITEBACK_HOME (default: data). Exit codes: 0 done; 1 done, but something needs a person; 2 the input
    or the configuration is wrong, nothing was changed.
    """
    if not context.meta[_HELP]:
        _enter(bridge, context.invoked_subcommand or "")
    configure(os.environ, "warning")


def _enter(bridge: str | None, command: str) -> None:
    """Make this a process of that bridge; where there are several, a command for one does nothing without a name."""
    if bridge and command != "bridges":
        enter(bridge)
    elif command not in _OF_ALL_BRIDGES and (several := read_bridges(os.environ)):
        names = ", ".join(each.name for each in several)
        raise BridgesMisconfigured(
            f"there are several bridges: say which, --bridge NAME or {CHOSEN}. There are {names}"
        )
