"""`writebacks erase`: a person's names and words leave the ledger and its archives; their opt-out stays honoured."""

import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.operator import operator
from writeback_pipeline.commands.output import InputError, format_option, message, print_json, say
from writeback_pipeline.commands.tables import plain
from writeback_pipeline.domain.erasure import NotErasable, PersonalData
from writeback_pipeline.domain.ledger import Asked
from writeback_pipeline.environment import read_environment

ELSEWHERE = (
    "Not reached from here: the person, Notes and Tasks in Salesforce, the platform's own data and its mailing events, "
    "and backups of this database. Erase at the platform first, so that nothing of it is queued again."
)


@click.command()
@click.argument("who", metavar="PERSON_ID")
@click.option("--dry-run", is_flag=True, help="Show what would be erased; change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask first; asked is only at a terminal.")
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that prune has written to, if not archive in the home; may be repeated.",
)
@format_option("text", "json")
def erase(who: str, dry_run: bool, yes: bool, archives: tuple[Path, ...], format_: str) -> None:
    """Erase a person's names and words; their opt-out goes on being honoured.

    PERSON_ID is a record id of 15 or 18 characters, or a name that only one person goes by: an e-mail address or a
    subscriber. Names, reasons and what Salesforce answered go, from the ledger and from the archives of prune. Kinds,
    times, statuses and Salesforce ids stay, so that an opt-out is honoured and can be proved, and a salted hash of each
    name. At a terminal it is shown and confirmed first; it cannot be taken back.
    """
    from writeback_pipeline.store import archive  # imports pyarrow

    environment = read_environment(os.environ)
    store, asked = open_store(environment), Asked(operator(), datetime.now(UTC))
    folders = archives or (environment.home / "archive",)
    try:
        data = store.personal_data(who, asked.at)
        if not (dry_run or yes) and sys.stdin.isatty() and sys.stdout.isatty():
            message("\n".join((*_lines(data), "")))
            click.confirm("Erase this for good?", abort=True, err=True)
        # The archives first: whoever is known by a name only would not be found again if this broke off.
        files = archive.files_of(folders, data) if dry_run else archive.erase(folders, data)
        if not dry_run:
            data = store.erase(who, asked)
    except NotErasable as error:
        raise InputError(plain(str(error))) from None
    if format_ == "json":
        print_json({"erased": not dry_run, **asdict(data) | {"names": len(data.names)}, "archive_files": len(files)})
        return
    end = "would be erased. Nothing was changed." if dry_run else "erased; who asked for it is kept."
    say("\n".join((*_lines(data), f"{len(files)} archive files", end, ELSEWHERE)))


def _lines(data: PersonalData) -> list[str]:
    who = ", once ".join(data.people) or "Somebody without a Salesforce record"
    stands = "an opt-out stands, and goes on being honoured" if data.opted_out else "no opt-out stands"
    shared = [f"Others share a name, and stay as they are: {', '.join(data.others)}"] if data.others else []
    return [
        f"{who}: {stands}",
        f"{len(data.writeback_ids):,} writebacks with {data.attempts:,} attempts, {len(data.names)} names; "
        f"{data.records:,} Notes and Tasks in Salesforce",
        *shared,
    ]
