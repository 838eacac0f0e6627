"""`writebacks run`: deliver by hand, as a Dagster run that the UI lists, or show what a delivery would do."""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

import click

from writeback_pipeline.bindings import open_organisation, open_store
from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.commands.output import NEEDS_A_PERSON, message
from writeback_pipeline.commands.run_activity import activity
from writeback_pipeline.commands.run_sync import sync
from writeback_pipeline.commands.trouble import ending_in_words, exit_code_of_trouble
from writeback_pipeline.delivery.dry_run import dry_run
from writeback_pipeline.delivery.report import DeliveryReport, PlannedChange
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status, Writeback
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.salesforce.connection import from_environment

ROWS_NEEDING_A_PERSON = 10
"""How many of them the summary spells out."""


@click.group()
def run() -> None:
    """Deliver now, as a Dagster run that the UI lists."""


run.add_command(activity)
run.add_command(sync)


@run.command("opt-outs")
@click.option("--dry-run", "only_plan", is_flag=True, help="Show what would be written; write nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Serve at most this many people.")
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="Output format.")
def opt_outs(only_plan: bool, limit: int | None, format_: str) -> None:
    """Write every unsubscribe and resubscribe that is due to Salesforce."""
    environment = read_environment(os.environ)
    from_environment(os.environ)  # an incomplete set of variables is refused before anything starts
    if only_plan:
        _show_plan(_plan(environment, limit), format_)
        return
    use_dagster_home(environment)
    from writeback_pipeline.commands.runs import run_opt_outs  # imports dagster

    finished = run_opt_outs({} if limit is None else {"limit": limit})
    if finished.failure:
        click.echo(f"Error: run {finished.run_id} failed. {finished.failure}", err=True)
        sys.exit(exit_code_of_trouble(passing=finished.passing))
    rows = open_store(environment).writebacks(WritebackFilter(run_id=finished.run_id))
    _show_run(finished.run_id, rows, finished.numbers, format_)
    if finished.failed_checks:
        red = ", ".join(finished.failed_checks)
        message(f"Red checks: {red}. What needs a person, of earlier runs too: writebacks list --status failed.")
        sys.exit(NEEDS_A_PERSON)


def _plan(environment: Environment, limit: int | None) -> DeliveryReport:
    with ending_in_words(), open_organisation(environment, os.environ) as organisation:
        return dry_run(open_store(environment), organisation, datetime.now(UTC), limit=limit)


def _show_plan(report: DeliveryReport, format_: str) -> None:
    if format_ == "json":
        plan = {"planned_calls": report.planned_calls, "planned": [asdict(change) for change in report.planned]}
        click.echo(json.dumps(plan, indent=2))
        return
    for change in report.planned:
        click.echo(planned_text(change))
    click.echo(
        f"{len(report.planned)} writebacks would be settled with {report.planned_calls} API calls. Nothing was written."
    )


def planned_text(change: PlannedChange) -> str:
    """A planned writeback in a few lines: who, the flag before and after, the note, or why there is none."""
    box = {True: "checked", False: "unchecked", None: "not read"}
    lines = [f"{change.kind} {change.object_type} {change.salesforce_id} -> {change.status}"]
    if change.flag_result:
        before, after = box[change.flag_before], box[change.flag_after]
        lines.append(f"  Email Opt Out: {before} -> {after} ({change.flag_result}), lane {change.lane or 'none'}")
    if change.note_body:
        lines += [
            f"  Note: {line}" if n == 0 else f"        {line}" for n, line in enumerate(change.note_body.split("\n"))
        ]
    if change.advice:
        lines.append(f"  {change.advice}")
    return "\n".join(lines)


def _show_run(run_id: str, rows: list[Writeback], numbers: Mapping[str, int], format_: str) -> None:
    counts = Counter(row.status for row in rows)
    flags = Counter(row.flag_result for row in rows if row.flag_result)
    if format_ == "json":
        cost = {"api_calls": numbers["api_calls"], "api_calls_left": numbers["api_calls_left"]}
        click.echo(json.dumps({"run_id": run_id, "statuses": counts, "flags": flags, **cost}, indent=2))
        return
    if not rows:
        click.echo(f"Run {run_id}: nothing was due.")
        return
    click.echo(f"Run {run_id}: " + ", ".join(f"{counts[s]} {s.value.replace('_', ' ')}" for s in Status if counts[s]))
    if flags:
        click.echo("Email Opt Out: " + ", ".join(f"{count} {flag}" for flag, count in sorted(flags.items())))
    calls, left = numbers["api_calls"], numbers["api_calls_left"]
    click.echo(
        f"{calls:,} API calls, {1000 * calls / len(rows):,.1f} per 1,000 writebacks; {left:,} left of our budget"
    )
    failed = [row for row in rows if row.status is Status.FAILED]
    for row in failed[:ROWS_NEEDING_A_PERSON]:
        click.echo(f"  {row.id} {row.kind} {row.salesforce_id}: {row.error_code}. {row.advice}")
    if failed:
        click.echo("All of them: writebacks list --status failed. Once mended: writebacks retry --status failed.")
