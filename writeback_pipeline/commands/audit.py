"""`writebacks audit`: who is opted out on one side only, and a repair that only ever opts out."""

import os
import sys
from datetime import UTC, datetime
from uuid import uuid4

import click

from writeback_pipeline.bindings import open_organisation, open_store
from writeback_pipeline.commands.output import NEEDS_A_PERSON, format_option, print_json, say
from writeback_pipeline.commands.trouble import ending_in_words
from writeback_pipeline.delivery.auditing import audit as compare_sides
from writeback_pipeline.delivery.auditing import repair as repair_sides
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.domain.auditing import Comparison
from writeback_pipeline.environment import read_environment

SHOWN = 20
"""Differences that are spelt out."""


@click.command()
@click.option("--repair", is_flag=True, help="Opt out where one side lacks it; nobody is ever opted in.")
@format_option("table", "json")
def audit(repair: bool, format_: str) -> None:
    """Compare who stands opted out here with whom Salesforce shows opted out.

    Exit codes: 0 both sides agree, or were made to; 1 they differ, or Salesforce could not be asked just now.
    """
    environment = read_environment(os.environ)
    store, repaired = open_store(environment), 0
    with ending_in_words(), open_organisation(environment, os.environ) as organisation:
        found = compare_sides(store, organisation, datetime.now(UTC))
        if repair and found.differences:
            repair_sides(store, found, datetime.now(UTC))
            OptOutDelivery(store, organisation, now=lambda: datetime.now(UTC), run_id=f"audit-{uuid4()}").run()
            repaired = found.differences - compare_sides(store, organisation, datetime.now(UTC)).differences
    if format_ == "json":
        print_json(_document(found, repaired))
    else:
        say("\n".join(_lines(found, repaired, repair=repair)))
    sys.exit(NEEDS_A_PERSON if found.differences > repaired else 0)


def _document(found: Comparison, repaired: int) -> dict[str, object]:
    return {
        "agree": found.agree,
        "under_way": found.under_way,
        "gone": found.gone,
        "only_here": [{"salesforce_id": each.salesforce_id, "origins": each.origins} for each in found.only_here],
        "only_there": [
            {"salesforce_id": each.person.salesforce_id, "changed_at": each.changed_at, "changed_by": each.changed_by}
            for each in found.only_there
        ],
        "repaired": repaired,
    }


def _lines(found: Comparison, repaired: int, *, repair: bool) -> list[str]:
    lines = [
        f"{found.agree:,} agree, {found.under_way:,} are under way, {len(found.only_here):,} are opted out only here, "
        f"{len(found.only_there):,} only in Salesforce."
    ]
    if found.gone:
        lines.append(f"{found.gone:,} are opted out here and deleted in Salesforce.")
    lines += [f"  only here: {each.salesforce_id} ({', '.join(each.origins)})" for each in found.only_here[:SHOWN]]
    lines += [f"  only in Salesforce: {each.person.salesforce_id}" for each in found.only_there[:SHOWN]]
    if repair and found.differences:
        lines.append(f"{repaired:,} were opted out on the side that lacked it.")
        if found.differences > repaired:
            lines.append("The rest could not be: `writebacks list --status failed` and `writebacks why ID` tell more.")
    elif found.differences:
        lines.append("writebacks audit --repair opts out where one side lacks it; nobody is ever opted in.")
    return lines
