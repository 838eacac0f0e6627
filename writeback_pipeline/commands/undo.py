"""`writebacks undo`: take back what one run wrote to Salesforce, or show what that would change."""

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime

import click

from writeback_pipeline.bindings import open_organisation, open_store
from writeback_pipeline.commands.operator import operator
from writeback_pipeline.commands.output import NEEDS_A_PERSON, InputError, format_option, message, print_json, say
from writeback_pipeline.commands.tables import plain
from writeback_pipeline.commands.trouble import ending_in_words
from writeback_pipeline.delivery.undo import RunUndo, UndoReport, plan_run
from writeback_pipeline.domain.undoing import UNDONE, NotUndoable
from writeback_pipeline.environment import read_environment


@click.command()
@click.argument("run_id", metavar="RUN_ID")
@click.option("--dry-run", is_flag=True, help="Show what would be undone; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask first; asked is only at a terminal.")
@format_option("table", "json")
def undo(run_id: str, dry_run: bool, yes: bool, format_: str) -> None:
    """Take a run back: its Notes and Tasks, and the flags that it changed.

    Flags go back to what they were where nothing else has had to do with them since. What was undone is listed as
    failed with the code UNDONE and is not sent again unless it is retried. At a terminal it is shown and confirmed
    first. Exit code 1 when some of it could not be undone: run it again later. RUN_ID is in writebacks list
    --format json, and in Dagster's list of runs.
    """
    environment = read_environment(os.environ)
    store = open_store(environment)
    try:
        store.run_wrote(run_id)  # before an organisation is opened for nothing
        remedy = "What was undone so far is recorded; undo the run again to go on."
        with ending_in_words(remedy), open_organisation(environment, os.environ) as organisation:
            asked = not (dry_run or yes) and sys.stdin.isatty() and sys.stdout.isatty()
            if dry_run or asked:
                report = plan_run(store, organisation, run_id, datetime.now(UTC), by=operator())
            if asked:
                _confirm(report)
            if not dry_run:
                report = RunUndo(store, organisation, lambda: datetime.now(UTC), operator()).run(run_id)
    except NotUndoable as error:
        raise InputError(str(error)) from None
    _show(report, format_)
    sys.exit(0 if report.complete else NEEDS_A_PERSON)


def _confirm(planned: UndoReport) -> None:
    """Show what would be done and ask; the answer no ends the command."""
    if planned.rows:
        message("\n".join((*_lines(planned), "")))
        click.confirm(f"Undo these {len(planned.rows):,} writebacks?", abort=True, err=True)


def _show(report: UndoReport, format_: str) -> None:
    if format_ == "json":
        print_json({"undo_id": report.undo_id, "rows": [asdict(row) for row in report.rows], "left": report.left})
        return
    undone = sum(row.complete for row in report.rows)
    if report.undo_id is None:
        end = f"{undone:,} writebacks would be undone. Nothing was changed."
    elif not report.rows and not report.left:
        end = "Nothing of it is left to undo."
    else:
        codes = " or ".join(sorted({row.error_code for row in report.rows}) or [UNDONE])
        end = f"{undone:,} writebacks undone; they are listed as failed ({codes}). This undo is {report.undo_id}."
    say("\n".join((*_lines(report), end)))


def _lines(report: UndoReport) -> list[str]:
    return [
        *(f"{row.writeback_id}  {plain(row.error_message)}" for row in report.rows),
        *(f"{what}  left: {plain(reason)}" for what, reason in report.left.items()),
    ]
