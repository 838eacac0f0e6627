"""`writebacks check`: everything that delivery needs, looked at before the first write; nothing is changed by it."""

import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from writeback_pipeline.bindings import open_organisation
from writeback_pipeline.commands.check_platform import alert_channels, events, platform_database
from writeback_pipeline.commands.output import NEEDS_A_PERSON, format_option, print_json, say
from writeback_pipeline.commands.tables import plain
from writeback_pipeline.domain.budget import Purpose
from writeback_pipeline.domain.findings import Finding, Level, failures, warnings
from writeback_pipeline.environment import Environment, read_environment
from writeback_pipeline.salesforce.connection import ConfigurationError

WRONG_CONFIGURATION = 2
"""Exit code: something is set up wrongly, and stays so until a person changes it."""


@click.command()
@format_option("table", "json")
def check(format_: str) -> None:
    """Look at everything that delivery needs, and change nothing.

    A line for each: the platform database, the mailing events, the alerts, the Salesforce organisation, Dagster; ok,
    warning or failure, with the remedy. Exit codes: 0 nothing is in the way; 1 something is that may pass by itself;
    2 something is set up wrongly.
    """
    findings = list(_findings(read_environment(os.environ), datetime.now(UTC)))
    if format_ == "json":
        print_json(_document(findings))
    else:
        say(_text(findings))
    sys.exit(exit_code(findings))


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without failures, 1 while all of them may pass, 2 otherwise."""
    failed = failures(findings)
    if not failed:
        return 0
    return NEEDS_A_PERSON if all(finding.passing for finding in failed) else WRONG_CONFIGURATION


def _findings(environment: Environment, now: datetime) -> Iterator[Finding]:
    database, settings, pinned = platform_database(environment, now)
    yield from database
    yield events(environment, settings, now)
    yield alert_channels(os.environ)
    try:
        # A ledger that cannot be used, or is not there yet, keeps nobody from looking.
        countable = environment.has_database and not failures(database)
        purpose = Purpose.OPT_OUTS if countable else None
        with open_organisation(environment, os.environ, purpose) as organisation:
            yield from organisation.preflight(settings, pinned, datetime.now(UTC))  # the database may have taken long
    except ConfigurationError as error:
        yield Finding("Salesforce", "connection", Level.FAILURE, str(error), "Correct the SALESFORCE_ variables.")
    yield from _dagster(environment)


def _dagster(environment: Environment) -> Iterator[Finding]:
    folder = Path(os.environ.get("DAGSTER_HOME") or environment.dagster_home)
    if not (folder / "dagster.yaml").is_file():
        told = f"no instance in {folder}: nothing is delivered by itself"
        remedy = "Start make dev, or dagster-daemon under a supervisor."
        yield Finding("Dagster", "instance", Level.WARNING, told, remedy)
        return
    from writeback_pipeline.commands.check_dagster import instance_findings  # imports dagster

    yield from instance_findings(folder)


def _document(findings: Sequence[Finding]) -> dict[str, object]:
    return {
        "failures": len(failures(findings)),
        "warnings": len(warnings(findings)),
        "findings": [
            {"area": each.area, "subject": each.subject, "level": each.level, "told": each.told, "remedy": each.remedy}
            for each in findings
        ],
    }


def _text(findings: Sequence[Finding]) -> str:
    areas, subjects = max(len(each.area) for each in findings), max(len(each.subject) for each in findings)
    lines = []
    for each in findings:
        lines.append(f"{each.level:<8} {each.area:<{areas}}  {each.subject:<{subjects}}  {plain(each.told)}")
        if each.remedy:
            lines.append(f"{'':<8} {plain(each.remedy)}")
    good = len(findings) - len(failures(findings)) - len(warnings(findings))
    lines += ["", f"{good} ok, {len(warnings(findings))} warnings, {len(failures(findings))} failures"]
    return "\n".join(lines)
