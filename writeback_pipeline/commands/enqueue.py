"""`writebacks enqueue`: one change from options, or a file of them, into the pending queue.

What a change may look like is decided in `domain.intake`, for both in the same way.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.output import NEEDS_A_PERSON, InputError, format_option, print_json, say
from writeback_pipeline.commands.progress import read_with_progress
from writeback_pipeline.commands.refusals import warn_of_refusals
from writeback_pipeline.domain.intake import opt_out_kind, parse_change
from writeback_pipeline.domain.keys import KeysTaken
from writeback_pipeline.domain.ledger import EnqueueResult
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import OPT_OUT_KINDS, Change, Kind, utc_text
from writeback_pipeline.environment import read_environment
from writeback_pipeline.intake.changes import BadLine
from writeback_pipeline.intake.rejects import write_rejects

_OPTIONS_OF = {
    "salesforce_id": "--contact or --lead",
    "occurred_at": "--at",
    "reason": "--reason",
    "subscriber_id": "--subscriber",
    "email": "--email",
    "delivery_key": "--key",
}


class _Kinds(click.Group):
    """Says why a kind that is none is not queued."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            try:
                args = [opt_out_kind(args[0]), *args[1:]]
            except ValueError as error:
                raise click.UsageError(str(error), ctx) from None
        return super().resolve_command(ctx, args)


@click.group(cls=_Kinds, invoke_without_command=True)
@click.option("--file", type=click.Path(path_type=Path), help="CSV, JSON Lines or Parquet, by its ending.")
@click.option(
    "--skip-bad",
    "rejects",
    type=click.Path(path_type=Path),
    metavar="REJECTS.csv",
    help="Queue the good lines of the file and write the others to this new file; exit code 1 if there are any.",
)
@format_option("table", "json")
@click.pass_context
def enqueue(ctx: click.Context, file: Path | None, rejects: Path | None, format_: str) -> None:
    """Queue opt-out changes, one or a whole file.

    A file is queued as a whole or, if any line is bad, not at all; every bad line is listed.
    """
    if ctx.invoked_subcommand is None:
        if file is None:
            raise click.UsageError("name a change (enqueue unsubscribe --contact ID) or a file (enqueue --file FILE)")
        _queue_file(file, rejects, format_)
    elif file is not None or rejects is not None:
        raise click.UsageError("a file says itself what it holds: give either --file or one change")
    elif format_ != "table":
        raise click.UsageError(f"put --format {format_} behind {ctx.invoked_subcommand}")


def _queue_one(
    kind: Kind,
    *,
    contact: str | None,
    lead: str | None,
    reason: str | None,
    at: str | None,
    subscriber: str | None,
    email: str | None,
    key: str | None,
    format_: str,
) -> None:
    if (contact is None) == (lead is None):
        raise click.UsageError("say who it is: either --contact ID or --lead ID")
    now = datetime.now(UTC)
    parsed = parse_change(
        {
            "kind": kind,
            "object_type": ObjectType.LEAD if contact is None else ObjectType.CONTACT,
            "salesforce_id": contact or lead or "",
            "occurred_at": utc_text(now) if at is None else at,
            "reason": reason or "",
            "subscriber_id": subscriber or "",
            "email": email or "",
            "delivery_key": key or "",
        },
        now,
    )
    if not isinstance(parsed, Change):
        raise InputError("\n".join(_as_option(problem) for problem in parsed))
    try:
        result = _queue([parsed])
    except KeysTaken as taken:
        raise InputError(f"--key: {taken}") from None
    _show(result, 0, None, format_)


def _as_option(problem: str) -> str:
    column, _, text = problem.partition(": ")
    return f"{_OPTIONS_OF.get(column, column)}: {text}"


def _queue_file(file: Path, rejects: Path | None, format_: str) -> None:
    if rejects is not None and rejects.exists():
        raise InputError(f"{rejects} exists already: move it away or name another file")
    received_at = datetime.now(UTC)
    try:
        _queue_read(file, rejects, format_, *read_with_progress(file, received_at))
    except KeysTaken as taken:  # only the ledger knows these: the lines are looked for once more
        _queue_read(file, rejects, format_, *read_with_progress(file, received_at, taken.problems))


def _queue_read(
    file: Path, rejects: Path | None, format_: str, changes: Sequence[Change], bad_lines: Sequence[BadLine]
) -> None:
    if bad_lines and rejects is None:
        raise InputError(_listed(file, bad_lines))
    if not bad_lines or rejects is None:
        _show(_queue(changes), 0, None, format_)
        return
    try:
        write_rejects(rejects, bad_lines)
    except OSError as error:
        raise InputError(f"{rejects} cannot be written: {error.strerror}. Nothing was queued.") from None
    try:
        result = _queue(changes)
    except BaseException:
        rejects.unlink(missing_ok=True)  # nothing was queued: the next try starts from the same place
        raise
    _show(result, len(bad_lines), rejects, format_)
    sys.exit(NEEDS_A_PERSON)


def _listed(file: Path, bad_lines: Sequence[BadLine]) -> str:
    lines = [f"line {bad.line}: {'; '.join(bad.problems)}" for bad in bad_lines]
    count = "1 bad line" if len(lines) == 1 else f"{len(lines):,} bad lines"
    return "\n".join(
        [f"{file} has {count}; nothing was queued.", *lines, "To queue the others: --skip-bad REJECTS.csv"]
    )


def _queue(changes: Sequence[Change]) -> EnqueueResult:
    store, now = open_store(read_environment(os.environ)), datetime.now(UTC)
    result = store.enqueue(changes, now)
    warn_of_refusals(store, changes, now)
    return result


def _show(result: EnqueueResult, rejected: int, rejects: Path | None, format_: str) -> None:
    if format_ == "json":
        print_json({"added": result.added, "known": result.known, "rejected": rejected})
        return
    text = f"{result.added:,} added, {result.known:,} already known"
    if rejects is not None:
        text += f", {rejected:,} rejected: see {rejects}"
    elif not result.added + result.known:
        text += ": the file has no changes"
    say(text)


_PARAMETERS: list[click.Parameter] = [
    click.Option(["--contact"], metavar="ID", help="The Contact's record id, 15 or 18 characters."),
    click.Option(["--lead"], metavar="ID", help="The Lead's record id, 15 or 18 characters."),
    click.Option(["--reason"], metavar="TEXT", help="Put below the sentence of the note."),
    click.Option(["--at"], metavar="ISO8601", help="When it happened, with an offset or Z; default: now."),
    click.Option(["--subscriber"], metavar="ID", help="The platform's own id of the person."),
    click.Option(["--email"], metavar="ADDRESS", help="The person's address on the platform."),
    click.Option(["--key"], metavar="KEY", help="The platform's own id of the change: it is queued once only."),
    click.Option(
        ["--format", "format_"], type=click.Choice(["table", "json"]), default="table", help="Form of the output."
    ),
]

for _kind in OPT_OUT_KINDS:
    enqueue.add_command(
        click.Command(
            _kind.value, params=_PARAMETERS, callback=partial(_queue_one, _kind), help=f"Queue one {_kind.value}."
        )
    )
