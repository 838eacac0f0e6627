"""`writebacks prune`: old mailing activity leaves the ledger for an archive; opt-outs never do."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.output import InputError, format_option, message, print_json, say
from writeback_pipeline.domain.retention import Prunable, TooRecent, cut_off
from writeback_pipeline.domain.writebacks import utc_text
from writeback_pipeline.environment import read_environment
from writeback_pipeline.store.store import Store

BATCH = 20_000
"""Rows that are archived and removed at a time; between batches others get at the database."""


@click.command()
@click.option(
    "--before", "day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Windows that ended before this day."
)
@click.option(
    "--archive", type=click.Path(file_okay=False, path_type=Path), help="Folder; default: archive in the home."
)
@click.option("--yes", is_flag=True, help="Archive and remove; without it only tell what would be removed.")
@format_option("text", "json")
def prune(day: datetime, archive: Path | None, yes: bool, format_: str) -> None:
    """Move old, settled mailing activity out of the ledger.

    Its rows and their attempts are written to Parquet files first, then removed. Opt-outs, what is owed or failed, and
    activity of the last weeks stay.
    """
    environment = read_environment(os.environ)
    store, now = open_store(environment), datetime.now(UTC)
    try:
        before = cut_off(day.date(), store.settings().zone, now)
    except TooRecent as error:
        raise InputError(str(error)) from None
    found = store.prunable(before, now)
    if not yes:
        _tell(found, format_, removed=False)
        return
    folder = (archive or environment.home / "archive") / f"pruned-{now:%Y%m%dT%H%M%SZ}"
    if found.rows:
        _move(store, before, now, folder)
    _tell(found, format_, removed=True, folder=folder if found.rows else None)


def _move(store: Store, before: datetime, now: datetime, folder: Path) -> None:
    from writeback_pipeline.store import archive  # imports pyarrow

    number = 0
    while True:
        writebacks, attempts = store.oldest_prunable(before, now, BATCH)
        if not writebacks.rows:
            return
        number += 1
        archive.write(folder / f"attempts-{number:04}.parquet", attempts)
        archive.write(folder / f"writebacks-{number:04}.parquet", writebacks)
        removed = store.prune(before, now, [row[0] for row in writebacks.rows])
        message(f"{removed:,} rows archived and removed")


def _tell(found: Prunable, format_: str, *, removed: bool, folder: Path | None = None) -> None:
    if format_ == "json":
        print_json(
            {"removed": removed, "rows": found.rows, "attempts": found.attempts, "first": found.first,
             "last": found.last, "archive": folder and str(folder)}
        )  # fmt: skip
        return
    if not found.rows:
        say("Nothing is old enough to be removed.")
        return
    assert found.first
    assert found.last
    counts = " and ".join(f"{count:,} {kind}" for kind, count in found.rows.items())
    windows = f"windows from {utc_text(found.first)} to {utc_text(found.last)}"
    what = f"{counts} rows with {found.attempts:,} attempts, of {windows}"
    say(f"Removed {what}. They are in {folder}." if removed else f"{what} would be archived and removed.")
    if not removed:
        say("Nothing was changed: add --yes to do it. Opt-outs and their attempts always stay.")
