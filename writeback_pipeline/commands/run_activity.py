"""`writebacks run activity`: deliver windows of mailing activity by hand, or show what that would take.

A window is a Dagster run of its own, as in the UI. A kind that is named is delivered whether or not it is chosen in the
settings: they say what happens by itself.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from writeback_pipeline.bindings import open_activity, open_store
from writeback_pipeline.commands.dagster_home import use_dagster_home
from writeback_pipeline.commands.delivery_bar import delivery_bar
from writeback_pipeline.commands.output import NEEDS_A_PERSON, InputError, format_option, message, print_json, say
from writeback_pipeline.commands.trouble import exit_code_of_trouble
from writeback_pipeline.commands.waiting import may_go_on, sleep_until_next_try, wait_option
from writeback_pipeline.delivery.activity_preview import preview_windows
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.partitions import deliverable_windows, partition_of_window
from writeback_pipeline.domain.settings import Occurrence, WritebackSettings
from writeback_pipeline.domain.windows import (
    Calendar,
    InvalidWindow,
    Window,
    chosen_kinds,
)
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, OPEN_STATUSES, Kind, Status
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.store.store import Store

if TYPE_CHECKING:
    from writeback_pipeline.commands.runs import FinishedRun


@click.command("activity")
@click.option("--occurrence", type=click.Choice([each.value for each in Occurrence]), help="Default: the setting.")
@click.option("--from", "first", required=True, metavar="DATE", help="First window, named by its first day.")
@click.option("--to", "last", metavar="DATE", help="Last window; default the first.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([each.value for each in ACTIVITY_KINDS]),
    help="Default: the settings.",
)
@click.option("--dry-run", "only_plan", is_flag=True, help="Show what would be written; write nothing.")
@wait_option
@format_option("table", "json")
def activity(
    occurrence: str | None,
    first: str,
    last: str | None,
    kinds: tuple[str, ...],
    only_plan: bool,
    wait: bool,
    format_: str,
) -> None:
    """Write the mailings sent and opened in these windows to the people's Activity History."""
    if wait and only_plan:
        raise click.UsageError("--dry-run writes nothing, so there is nothing to --wait for")
    from writeback_pipeline.salesforce.connection import from_environment

    environment = read_environment(os.environ)
    from_environment(os.environ)  # an incomplete set of variables is refused before anything starts
    open_activity(environment)  # and so is a folder of events that does not exist
    store = open_store(environment)
    settings = store.activity_settings()
    if not settings.activity_enabled:
        raise InputError(
            "mailing activity writeback is disabled; writebacks settings set activity_enabled=true turns it on"
        )
    chosen = tuple(Kind(kind) for kind in kinds) or chosen_kinds(settings)
    if not chosen:
        raise InputError("neither sent nor opened is chosen in the settings: name one with --kind")
    windows = _windows(Occurrence(occurrence or settings.occurrence), first, last or first, settings)
    if only_plan:
        _show_plan(environment, store, settings, windows, chosen, format_)
    else:
        _deliver(environment, store, windows, chosen, format_, wait=wait)


def _windows(occurrence: Occurrence, first: str, last: str, settings: WritebackSettings) -> list[Window]:
    calendar = Calendar(occurrence, settings.zone, settings.week_starts_on)
    try:
        return deliverable_windows(first, last, calendar, datetime.now(UTC))
    except InvalidWindow as error:
        raise InputError(str(error)) from None


def _show_plan(
    environment: Environment,
    store: Store,
    settings: WritebackSettings,
    windows: Sequence[Window],
    kinds: Sequence[Kind],
    format_: str,
) -> None:
    lines = [asdict(each) for each in preview_windows(store, open_activity(environment), settings, windows, kinds)]
    if format_ == "json":
        print_json(lines)
        return
    for line in lines:
        say(
            "{window} {kind}: {events} events of {people} people; Tasks to write: {tasks}, API calls: {api_calls}, "
            "unchanged: {unchanged}, without a recipient: {no_recipient}".format(**line)
        )
    say("Nothing was written.")


