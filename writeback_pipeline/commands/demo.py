"""`writebacks demo`: the sample changes through the real job into the embedded organisation, and a look at the result.

The report asks the organisation, not the ledger: what it shows is what Salesforce holds.
"""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from textwrap import shorten, wrap

import click

from writeback_pipeline.bindings import open_organisation, open_store
from writeback_pipeline.commands.dagster_home import PROJECT, use_dagster_home
from writeback_pipeline.commands.output import InputError, message, say
from writeback_pipeline.commands.run_activity import in_words, statuses_of_run
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.listing import NEEDS_A_PERSON, ErrorGroup
from writeback_pipeline.domain.notes import note_title
from writeback_pipeline.domain.people import PersonRef
from writeback_pipeline.domain.records import Live
from writeback_pipeline.domain.settings import Occurrence, WritebackSettings
from writeback_pipeline.domain.undoing import is_taken_back
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, OPT_OUT_KINDS, Kind, Status, Writeback
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.hints import as_called
from writeback_pipeline.intake.changes import read_changes
from writeback_pipeline.salesforce.connection import URL
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.store.store import Store

SAMPLE = PROJECT / "data" / "sample" / "opt_outs.csv"
SAMPLE_ACTIVITY = PROJECT / "data" / "sample" / "mailing_activity"
LAST_TWO_WEEKS = ("2026-11-09", "2026-11-16")
EXAMPLES = 3
TEXT_WIDTH = 86


@click.command()
def demo() -> None:
    """Carry the sample changes into the embedded organisation and show what it now holds."""
    if os.environ.get(URL):
        raise InputError(f"{URL} is set. The demo writes sample data, so it uses the embedded one: unset it.")
    environment = read_environment(os.environ)
    use_dagster_home(environment)
    store = open_store(environment)
    changes, _ = read_changes(SAMPLE, datetime.now(UTC))
    queued = store.enqueue(changes, datetime.now(UTC))
    _say("Queue", f"{queued.added} changes added from data/sample/{SAMPLE.name}, {queued.known} known already")

    _say("Dagster", "running the job deliver_opt_outs; Dagster itself takes some seconds to start ...")
    from writeback_pipeline.commands.runs import run_opt_outs  # imports dagster

    run = run_opt_outs({})
    if run.failure:
        message(f"Error: run {run.run_id} failed. {run.failure}")
        sys.exit(1)
    settled = statuses_of_run(store, run.run_id)
    _say("", f"run {run.run_id}")
    _say("", in_words(run, settled) if settled else "nothing to write: everything in the queue was dealt with before")

    _deliver_activity(environment, store)

    everything = store.writebacks(WritebackFilter(kinds=OPT_OUT_KINDS))
    with open_organisation(environment, os.environ) as organisation:
        _show_organisation(organisation, everything, store.settings())
    _, activity = store.page(WritebackFilter(kinds=ACTIVITY_KINDS), 1)
    for number, line in enumerate(told_to_people(everything, activity.error_groups(NEEDS_A_PERSON))):
        _say("" if number else "For people", line)
    example = next((row.salesforce_id for row in everything if row.status is Status.WRITTEN), "ID")
    hints = {
        f"{as_called()} org show {example}": "one person as a Salesforce user sees them",
        f"{as_called()} list --status failed": "what needs somebody, and what to do",
        "make dev": "Dagster's UI, the console and the organisation's pages",
    }
    for number, (command, shows) in enumerate(hints.items()):
        _say("" if number else "Next", f"{command:<{max(map(len, hints))}}    {shows}")


def _deliver_activity(environment: Environment, store: Store) -> None:
    """The weekly summaries of the sample's last two weeks, as Tasks."""
    from writeback_pipeline.commands.runs import FinishedRun, run_activity  # imports dagster

    if not Path(environment.activity).exists():
        shutil.copytree(SAMPLE_ACTIVITY, environment.activity)
    weeks = iter(LAST_TWO_WEEKS)

    def finished(run: FinishedRun) -> None:
        _say("Activity", f"week of {next(weeks)}: {in_words(run, statuses_of_run(store, run.run_id))}")

    run_activity(Occurrence.WEEKLY, ACTIVITY_KINDS, LAST_TWO_WEEKS, finished=finished)
    written = WritebackFilter(kinds=ACTIVITY_KINDS, statuses=(Status.WRITTEN,), limit=EXAMPLES)
    for row in store.writebacks(written):
        _say("", f"  {row.salesforce_id}  Task {row.task_id}  {row.delivery_key}")


def _show_organisation(
    organisation: SalesforceOrganisation, rows: Sequence[Writeback], settings: WritebackSettings
) -> None:
    """Ask the organisation over HTTP what it holds of everything that the ledger calls written."""
    written = [row for row in rows if row.status is Status.WRITTEN and row.salesforce_id]
    people = {row.salesforce_id: PersonRef(row.object_type, row.salesforce_id) for row in written if row.salesforce_id}
    held = organisation.look(list(people.values()))
    flags = Counter(where.opted_out for where in held.values() if isinstance(where, Live))
    titles = {
        row.id: note_title(row.kind, row.object_type, row.occurred_at, settings.zone, settings.platform_name)
        for row in written
    }
    keys = [(row.salesforce_id or "", titles[row.id]) for row in written]
    notes = organisation.find_notes(keys, (settings.note_object,))
    found = {note.note_id for theirs in notes.values() for note in theirs}
    _say("Salesforce", f"{len(found)} Notes for {len(written)} written changes of {len(people)} people")
    _say("", f"Email Opt Out is checked for {flags[True]} of them and unchecked for {flags[False]}")
    with_reason = sorted(
        (row for row in written if row.reason and row.kind is Kind.UNSUBSCRIBE), key=lambda row: row.id
    )
    for row in with_reason[:EXAMPLES]:
        _say("", f"  {row.salesforce_id}  {titles[row.id]}")
        _say("", f"      Reason: {shorten(row.reason or '', TEXT_WIDTH)}")


def told_to_people(opt_outs: Sequence[Writeback], activity: Sequence[ErrorGroup]) -> Iterator[str]:
    """Lines about what needs somebody, by error code, with the advice that such a row got; the opt-outs first."""
    problems = [
        row
        for row in opt_outs
        if row.status in (Status.FAILED, Status.REFUSED) and not is_taken_back(row.status, row.error_code)
    ]
    advice = {(row.status, row.error_code): row.advice or "" for row in problems}
    by_code = Counter((row.status, row.error_code) for row in problems)
    for (status, code), count in by_code.most_common():
        yield f"{count} {status}, {code}"
        yield from _indented(advice[status, code])
    for group in activity:
        yield f"{group.count} summaries {group.status}, {group.error_code}"
        yield from _indented(group.advice or "")
    if activity:
        kinds = " ".join(f"--kind {kind}" for kind in ACTIVITY_KINDS)
        yield f"The summaries: {as_called()} list --status {Status.FAILED} {kinds}"


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in wrap(text, width=TEXT_WIDTH))


def _say(what: str, text: str) -> None:
    say(f"{what:<12}{text}")
