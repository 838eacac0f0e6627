"""What a message says: incidents in words, as plain text. Nothing of ours that goes to people is written elsewhere.

Words of incidents may hold what Salesforce answered: they pass the redactor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from writeback_pipeline.domain.alerts import duration, instant
from writeback_pipeline.domain.incidents import Incident, News, Notice
from writeback_pipeline.hints import typed
from writeback_pipeline.redaction import redacted

MOST = 20
"""Incidents that one message spells out."""

RUNBOOK = "docs/runbook.md"

_NEWS = {News.OPENED: "", News.WORSE: "worse: ", News.REMINDER: "still: ", News.OVER: "over: "}


@dataclass(frozen=True, slots=True)
class Message:
    """A subject of one line and a body of several."""

    subject: str
    body: str


def message(notices: Sequence[Notice], installation: str, runbook: str = RUNBOOK) -> Message:
    """One message for all of the notices, the worst first."""
    ranked = sorted(notices, key=lambda each: (each.news is News.OVER, -each.incident.severity.rank, each.incident.id))
    blocks = [_block(notice, runbook) for notice in ranked[:MOST]]
    if len(ranked) > MOST:
        blocks.append(typed(f"and {len(ranked) - MOST} more: writebacks alerts check"))
    more = f" (and {len(ranked) - 1} more)" if len(ranked) > 1 else ""
    return Message(redacted(f"{_headline(ranked[0])}{more} - {installation}"), "\n\n".join(blocks))


def trial_message(installation: str) -> Message:
    """Shows that a channel works."""
    return Message(
        redacted(f"[test] Alerts of writebacks reach you - {installation}"),
        "This is the test that somebody asked for with writebacks alerts test. Nothing is wrong.",
    )


def _headline(notice: Notice) -> str:
    incident = notice.incident
    level = "over" if notice.news is News.OVER else incident.severity.value
    return f"[{level}] {incident.title}"


def _words(incident: Incident) -> str:
    return typed(redacted(incident.words)).rstrip(".") + "."


def _block(notice: Notice, runbook: str) -> str:
    incident = notice.incident
    if incident.closed_at is not None:
        lasted = duration(incident.closed_at - incident.opened_at)
        return f"{_headline(notice)}: over after {lasted}. It was: {_words(incident)}"
    told = f"{_headline(notice)}: {_NEWS[notice.news]}{_words(incident)}"
    look = f"Look: {typed(incident.command)}"
    return f"{told}\nSince {instant(incident.opened_at)}. {look}\nWhat to do: {runbook}#{incident.section}"