def _deliver(
    environment: Environment,
    store: Store,
    windows: Sequence[Window],
    kinds: Sequence[Kind],
    format_: str,
    *,
    wait: bool,
) -> None:
    use_dagster_home(environment)
    runs: dict[Window, list[FinishedRun]] = {window: [] for window in windows}
    _run_each(windows, kinds, runs)
    owed = WritebackFilter(statuses=OPEN_STATUSES, kinds=tuple(kinds), since=windows[0].start, until=windows[-1].end)
    while wait and (left := [window for window in windows if _is_left(runs[window])]):
        for window in left:
            if failure := runs[window][-1].failure:
                message(f"{window.name}: {failure}")
        sleep_until_next_try(store, Purpose.ACTIVITY, owed)
        _run_each(left, kinds, runs)

    results = [(window, runs[window][-1], _statuses(store, runs[window])) for window in windows]
    lines = [
        {
            "window": window.name,
            "run_id": run.run_id,
            "events": run.numbers["events"],
            "statuses": statuses,
            "unchanged": run.numbers["unchanged"],
            "error": run.failure,
        }
        for window, run, statuses in results
    ]
    if format_ == "json":
        print_json(lines)
    else:
        for window, run, statuses in results:
            say(f"{window.name}: {in_words(run, statuses)}")
    failed = any(run.numbers["failed"] or Status.FAILED in statuses for _, run, statuses in results)
    if failed:
        message("Some need a person: writebacks list --status failed")
    sys.exit(max((_exit_code(run) for _, run, _ in results), default=0) or (NEEDS_A_PERSON if failed else 0))


def _run_each(windows: Sequence[Window], kinds: Sequence[Kind], runs: Mapping[Window, list[FinishedRun]]) -> None:
    """Deliver the windows, a run each, and add each to its window's runs."""
    from writeback_pipeline.commands.runs import run_activity  # imports dagster

    left = iter(windows)
    with delivery_bar(len(windows)) as one_more:

        def finished(run: FinishedRun) -> None:
            one_more()
            runs[next(left)].append(run)

        run_activity(windows[0].occurrence, kinds, [partition_of_window(each) for each in windows], finished=finished)


def _is_left(runs: Sequence[FinishedRun]) -> bool:
    return may_go_on(runs) and bool(runs[-1].failure or runs[-1].left)


def _exit_code(run: FinishedRun) -> int:
    """Of one window's run: what may pass needs a look, what will not is wrong configuration."""
    if run.failure is None:
        return NEEDS_A_PERSON if run.failed_checks else 0
    return exit_code_of_trouble(passing=run.passing)


def statuses_of_run(store: Store, run_id: str) -> dict[Status, int]:
    """How many rows the run left in which status; a window may have a hundred thousand, so none is read."""
    counts = Counter[Status]()
    for became in store.became(WritebackFilter(run_id=run_id)):
        counts[became.status] += became.rows
    return dict(counts)


def _statuses(store: Store, runs: Sequence[FinishedRun]) -> dict[Status, int]:
    """The same of several runs: a row is that of the run that moved it last."""
    return dict(sum((Counter(statuses_of_run(store, run.run_id)) for run in runs), Counter[Status]()))


def in_words(run: FinishedRun, statuses: Mapping[Status, int]) -> str:
    """What became of a window, such as `1 failed, 131 written, 20 unchanged`."""
    if run.failure:
        return run.failure
    if run.numbers["left_to_another_run"]:
        return "another run is delivering it"
    became = {status.replace("_", " "): count for status, count in sorted(statuses.items())}
    became["unchanged"] = run.numbers["unchanged"]
    became["failed before"] = run.numbers["failed"] - statuses.get(Status.FAILED, 0)
    return ", ".join(f"{count} {what}" for what, count in became.items() if count > 0) or "nothing to write"
