"""A data engineer at a terminal: real processes, real Dagster runs, the embedded organisation."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from writeback_pipeline.domain.ledger import WritebackFilter
from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org import admin
from writeback_pipeline.local_org.sample import people
from writeback_pipeline.local_org.state import open_org
from writeback_pipeline_tests import ledgers

WRITEBACKS = Path(sys.executable).parent / "writebacks"
PERSON = people().contacts[0].id

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def variables(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
    return kept | ledgers.variables(home)


@pytest.fixture
def run(variables: dict[str, str]) -> Run:
    def writebacks(*arguments: str, expect: int = 0, **more: str) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [WRITEBACKS, *arguments], env=variables | more, capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == expect, done.stderr
        return done

    return writebacks


def notes_in(home: Path) -> list[tuple[str, str]]:
    organisation = open_org(home / "local_org.sqlite")
    try:
        with organisation.connection() as connection:
            return [tuple(row) for row in connection.execute("SELECT ParentId, Title FROM Note WHERE IsDeleted = 0")]
    finally:
        organisation.close()


def test_one_person_from_the_queue_to_what_a_salesforce_user_sees(run: Run, home: Path) -> None:
    at = "2026-11-23T09:05:07Z"
    run("enqueue", "unsubscribe", "--contact", PERSON, "--at", at, "--reason", "Bad Email")
    plan = run("run", "opt-outs", "--dry-run").stdout
    assert "unchecked -> checked" in plan
    assert notes_in(home) == []
    assert "1 written" in run("run", "opt-outs").stdout
    page = run("org", "show", PERSON).stdout
    assert "Contact unsubscribed from Informz on 11/23/26 09:05:07 AM" in page
    assert "Reason: Bad Email" in page
    (row,) = json.loads(run("list", "--format", "json").stdout)
    assert (row["status"], row["flag_result"]) == ("written", "set")
    run("enqueue", "resubscribe", "--contact", PERSON[:15], "--at", "2026-11-23T10:00:00Z")
    report = json.loads(run("run", "opt-outs", "--format", "json").stdout)
    assert report["flags"] == {"cleared": 1}
    assert "nothing was due" in run("run", "opt-outs").stdout


def test_two_runs_at_the_same_moment_write_nothing_twice(run: Run, home: Path, variables: dict[str, str]) -> None:
    lines = ["kind,object_type,salesforce_id,occurred_at"]
    lines += [f"unsubscribe,Contact,{contact.id},2026-11-20T10:00:00Z" for contact in people().contacts[:600]]
    (home.parent / "changes.csv").write_text("\n".join(lines))
    run("enqueue", "--file", str(home.parent / "changes.csv"))
    at_once = [
        subprocess.Popen(
            [WRITEBACKS, "run", "opt-outs"], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=280) for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0], said
    notes = notes_in(home)
    assert len(notes) == len(set(notes)) == 600
    assert ledgers.store_of(home).count(WritebackFilter(statuses=(Status.WRITTEN,))) == 600


def test_a_person_opted_out_in_salesforce_is_resubscribed_only_there(run: Run) -> None:
    person = people().opted_out_in_salesforce[0]
    run("enqueue", "resubscribe", f"--{person.object_type.lower()}", person.id)
    assert "1 refused" in run("run", "opt-outs").stdout
    (row,) = json.loads(run("list", "--status", "refused", "--format", "json").stdout)
    assert "in Salesforce" in row["advice"]
    page = json.loads(run("org", "show", person.id, "--format", "json").stdout)
    assert page["email_opt_out"] is True
    assert page["notes"] == []


def test_trouble_with_the_configuration_is_told_by_name_and_changes_nothing(run: Run) -> None:
    run("enqueue", "unsubscribe", "--contact", PERSON)
    told = run("run", "opt-outs", expect=2, SALESFORCE_URL="https://example.my.salesforce.com").stderr
    assert "SALESFORCE_CLIENT_ID" in told
    refused = run(
        "run",
        "opt-outs",
        expect=1,
        SALESFORCE_URL="http://127.0.0.1:9",
        SALESFORCE_CLIENT_ID="local",
        SALESFORCE_CLIENT_SECRET="planted-secret",
    )
    assert "Traceback" not in refused.stderr
    assert "planted-secret" not in refused.stderr + refused.stdout
    (row,) = json.loads(run("list", "--format", "json").stdout)
    assert row["status"] == "pending"


def tick_the_box(home: Path, checked: bool) -> None:
    """What a Salesforce administrator does to the person."""
    organisation = open_org(home / "local_org.sqlite")
    try:
        with organisation.connection() as connection:
            admin.edit(admin.session(connection), PERSON, {"HasOptedOutOfEmail": checked})
    finally:
        organisation.close()


def test_what_salesforce_opted_out_is_opted_in_there_and_nowhere_else(run: Run, home: Path) -> None:
    run("run", "sync")
    tick_the_box(home, True)
    assert "1 by salesforce" in run("run", "sync").stdout
    assert "in Salesforce" in run("enqueue", "resubscribe", "--contact", PERSON).stderr
    assert "1 refused" in run("run", "opt-outs").stdout
    (row,) = json.loads(run("list", "--format", "json").stdout)
    assert "clear Email Opt Out on the Contact in Salesforce" in row["advice"]
    assert json.loads(run("audit", "--format", "json").stdout)["agree"] >= 1
    tick_the_box(home, False)
    assert len(json.loads(run("audit", "--format", "json", expect=1).stdout)["only_here"]) == 1
    assert "by salesforce" not in run("run", "sync").stdout
    run("audit")


def test_a_repair_sets_an_opt_out_of_ours_again_that_somebody_cleared(run: Run, home: Path) -> None:
    run("enqueue", "unsubscribe", "--contact", PERSON)
    run("run", "sync")
    run("run", "opt-outs")
    tick_the_box(home, False)
    assert "1 are opted out only here" in run("audit", expect=1).stdout
    assert "1 were opted out on the side that lacked it" in run("audit", "--repair").stdout
    run("audit")
