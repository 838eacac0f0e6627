"""`writebacks run sync`: bring opt-outs that were made or taken back in Salesforce to the platform, now."""

import json
import os
import sys
from datetime import UTC, datetime

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.commands.output import message, say
from writeback_pipeline.commands.trouble import exit_code_of_trouble
from writeback_pipeline.environment import read_environment
from writeback_pipeline.salesforce.connection import from_environment


@click.command()
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="Output format.")
def sync(format_: str) -> None:
    """Bring opt-outs that were made or taken back in Salesforce to the platform."""
    environment = read_environment(os.environ)
    from_environment(os.environ)  # an incomplete set of variables is refused before anything starts
    use_dagster_home(environment)
    store = open_store(environment)
    store.settings()  # so is a ledger that cannot be used
    from writeback_pipeline.commands.runs import run_sync  # imports dagster

    before = datetime.now(UTC)
    finished = run_sync()
    if finished.failure:
        message(f"Error: run {finished.run_id} failed. {finished.failure}")
        sys.exit(exit_code_of_trouble(passing=finished.passing))
    standing, due = store.standing_counts(), store.due(before)
    if format_ == "json":
        click.echo(json.dumps({"run_id": finished.run_id, "standing": dict(standing), "due": due}, indent=2))
        return
    told = ", ".join(f"{count} by {origin}" for origin, count in sorted(standing.items())) or "nobody"
    say(f"Run {finished.run_id}: opted out now: {told}.")
    if due:
        say(f"{due} opt-outs are due in Salesforce: writebacks run opt-outs, or the sensor delivers them.")
