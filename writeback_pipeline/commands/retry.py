"""`writebacks retry`: failed and waiting writebacks go back to pending, once their cause is mended."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.operator import operator
from writeback_pipeline.commands.output import NEEDS_A_PERSON, InputError, format_option, message, print_json, say
from writeback_pipeline.domain.ledger import Asked
from writeback_pipeline.domain.writebacks import RETRYABLE, Status
from writeback_pipeline.environment import read_environment
from writeback_pipeline.hints import typed
from writeback_pipeline.store.queue import UnknownWriteback


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1, type=click.IntRange(min=1))
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in RETRYABLE]),
    help="All of this status, but for what an undo took back.",
)
@format_option("table", "json")
def retry(ids: Sequence[int], statuses: Sequence[str], format_: str) -> None:
    """Put failed and waiting writebacks back to pending.

    What an undo took back goes only by its id.

    Exit code 1 when some of those named could not go back, 2 when none could or an id is nobody's.
    """
    if not ids and not statuses:
        raise click.UsageError(typed("say which: one or more ids (writebacks list shows them), or --status failed"))
    try:
        asked = Asked(operator(), datetime.now(UTC))
        store = open_store(read_environment(os.environ))
        result = store.retry(ids=ids, statuses=tuple(map(Status, statuses)), asked=asked)
    except UnknownWriteback as error:
        raise InputError(str(error)) from None
    refusals = [f"{id_}: {why}" for id_, why in sorted(result.refused.items())]
    if refusals and not result.retried:
        raise InputError("\n".join(refusals))
    if format_ == "json":
        print_json({"retried": result.retried, "refused": {str(id_): why for id_, why in result.refused.items()}})
    else:
        say(f"{len(result.retried):,} back to pending")
    if result.left_undone:
        message(
            f"{result.left_undone:,} that an undo took back stay as they are; by its id one is sent again: "
            "writebacks retry ID"
        )
    for refusal in refusals:
        message(refusal)
    sys.exit(NEEDS_A_PERSON if refusals else 0)
