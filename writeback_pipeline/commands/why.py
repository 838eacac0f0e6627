"""`writebacks why`: one person's whole story, in time order, in words."""

import os
from dataclasses import asdict
from typing import Any

import click

from writeback_pipeline.bindings import open_store
from writeback_pipeline.commands.output import InputError, format_option, print_json, say
from writeback_pipeline.commands.tables import plain
from writeback_pipeline.domain.story import Facts, heading, moments, standing
from writeback_pipeline.domain.writebacks import utc_text
from writeback_pipeline.environment import read_environment


@click.command()
@click.argument("who", metavar="ID-OR-EMAIL")
@format_option("text", "json")
def why(who: str, format_: str) -> None:
    """Tell one person's whole story, in time order.

    Events, what was decided, every call and its answer, opt-outs, conversions and merges; then where it stands. The
    person is named by a record id of 15 or 18 characters, an earlier one too, by e-mail address or by subscriber. An
    address that several people share gives several stories.
    """
    store = open_store(read_environment(os.environ))
    stories = store.story(who)
    if not stories:
        gone = "".join(
            f"; {each.person or 'somebody without a record'} was until {utc_text(each.at)}, when the name was erased"
            for each in store.erased(who)
        )
        raise InputError(
            f"nobody is known as {plain(who)}{gone}: give a record id of 15 or 18 characters, an e-mail address or a "
            "subscriber as the platform queued it"
        )
    if format_ == "json":
        print_json({"stories": [_document(each) for each in stories]})
    else:
        say("\n\n".join(_text(each) for each in stories))


def _document(facts: Facts) -> dict[str, Any]:
    return {
        "people": [person._asdict() for person in facts.people],
        "moments": [asdict(moment) for moment in moments(facts)],
        "now": standing(facts),
        "writebacks": [row._asdict() for row in facts.writebacks],
    }


def _text(facts: Facts) -> str:
    lines = [heading(facts), ""]
    lines += [f"{utc_text(moment.at):<28}{plain(moment.told)}" for moment in moments(facts)]
    state = standing(facts)
    return "\n".join(lines + (["", "Now", *(f"  {plain(line)}" for line in state)] if state else []))
