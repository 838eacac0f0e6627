"""What `--wait` does between the runs of one command: it sleeps until the next try.

Whether anything is left to wait for is the command's own question.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from writeback_pipeline.commands.output import message
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.store.store import Store

if TYPE_CHECKING:
    from writeback_pipeline.commands.runs import FinishedRun

PAUSE = timedelta(seconds=30)
"""Shortest time between two runs of one command."""

FAILURES = 8
"""Runs that may fail in a row before the command gives up, as a writeback has so many tries."""

wait_option = click.option(
    "--wait", is_flag=True, help="Go on until nothing is owed: what waits is tried again when it is due."
)


def sleep_until_next_try(store: Store, purpose: Purpose, owed: WritebackFilter) -> None:
    """Sleep until the first of what the filter shows is due and calls may be made, and say until when."""
    now = datetime.now(UTC)
    rows = store.became(owed)
    due = min((each.due_at for each in rows), default=now)
    hold = store.hold(purpose, now)
    until = max(now + PAUSE, due, hold.until if hold else now)
    message(
        f"{sum(each.rows for each in rows):,} are owed; the next run is at {until:%Y-%m-%d %H:%M:%S} UTC."
        + (f" {hold.words}" if hold else "")
    )
    time.sleep((until - now).total_seconds())


def may_go_on(runs: "Sequence[FinishedRun]") -> bool:
    """Whether another run may do better than the last of these: not after what only a person can mend."""
    latest = runs[-FAILURES:]
    failed = all(run.failure is not None for run in latest)
    return runs[-1].failure is None or (runs[-1].passing and not (failed and len(latest) == FAILURES))
