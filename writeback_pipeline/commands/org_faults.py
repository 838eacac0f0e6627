"""`writebacks org faults`: make the embedded organisation misbehave on demand, and see how often it did.

What faults there are and what each takes is `local_org`'s. They are kept in the organisation's file, so they strike
whether it is served, used inside a run, or both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

import click

from writeback_pipeline.commands.embedded import embedded_organisation
from writeback_pipeline.commands.output import InputError, format_option, print_json, say
from writeback_pipeline.commands.tables import table, terminal_width

if TYPE_CHECKING:
    from writeback_pipeline.local_org.faults import Fault


@click.group("faults", invoke_without_command=True)
@click.pass_context
def faults_group(context: click.Context) -> None:
    """Arm faults in the embedded organisation; without a command, list what is armed.

    They strike whoever talks to this home's organisation, served or not.
    """
    if context.invoked_subcommand is None:
        context.invoke(armed)


@faults_group.command()
@format_option("table", "json")
def kinds(format_: str) -> None:
    """List the kinds of faults: what each does and the options of its own."""
    from writeback_pipeline.local_org.fault_kinds import KINDS

    if format_ == "json":
        print_json({name: {"level": kind.level, "does": kind.does, **kind.options} for name, kind in KINDS.items()})
        return
    columns = {
        "kind": [*KINDS],
        "strikes": [str(kind.level) for kind in KINDS.values()],
        "what it does": [kind.does for kind in KINDS.values()],
        "options": [" ".join(kind.options) for kind in KINDS.values()],
    }
    click.echo(table(columns, terminal_width(), texts=("what it does",))[0])
    say(f"\nOptions of all that strike a {_matchers()}")


@faults_group.command()
@click.argument("kind", metavar="KIND")
@click.argument("assignments", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("--times", type=click.IntRange(min=1), help="End it after so many strikes; default: until it is cleared.")
@format_option("table", "json")
def arm(kind: str, assignments: Sequence[str], times: int | None, format_: str) -> None:
    """Arm one fault, such as row_lock --times 3 object=Contact, or drop_after probability=0.01.

    Those armed earlier strike first. A new home gets its sample organisation.
    """
    from writeback_pipeline.local_org import faults

    options = _options(kind, assignments) | ({} if times is None else {"times": times})
    with _connection(make=True) as connection:
        try:
            fault = faults.arm(connection, kind, **options)
        except faults.FaultError as error:
            raise InputError(f"{error}. `writebacks org faults kinds` lists them.") from None
        told = faults.as_told(connection, fault)
    if format_ == "json":
        print_json(told)
    else:
        say(f"Fault {told['id']} is armed: {_line(fault, told)}")


@faults_group.command("list")
@format_option("table", "json")
def armed(format_: str = "table") -> None:
    """List what is armed, and how often faults of each kind have struck."""
    from writeback_pipeline.local_org import faults

    with _connection() as connection:
        armed_now = faults.armed(connection)
        told = [faults.as_told(connection, fault) for fault in armed_now]
        injected = faults.injected(connection)
    if format_ == "json":
        print_json({"faults": told, "injected": injected})
        return
    for fault, each in zip(armed_now, told, strict=True):
        say(f"{fault.id}  {_line(fault, each)}")
    if not told:
        say("No fault is armed.")
    if injected:
        say("Struck so far: " + ", ".join(f"{kind} {count:,}" for kind, count in injected.items()))


@faults_group.command()
@click.argument("fault_id", metavar="[ID]", required=False, type=click.IntRange(min=1))
def clear(fault_id: int | None) -> None:
    """Disarm one fault, or all of them and forget how often they struck."""
    from writeback_pipeline.local_org import faults

    with _connection() as connection:
        cleared = faults.clear(connection, fault_id)
    if fault_id is not None and not cleared:
        raise InputError(f"no fault {fault_id} is armed; `writebacks org faults` lists those that are")
    say(f"{cleared:,} disarmed")


@contextmanager
def _connection(*, make: bool = False) -> Iterator[Connection]:
    """The home's organisation; InputError where there is none and none is to be made."""
    from writeback_pipeline.local_org.state import open_org

    organisation = open_org(embedded_organisation(make=make), with_sample=True)
    try:
        with organisation.connection() as connection:
            yield connection
    finally:
        organisation.close()


def _options(kind: str, assignments: Sequence[str]) -> dict[str, Any]:
    from writeback_pipeline.local_org import fault_texts

    typed: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise click.UsageError(f"{assignment!r} is no option: write NAME=VALUE, such as object=Contact")
        if name in typed:
            raise click.UsageError(f"{name} is given twice")
        typed[name] = value
    return fault_texts.options(kind, typed)


def _line(fault: "Fault", told: dict[str, Any]) -> str:
    """A fault on one line, with what differs from what every fault of its kind has."""
    from writeback_pipeline.local_org.fault_texts import peculiarities

    options = [f"{name}={value}" for name, value in peculiarities(fault).items()]
    left = "until it is cleared" if told["remaining"] is None else f"{told['remaining']:,} of {told['times']:,} left"
    return " ".join([fault.kind, *options, f"({left})"])


def _matchers() -> str:
    from writeback_pipeline.local_org.fault_kinds import MATCHERS

    lines = [f"{level}: {', '.join(sorted(names))}" for level, names in MATCHERS.items() if names]
    return "; ".join([*lines, "of all: every, probability, seed, times"])
