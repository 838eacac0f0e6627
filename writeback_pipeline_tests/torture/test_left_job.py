"""A worker that is killed while Salesforce works on a large Bulk job: the next one finishes it, and makes no other."""

import resource
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import LEASE, WritebackFilter
from writeback_pipeline.domain.people import ObjectType
from writeback_pipeline.domain.writebacks import Change, Kind, Status
from writeback_pipeline.local_org import admin, records, usage
from writeback_pipeline.local_org.state import Organisation, open_org
from writeback_pipeline_tests import ledgers
from writeback_pipeline_tests.torture import size, tell
from writeback_pipeline_tests.torture.terminal import LONGEST, Terminal

PEOPLE = size(300, 100_000)
CALLS = 40


@pytest.mark.timeout(2 * LONGEST)
def test_a_large_job_whose_worker_was_killed_is_finished_by_the_next_and_nothing_is_sent_again(tmp_path: Path) -> None:
    inside, terminal = open_org(tmp_path / "local_org.sqlite"), Terminal(tmp_path)
    ledger = ledgers.store_of(tmp_path)
    with inside.connection() as connection, records.atomic(connection):
        user = admin.session(connection)
        people = [admin.create(user, "Contact", {"LastName": f"Person {number}"}) for number in range(PEOPLE)]
    now = datetime.now(UTC)
    ledger.enqueue([Change(Kind.UNSUBSCRIBE, ObjectType.CONTACT, person, now) for person in people], now)
    terminal.type("settings", "set", f"bulk_threshold={PEOPLE}")
    with terminal.organisation():
        _kill_while_the_notes_are_written(terminal, inside)
        before = _calls(inside)
        terminal.wait(LEASE + timedelta(seconds=1))
        terminal.deliver("opt-outs")
    calls = _calls(inside) - before
    with inside.connection() as connection:
        notes = Counter(note["ParentId"] for note in connection.execute("SELECT ParentId FROM Note"))
        opted_out = connection.execute("SELECT count(*) FROM Contact WHERE HasOptedOutOfEmail = 1").fetchone()[0]
        jobs = [tuple(job) for job in connection.execute("SELECT operation, object FROM _bulk_jobs ORDER BY id")]
    inside.close()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    lost, twice = len(set(people) - notes.keys()), notes.total() - len(notes)
    tell(f"job left with {PEOPLE:,} Notes: lost {lost}, duplicated {twice}; {calls} calls of the next; peak {peak} MB")
    assert (lost, twice, opted_out) == (0, 0, PEOPLE)
    assert jobs == [("update", "Contact"), ("insert", "Note")]
    assert ledger.count(WritebackFilter(statuses=(Status.WRITTEN,))) == PEOPLE
    assert calls <= CALLS


def _kill_while_the_notes_are_written(terminal: Terminal, inside: Organisation) -> None:
    """A run that does not live to hear what became of the job of the Notes, which Salesforce has all rows of."""
    deadline = time.monotonic() + LONGEST
    with terminal.begin("run", "opt-outs") as run, inside.connection() as connection:
        while not connection.execute("SELECT 1 FROM _bulk_jobs WHERE object = 'Note' AND state <> 'Open'").fetchall():
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        run.kill()


def _calls(inside: Organisation) -> int:
    with inside.connection() as connection:
        return usage.used(connection, time.time())
