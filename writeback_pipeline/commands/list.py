"""`writebacks list`: the Writeback List, newest first, as a table to look at or as JSON or CSV to work with."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from enum import StrEnum
from io import TextIOWrapper
from itertools import chain
from typing import Any

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.output import format_option, message
from writeback_pipeline.commands.tables import plain, table, terminal_width
from writeback_pipeline.csv_cells import write_rows
from writeback_pipeline.domain.intake import instant
from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Kind, Status, Writeback, utc_text
from writeback_pipeline.environment import read_environment
from writeback_pipeline.store.store import Store

COLUMNS = Writeback._fields
"""The documented names, in order."""

TABLE_LIMIT = 50
"""Rows of a table unless told otherwise."""

WIDTH_OF_A_PIPE = 120
"""Characters of a line where nobody tells how many there is room for: what matters most, as at a terminal."""

LINES_AT_ONCE = 100

_TEXTS = ("advice", "reason", "error_message", "email", "delivery_key", "subscriber_id")
_BY_IMPORTANCE = (
    "id", "status", "kind", "salesforce_id", "occurred_at", "error_code", "flag_result", "reason", "email",
    "object_type", "attempts", "next_attempt_at", "redirected_from", "advice", "error_message", "written_at",
)  # fmt: skip


def _moment(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    """An ISO date, which is its midnight in UTC, or a time with an offset."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            return instant(text)
        except ValueError as error:
            raise click.BadParameter(f"{error}; or give a date, such as 2026-11-23") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _values_of(vocabulary: type[StrEnum]) -> click.Choice[str]:
    return click.Choice([member.value for member in vocabulary])


@click.command("list")
@click.option("--status", "statuses", multiple=True, type=_values_of(Status), help="May be repeated.")
@click.option("--kind", "kinds", multiple=True, type=_values_of(Kind), help="May be repeated.")
@click.option("--object", "objects", multiple=True, type=_values_of(ObjectType), help="May be repeated.")
@click.option("--error-code", "error_codes", metavar="CODE", multiple=True, help="May be repeated.")
@click.option("--person", metavar="ID-or-email", help="Record id of either length, e-mail address or subscriber.")
@click.option("--text", help="Part of an e-mail address, a reason or an error; or a whole id.")
@click.option("--run", "run_id", metavar="RUN_ID", help="What that run settled.")
@click.option("--since", metavar="TIME", callback=_moment, help="Events from this date or time on.")
@click.option("--until", metavar="TIME", callback=_moment, help="Events before this date or time.")
@click.option("--limit", type=click.IntRange(min=1), help=f"Rows at most; a table shows {TABLE_LIMIT} by default.")
@format_option("table", "json", "csv")
def list_(
    statuses: Sequence[str],
    kinds: Sequence[str],
    objects: Sequence[str],
    error_codes: Sequence[str],
    person: str | None,
    text: str | None,
    run_id: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    format_: str,
) -> None:
    """Show the Writeback List, newest first."""
    only = WritebackFilter(
        statuses=tuple(map(Status, statuses)),
        kinds=tuple(map(Kind, kinds)),
        object_types=tuple(map(ObjectType, objects)),
        error_codes=tuple(error_codes),
        person=person,
        text=text or None,
        run_id=run_id,
        since=since,
        until=until,
        limit=limit or (TABLE_LIMIT if format_ == "table" else None),
    )
    _PRINTERS[format_](open_store(read_environment(os.environ)), only)


_AT_ONCE = 5_000
"""Rows written at a time: many enough to be quick, few enough not to hold the whole text twice."""


def _print_json(store: Store, only: WritebackFilter) -> None:
    objects = store.listing_json(only)
    write = sys.stdout.buffer.write  # JSON is UTF-8, whatever the terminal speaks
    write(b"[")
    for start in range(0, len(objects), _AT_ONCE):
        some = ",\n ".join(objects[start : start + _AT_ONCE])
        write(f",\n {some}".encode() if start else some.encode())
    write(b"]\n")


def _print_csv(store: Store, only: WritebackFilter) -> None:
    rows = store.listing_values(only)
    text = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")  # as JSON is
    write_rows(text, chain([COLUMNS], rows))
    text.detach()  # standard output stays open


def _print_table(store: Store, only: WritebackFilter) -> None:
    rows = store.writebacks(only)
    columns = {name: [_cell(getattr(row, name)) for row in rows] for name in COLUMNS}
    width = terminal_width() or WIDTH_OF_A_PIPE
    text, left_out = table(columns, width, texts=_TEXTS, by_importance=_BY_IMPORTANCE)
    lines = text.split("\n") if rows else []
    for start in range(0, len(lines), LINES_AT_ONCE):  # the next write notices a reader that left in mid write
        click.echo("\n".join(lines[start : start + LINES_AT_ONCE]))
    if not rows:
        message("No writebacks match.")
    if left_out:
        message(f"Not shown for want of room: {', '.join(left_out)}. --format json or csv has everything.")
    for code, advice in dict.fromkeys((row.error_code, row.advice) for row in rows if row.advice):
        message(plain(f"{code or 'Advice'}: {advice}"))  # in full, once for all rows that it is meant for
    hidden = store.count(replace(only, limit=None)) - len(rows) if len(rows) == only.limit else 0
    if hidden:
        message(f"{hidden:,} more: --limit N shows more of them, --format json or csv all.")


def _cell(value: Any) -> str:
    """To the second, which is as precise as anybody reads."""
    if isinstance(value, datetime):
        return utc_text(value.replace(microsecond=0))
    return "" if value is None else str(value)


_PRINTERS: dict[str, Callable[[Store, WritebackFilter], None]] = {
    "table": _print_table,
    "json": _print_json,
    "csv": _print_csv,
}
