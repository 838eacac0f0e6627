"""`writebacks alerts`: look at the pipeline's health and tell whom it concerns, without Dagster; test the channels.

What is made by a timer outside of Dagster, which notices that Dagster is gone.
"""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import click

from writeback_pipeline.bindings import open_channels, open_store
from writeback_pipeline.commands.output import NEEDS_A_PERSON, InputError, format_option, message, print_json, say
from writeback_pipeline.delivery.watching import Watch, watch
from writeback_pipeline.domain.alerts import duration
from writeback_pipeline.domain.incidents import Incident
from writeback_pipeline.environment import read_environment
from writeback_pipeline.redaction import redacted


@click.group()
def alerts() -> None:
    """What is wrong with the pipeline, and who was told of it."""


@alerts.command()
@format_option("table", "json")
def check(format_: str) -> None:
    """Look once, tell the channels what they do not know yet, and list what is wrong.

    Needs no Dagster, so a timer can run it and notice that Dagster is gone; what only Dagster knows, failed runs and
    red checks, is shown as its sensor last saw it. Exit codes: 0 nothing is wrong; 1 something is; 2 the
    configuration is.
    """
    channels = open_channels(os.environ)
    found = watch(open_store(read_environment(os.environ)), channels, lambda: datetime.now(UTC))
    if format_ == "json":
        print_json({"incidents": [_document(each) for each in found.incidents], "told": found.told})
    else:
        say("\n".join(_lines(found, datetime.now(UTC), channels.alerting.runbook)))
    for channel, why in found.trouble.items():
        message(f"Not told by {channel}: {why}. The next look tries again.")
    if not channels.channels:
        message("Nobody is told: neither WRITEBACK_ALERT_WEBHOOK nor WRITEBACK_ALERT_SMTP_URL is set.")
    sys.exit(NEEDS_A_PERSON if found.incidents else 0)


@alerts.command()
def test() -> None:
    """Send a test message to each channel. Exit codes: 0 all took it; 1 one did not; 2 there is none."""
    channels = open_channels(os.environ)
    if not channels.channels:
        raise InputError(
            "no channel is set: set WRITEBACK_ALERT_WEBHOOK, or WRITEBACK_ALERT_SMTP_URL with "
            "WRITEBACK_ALERT_MAIL_FROM and WRITEBACK_ALERT_MAIL_TO"
        )
    failed = False
    for channel in channels.channels:
        why_not = channels.test(channel)
        failed |= why_not is not None
        say(f"{channel}: {why_not or 'sent'}")
    sys.exit(NEEDS_A_PERSON if failed else 0)


def _lines(found: Watch, now: datetime, runbook: str) -> Iterator[str]:
    for each in found.incidents:
        yield f"{each.severity:<8} {each.title}, for {duration(now - each.opened_at)}: {redacted(each.words)}"
        yield f"{'':<8} {_told(each)}. What to do: {runbook}#{each.section}"
    if not found.incidents:
        yield "nothing is wrong"


def _told(incident: Incident) -> str:
    known = [f"told by {name}" for name, told in sorted(incident.told.items()) if told.severity is not None]
    failed = [f"not told by {name}: {told.trouble}" for name, told in sorted(incident.told.items()) if told.trouble]
    return "; ".join(known + failed) or "told to nobody yet"


def _document(incident: Incident) -> dict[str, object]:
    return {
        "key": incident.key,
        "rule": incident.rule,
        "severity": incident.severity,
        "words": redacted(incident.words),
        "opened_at": incident.opened_at,
        "last_seen": incident.last_seen,
        "told": {
            name: {"severity": told.severity, "at": told.at, "trouble": told.trouble}
            for name, told in sorted(incident.told.items())
        },
    }
