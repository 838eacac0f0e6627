"""`writebacks move`: the ledger goes to another database, whole; nothing is delivered from the old one any more."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from writeback_pipeline.commands.output import InputError, format_option, message, print_json, say
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.store import moving
from writeback_pipeline.store.high_water import MarkFile
from writeback_pipeline.store.location import is_server, mark_path, open_database

HOMES_OWN, ENVIRONMENTS = "duckdb", "postgresql"
"""Words for the home's own file, and for the server that WRITEBACK_DATABASE names."""


@click.command()
@click.option("--from", "from_", default=HOMES_OWN, show_default=True, help="Where the ledger is: file, URL or word.")
@click.option("--to", default=ENVIRONMENTS, show_default=True, help="An empty database: file, URL or word.")
@click.option("--dry-run", is_flag=True, help="Only look whether it can be moved, and count.")
@click.option("--cancel", is_flag=True, help="Take a move back that was broken off before it arrived.")
@format_option("text", "json")
def move(from_: str, to: str, dry_run: bool, cancel: bool, format_: str) -> None:
    """Carry the ledger over to another database, such as from DuckDB to PostgreSQL.

    `duckdb` is the home's own file, `postgresql` the server that WRITEBACK_DATABASE names; a file's path or a URL does
    as well. Everything goes but leases, and is counted on both sides. Broken off at any moment, the same command goes
    on. The old database can still be read; nothing is delivered from it any more.
    """
    environment, now = read_environment(os.environ), datetime.now(UTC)
    old, new = (_location(place, environment) for place in (from_, to))
    if not is_server(old) and not Path(old).is_file():
        raise InputError(f"{old} is not there: name the database that is to be moved with --from.")
    source, target = (open_database(location, departed_too=True) for location in (old, new))
    marks = (MarkFile(mark_path(database, environment.home)) for database in (source, target))
    way = moving.Move(source, target, *marks)
    if way.source.shown == way.target.shown:
        raise InputError(f"{way.source.shown} is where the ledger is already: name another database with --to.")
    try:
        if cancel:
            moving.cancel(way)
            say(f"{way.source.shown} stays where the ledger is.")
            return
        counts = moving.look(way, now) if dry_run else moving.carry(way, now, message)
    except moving.NotMovable as error:
        raise InputError(str(error)) from None
    _tell(way, counts, format_, moved=not dry_run)


def _location(place: str, environment: Environment) -> str:
    if place == HOMES_OWN:
        return str(environment.home / "writebacks.duckdb")
    if place == ENVIRONMENTS:
        if not is_server(environment.database):
            raise InputError(
                "Set WRITEBACK_DATABASE to the server's postgresql:// URL, or name it instead of the word."
            )
        return environment.database
    return place


def _tell(way: moving.Move, counts: moving.Counts, format_: str, *, moved: bool) -> None:
    if format_ == "json":
        print_json({"from": way.source.shown, "to": way.target.shown, "moved": moved, "rows": counts})
        return
    width = max(map(len, counts))
    for table, count in counts.items():
        say(f"{table:<{width}}  {count:>12,}")
    if moved:
        say(f"All of it is in {way.target.shown}, counted on both sides; {way.source.shown} can only be read.")
        say("Set WRITEBACK_DATABASE to the new place everywhere, then start the daemon again.")
    else:
        say(f"This would be moved from {way.source.shown} to {way.target.shown}. Nothing was changed.")
