"""`writebacks run`: deliver by hand, as a Dagster run that the UI lists, or show what a delivery would do."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from writeback_pipeline.bindings import open_organisation, open_store
from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.commands.output import NEEDS_A_PERSON, message, say
from writeback_pipeline.commands.run_activity import activity
from writeback_pipeline.commands.run_sync import sync
from writeback_pipeline.commands.trouble import ending_in_words, exit_code_of_trouble
from writeback_pipeline.commands.waiting import may_go_on, sleep_until_next_try, wait_option
from writeback_pipeline.delivery.dry_run import dry_run
from writeback_pipeline.delivery.report import DeliveryReport, PlannedChange
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import OPEN_STATUSES, OPT_OUT_KINDS, FlagResult, Status
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.salesforce.connection import from_environment
from writeback_pipeline.store.store import Store

if TYPE_CHECKING:
    from writeback_pipeline.commands.runs import FinishedRun

ROWS_NEEDING_A_PERSON = 10
"""How many of them the summary spells out of a run."""

OWED = WritebackFilter(statuses=OPEN_STATUSES, kinds=OPT_OUT_KINDS)


@click.group()
def run() -> None:
    """Deliver now, as a Dagster run that the UI lists."""


run.add_command(activity)
run.add_command(sync)


@run.command("opt-outs")
@click.option("--dry-run", "only_plan", is_flag=True, help="Show what would be written; write nothing.")
@click.option("--limit", type=click.IntRange(min=1), help="Serve at most this many people.")
@wait_option
@click.option("--format", "format_", type=click.Choice(["table", "json"]), default="table", help="Output format.")
def opt_outs(only_plan: bool, limit: int | None, wait: bool, format_: str) -> None:
    """Write every unsubscribe and resubscribe that is due to Salesforce."""
    if wait and (limit is not None or only_plan):
        raise click.UsageError("--wait goes on until nothing is owed; it takes neither --limit nor --dry-run")
    environment = read_environment(os.environ)
    from_environment(os.environ)  # an incomplete set of variables is refused before anything starts
    if only_plan:
        _show_plan(_plan(environment, limit), format_)
        return
    use_dagster_home(environment)
    store, config = open_store(environment), {} if limit is None else {"limit": limit}
    store.settings()  # so is a ledger that cannot be used
    from writeback_pipeline.commands.runs import run_opt_outs  # imports dagster

    runs = [run_opt_outs(config)]
    while wait and may_go_on(runs) and (runs[-1].failure or store.count(OWED)):
        if runs[-1].failure:
            message(f"Run {runs[-1].run_id} failed. {runs[-1].failure}")
        sleep_until_next_try(store, Purpose.OPT_OUTS, OWED)
        runs.append(run_opt_outs(config))
    last = runs[-1]
    if last.failure:
        message(f"Error: run {last.run_id} failed. {last.failure}")
        sys.exit(exit_code_of_trouble(passing=last.passing))
    _show_runs(store, runs, format_)
    if last.failed_checks:
        red = ", ".join(last.failed_checks)
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
        say(planned_text(change))
    say(
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


def _show_runs(store: Store, runs: Sequence["FinishedRun"], format_: str) -> None:
    """What became of the rows that these runs, of one command, were the last to move."""
    run_id, statuses, flags = runs[-1].run_id, Counter[Status](), Counter[FlagResult]()
    for run in runs:
        for became in store.became(WritebackFilter(run_id=run.run_id)):
            statuses[became.status] += became.rows
            if became.flag_result is not None:
                flags[became.flag_result] += became.rows
    calls, left = sum(run.numbers["api_calls"] for run in runs), runs[-1].numbers["api_calls_left"]
    if format_ == "json":
        cost = {"api_calls": calls, "api_calls_left": left}
        click.echo(json.dumps({"run_id": run_id, "statuses": statuses, "flags": flags, **cost}, indent=2))
        return
    if not statuses:
        say(f"Run {run_id}: nothing was due.")
        return
    began = "" if len(runs) == 1 else f", the last of {len(runs)}"
    became_of = (f"{statuses[each]} {each.value.replace('_', ' ')}" for each in Status if statuses[each])
    say(f"Run {run_id}{began}: {', '.join(became_of)}")
    if flags:
        say("Email Opt Out: " + ", ".join(f"{count} {flag}" for flag, count in sorted(flags.items())))
    per_thousand = 1000 * calls / statuses.total()
    say(f"{calls:,} API calls, {per_thousand:,.1f} per 1,000 writebacks; {left:,} left of our budget")
    for run in runs:
        only = WritebackFilter(run_id=run.run_id, statuses=(Status.FAILED,), limit=ROWS_NEEDING_A_PERSON)
        for row in store.writebacks(only):
            say(f"  {row.id} {row.kind} {row.salesforce_id}: {row.error_code}. {row.advice}")
    if statuses[Status.FAILED]:
        say("All of them: writebacks list --status failed. Once mended: writebacks retry --status failed.")
