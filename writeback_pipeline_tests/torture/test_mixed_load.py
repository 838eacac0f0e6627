"""Writebacks of all kinds while rows are locked, answers lost, a session ends and Salesforce is out for a while.

As a user has it: the organisation is a process of its own, faults are armed and writebacks delivered by the command
line, a command for the opt-outs and one for each kind of activity, which do not end before everything is written. In a
run of the suite their clocks jump over the waits; in full nobody hurries.
"""

import csv
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from writeback_pipeline.domain.writebacks import Kind
from writeback_pipeline.local_org import admin, faults, records
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.mailings import Mailings
from writeback_pipeline_tests.torture import ALL, SEED, listed, size, tell
from writeback_pipeline_tests.torture.activity import Newsletter
from writeback_pipeline_tests.torture.stories import Story
from writeback_pipeline_tests.torture.terminal import LONGEST, Terminal
from writeback_pipeline_tests.torture.truth import Event, Platform

PEOPLE = size(300, 5_000)
OPT_OUTS = 2 * PEOPLE
DAYS = ("2025-11-20", "2025-11-21")

FAULTS = (
    "row_lock probability=0.02 seed={seed}",
    "drop_after path=/composite|/jobs/ingest every={nth} times=4",
    "expired_session path=/composite|/jobs/ingest every=4 times=1",
    "unavailable path=/composite|/jobs/ingest every={nth} times=3",
)
"""Of the rows 2 % are locked. Of the calls in which rows go, or are looked at, far more than 1 % are carried out and
never answered: every tenth, and in a small load, which has few, every fifth."""


@pytest.mark.timeout(4 * LONGEST)
def test_mixed_writebacks_are_all_written_once_by_a_command_and_its_retries(tmp_path: Path) -> None:
    chance, terminal, platform = random.Random(SEED), Terminal(tmp_path), Platform()
    people = _people(tmp_path / "local_org.sqlite")
    mailings = Mailings(tmp_path / "mailing_activity")
    kinds = ((Kind.SENT, DAYS[0]), (Kind.SENT, DAYS[1]), (Kind.OPENED, DAYS[0]))
    newsletters = [Newsletter(mailings, kind, day) for kind, day in kinds]
    for newsletter, whom in zip(newsletters, (people, people[::2], people[1::2]), strict=True):
        newsletter.reaches(whom, chance)
    platform.events = Story(chance, people).goes_on(OPT_OUTS, datetime.now(UTC))
    terminal.type("enqueue", "--file", str(_changes(platform.events, tmp_path / "changes.csv")))
    terminal.type("settings", "set", f"bulk_threshold={PEOPLE}", "opened=true")  # the Tasks of one day go as a job
    with terminal.organisation():
        for fault in FAULTS:
            terminal.type("org", "faults", "arm", *fault.format(seed=SEED, nth=10 if ALL else 5).split())
        said = terminal.deliver("opt-outs")
        said += terminal.deliver("activity", "--occurrence", "daily", "--from", DAYS[0], "--to", DAYS[1])
    ledger, inside = ledgers.store_of(tmp_path), open_org(tmp_path / "local_org.sqlite")
    opt_outs = platform.judge(ledger, inside)
    tasks = [newsletter.judge(ledger, inside) for newsletter in newsletters]
    with inside.connection() as connection:
        struck = faults.injected(connection)
        jobs = connection.execute("SELECT count(*) FROM _bulk_jobs WHERE processed > 0").fetchone()[0]
    inside.close()
    tell(f"mixed load, ledger in {ledgers.STORE}: opt-outs {opt_outs}; Tasks {'; '.join(map(str, tasks))}")
    tell(f"         faults {listed(struck)}; {said.count('the next run is at')} runs that waited; {jobs} Bulk jobs")
    assert opt_outs.clean
    assert all(each.clean for each in tasks)
    assert struck.keys() == {"row_lock", "drop_after", "expired_session", "unavailable"}
    assert jobs


def _people(organisation: Path) -> list[str]:
    """A new organisation with people, every third a Lead."""
    inside = open_org(organisation)
    with inside.connection() as connection, records.atomic(connection):
        user = admin.session(connection)
        people = [
            admin.create(user, "Lead", {"LastName": f"Person {n}", "Company": f"Company {n}"})
            if n % 3 == 0
            else admin.create(user, "Contact", {"LastName": f"Person {n}"})
            for n in range(PEOPLE)
        ]
    inside.close()
    return people


def _changes(events: Sequence[Event], path: Path) -> Path:
    """The events as a file that the queue takes."""
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(("kind", "object_type", "salesforce_id", "occurred_at", "reason", "delivery_key"))
        for event in events:
            change = event.change
            at = change.occurred_at.isoformat()
            lines.writerow((change.kind, change.object_type, event.person, at, change.reason, change.delivery_key))
    return path
