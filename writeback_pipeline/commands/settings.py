"""`writebacks settings`: what is set, how to change it, and who changed what.

Which settings there are and what each takes is decided in `domain.settings`.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.operator import operator
from writeback_pipeline.commands.output import format_option, message, print_json, say
from writeback_pipeline.commands.tables import table, terminal_width
from writeback_pipeline.domain.settings import MEANINGS, WritebackSettings, as_mapping, setting_text, takes
from writeback_pipeline.domain.writebacks import utc_text
from writeback_pipeline.environment import read_environment
from writeback_pipeline.store.store import Store


@click.group()
def settings() -> None:
    """Show and change the writeback settings."""


@settings.command()
@format_option("table", "json")
def show(format_: str) -> None:
    """Show every setting beside its default, what it takes and what it is for."""
    now = as_mapping(open_store(read_environment(os.environ)).activity_settings())
    if format_ == "json":
        print_json(now)
        return
    defaults = as_mapping(WritebackSettings())
    columns = {
        "setting": list(now),
        "value": [setting_text(value) for value in now.values()],
        "default": [setting_text(defaults[name]) for name in now],
        "takes": [takes(name) for name in now],
        "what it is for": [MEANINGS[name] for name in now],
    }
    click.echo(table(columns, terminal_width(), texts=("takes", "what it is for"))[0])
    say("\nUnsubscribe and resubscribe are always written; they cannot be turned off.")


@settings.command("set")
@click.argument("assignments", metavar="NAME=VALUE...", nargs=-1, required=True)
@format_option("table", "json")
def set_(assignments: Sequence[str], format_: str) -> None:
    """Change settings: all of those given or, if one is wrong, none."""
    wanted: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"{assignment!r} is no assignment: write NAME=VALUE, such as sent=false")
        if name in wanted:
            raise click.UsageError(f"{name} is given twice")
        wanted[name] = value
    store = open_store(read_environment(os.environ))
    changes = store.change_settings(wanted, operator(), datetime.now(UTC))
    for change in changes:
        if change.name == "suppress_opt_out_flag":
            message(_of_suppression(store) if change.new == "false" else _SUPPRESSED)
    if format_ == "json":
        print_json([{"name": change.name, "old": change.old, "new": change.new} for change in changes])
        return
    changed = {change.name: f"{change.old} -> {change.new}" for change in changes}
    for name in wanted:
        say(f"{name}: {changed.get(name, 'already so')}")


_SUPPRESSED = "From now on Email Opt Out is left alone: an unsubscribe only leaves its Note."


def _of_suppression(store: Store) -> str:
    """What follows from writing the flag again."""
    people = store.flags_left()
    if not people:
        return "From now on Email Opt Out is set again."
    return (
        f"From now on Email Opt Out is set again. {people:,} people had unsubscribed while it was left alone: the next "
        "delivery looks at each of them and sets it where their opt-out stands."
    )


@settings.command()
@format_option("table", "json")
def history(format_: str) -> None:
    """Show every change of a setting, oldest first: when, by whom, from what to what."""
    changes = open_store(read_environment(os.environ)).settings_history()
    if format_ == "json":
        print_json([asdict(change) for change in changes])
        return
    columns = {
        "at": [utc_text(change.at.replace(microsecond=0)) for change in changes],
        "by": [change.by for change in changes],
        "setting": [change.name for change in changes],
        "old": [change.old for change in changes],
        "new": [change.new for change in changes],
    }
    click.echo(table(columns, terminal_width())[0] if changes else "No setting was ever changed.")
