"""The look at an organisation before the first write: against the embedded one, and against answers from a script."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from writeback_pipeline.domain.findings import Finding, Level, blocking, failures
from writeback_pipeline.domain.settings import NoteObject, WritebackSettings
from writeback_pipeline.local_org import package, usage
from writeback_pipeline.local_org import settings as org_settings
from writeback_pipeline.local_org.settings import Changes
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.salesforce.scripted import Heard, Say, ScriptedServer
from writeback_pipeline_tests.world import World

EVERYTHING = WritebackSettings(key_records=True)


def look(
    organisation: SalesforceOrganisation, settings: WritebackSettings = EVERYTHING, **how: Any
) -> dict[str, Finding]:
    """The findings by subject."""
    findings = organisation.preflight(settings, how.get("pinned"), how.get("now") or datetime.now(UTC))
    assert len({each.subject for each in findings}) == len(findings)
    return {each.subject: each for each in findings}


def levels(findings: Mapping[str, Finding]) -> dict[str, Level]:
    """What is not ok."""
    return {subject: each.level for subject, each in findings.items() if each.level is not Level.OK}


def change(world: World, changes: Changes) -> None:
    with world.inside.connection() as connection:
        org_settings.change(connection, **changes)


def contents(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of the organisation but those of logins and call counts."""
    with world.inside.connection() as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [tuple(row) for row in connection.execute(f"SELECT * FROM {name}")]
            for name in tables
            if name not in ("_tokens", "_calls")
        }


def test_everything_is_there_in_the_embedded_organisation(world: World) -> None:
    findings = look(world.organisation)
    assert levels(findings) == {}
    assert list(findings) == [
        "login",
        "API version",
        "clock",
        "people",
        "Email Opt Out",
        "notes",
        "activity",
        "key of Tasks",
        "key records",
        "API requests",
        "storage",
        "assignment rules",
        "duplicate rules",
        "validation rules",
    ]
    assert "of 100,000 left" in findings["API requests"].told


@pytest.mark.parametrize("with_package", [True, False])
def test_a_look_changes_nothing_and_costs_three_calls(world: World, with_package: bool) -> None:
    world.unsubscribe(world.contact())
    world.deliver()
    if not with_package:
        with world.inside.connection() as connection:
            package.uninstall(connection)
    before = contents(world)
    with world.inside.connection() as connection:
        calls = usage.used(connection, datetime.now(UTC).timestamp())
    look(world.organisation)
    with world.inside.connection() as connection:
        assert usage.used(connection, datetime.now(UTC).timestamp()) - calls == 3
    assert contents(world) == before


def test_without_the_package_every_remedy_names_the_permission_set(world: World) -> None:
    with world.inside.connection() as connection:
        package.uninstall(connection)
    findings = look(world.organisation)
    assert levels(findings) == {
        "Email Opt Out": Level.FAILURE,
        "key of Tasks": Level.WARNING,
        "key records": Level.FAILURE,
    }
    assert findings["Email Opt Out"].told == "HasOptedOutOfEmail is hidden on Contact and Lead"
    for subject in levels(findings):
        assert "Salesforce_Writebacks" in findings[subject].remedy
        assert not findings[subject].passing


@pytest.mark.parametrize(
    ("hidden", "in_the_way"),
    [
        ({"Contact.HasOptedOutOfEmail"}, []),
        ({"Contact.HasOptedOutOfEmail", "Lead.HasOptedOutOfEmail"}, ["Email Opt Out"]),
        ({"Lead"}, []),
        ({"Note"}, []),  # flags do not wait for Notes
    ],
    ids=["contacts", "everybody", "no-leads", "notes"],
)
def test_only_what_concerns_everybody_is_in_the_way(world: World, hidden: set[str], in_the_way: list[str]) -> None:
    change(world, {"hidden": frozenset(hidden)})
    findings = look(world.organisation)
    assert [each.subject for each in blocking(findings.values())] == in_the_way
    assert failures(findings.values())


@pytest.mark.parametrize(
    ("changes", "subject", "level", "told"),
    [
        ({"hidden": frozenset({"Lead.HasOptedOutOfEmail"})}, "Email Opt Out", Level.FAILURE, "hidden on Lead"),
        ({"read_only": frozenset({"Contact.HasOptedOutOfEmail"})}, "Email Opt Out", Level.FAILURE, "read-only on Con"),
        ({"hidden": frozenset({"Note"})}, "notes", Level.FAILURE, "does not offer Note"),
        ({"hidden": frozenset({"Task"})}, "activity", Level.FAILURE, "does not offer Task"),
        ({"read_only": frozenset({"Task.Description"})}, "activity", Level.FAILURE, "Description of a Task"),
        ({"read_only": frozenset({"Task.Writeback_Key__c"})}, "key of Tasks", Level.WARNING, "createable"),
        ({"read_only": frozenset({"Writeback__c.Record_Id__c"})}, "key records", Level.FAILURE, "Record_Id__c"),
        ({"daily_api_requests": 40}, "API requests", Level.OK, "of 40 left"),
        ({"daily_api_requests": 2}, "API requests", Level.FAILURE, "0 of 2 left"),
    ],
    ids=["lead", "read-only", "note", "task", "task-field", "key", "key-record", "few", "none"],
)
def test_what_is_missing_is_told_on_its_own_line(
    world: World, changes: Changes, subject: str, level: Level, told: str
) -> None:
    change(world, changes)
    findings = look(world.organisation)
    assert findings[subject].level is level
    assert told in findings[subject].told
    assert set(levels(findings)) <= {subject, "organisation"}


def test_what_the_settings_turn_off_is_not_asked_for(world: World) -> None:
    change(world, {"hidden": frozenset({"Task", "Writeback__c", "ContentNote"})})
    findings = look(world.organisation, WritebackSettings(activity_enabled=False))
    assert levels(findings) == {}
    assert not {"activity", "key of Tasks", "key records"} & set(findings)


def test_the_note_object_of_the_settings_is_looked_for(world: World) -> None:
    change(world, {"hidden": frozenset({"ContentNote"})})
    findings = look(world.organisation, replace(EVERYTHING, note_object=NoteObject.CONTENT_NOTE))
    assert levels(findings) == {"notes": Level.FAILURE}
    assert "Enhanced Notes" in findings["notes"].remedy


def test_requests_that_run_low_are_a_warning(world: World) -> None:
    change(world, {"daily_api_requests": 100})
    with world.inside.connection() as connection:
        usage.add(connection, 90, datetime.now(UTC).timestamp())
    assert levels(look(world.organisation)) == {"API requests": Level.WARNING}


def test_the_ledgers_organisation_is_compared(world: World) -> None:
    mine = world.organisation.organisation_id
    assert levels(look(world.organisation, pinned=mine)) == {}
    other = look(world.organisation, pinned="00D000000000001EAA")["login"]
    assert other.level is Level.FAILURE
    assert mine in other.told
    assert "00D000000000001EAA" in other.told


@pytest.mark.parametrize(("off", "word"), [(timedelta(minutes=2), "ahead of"), (-timedelta(minutes=2), "behind")])
def test_a_clock_that_is_wrong_is_a_warning(world: World, off: timedelta, word: str) -> None:
    clock = look(world.organisation, now=datetime.now(UTC) + off)["clock"]
    assert clock.level is Level.WARNING
    assert word in clock.told


def test_a_refused_login_is_the_only_finding(world: World) -> None:
    wrong = SalesforceOrganisation(SalesforceConnection(world.url, "local", ClientCredentials("wrong-secret")))
    (finding,) = wrong.preflight(EVERYTHING, None, datetime.now(UTC))
    wrong.close()
    assert (finding.level, finding.passing) == (Level.FAILURE, False)
    assert "SALESFORCE_CLIENT_SECRET" in finding.remedy
    assert "wrong-secret" not in finding.told
    assert not finding.told.endswith(".")  # it is set into sentences


class Script:
    """An organisation that answers as a real one does, where the embedded one cannot."""

    def __init__(self, **tooling: Say) -> None:
        self.versions = [{"label": "x", "url": "x", "version": version} for version in ("64.0", "65.0", "66.0")]
        self.rules: dict[str, Any] = {}
        self.limits = Say(body={"DailyApiRequests": {"Max": 5, "Remaining": 5}, "DataStorageMB": {"Max": 5}})
        self.tooling = tooling.get("tooling", Say(status=404, body="<html>"))

    def __call__(self, heard: Heard) -> Say:
        if heard.path == "/services/data":
            return Say(body=self.versions, headers={"Date": format_datetime(datetime.now(UTC), usegmt=True)})
        if heard.path.endswith("/limits"):
            return self.limits
        if "/tooling/" in heard.path:
            return self.tooling
        return Say(body={"compositeResponse": [self._part(part) for part in heard.json["compositeRequest"]]})

    def _part(self, part: dict[str, Any]) -> dict[str, Any]:
        for name, records in self.rules.items():
            if name in part["url"]:
                return {"referenceId": part["referenceId"], "httpStatusCode": 200, "body": {"records": records}}
        refused = [{"errorCode": "INVALID_TYPE", "message": "sObject type 'X' is not supported."}]
        return {"referenceId": part["referenceId"], "httpStatusCode": 400, "body": refused}


def test_rules_that_can_be_read_are_named(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    names = [{"Id": str(number), "ValidationName": f"Rule_{number}"} for number in range(7)]
    script = Script(tooling=Say(body={"records": names}))
    script.rules = {"AssignmentRule": [{"Id": "1", "Name": "Standard"}], "DuplicateRule": []}
    server.script = script
    findings = look(scripted)
    assert findings["assignment rules"].told == "1 active (Standard): every write says that they are not to run"
    assert findings["duplicate rules"].told == "none is active"
    assert findings["validation rules"].told.startswith("7 active (Rule_0, Rule_1, Rule_2, Rule_3, Rule_4 and 2 more)")


def test_what_cannot_be_read_is_said_and_stops_nothing(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = Script()
    findings = look(scripted)
    for subject in ("assignment rules", "duplicate rules", "validation rules", "storage"):
        assert findings[subject].level is Level.OK
        assert "not readable" in findings[subject].told
    assert findings["people"].level is Level.FAILURE


def test_a_version_that_is_not_on_offer_is_a_failure(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    script = Script()
    script.versions = script.versions[2:]
    server.script = script
    finding = look(scripted)["API version"]
    assert (finding.level, finding.told) == (Level.FAILURE, "65.0 is not among those on offer (66.0 to 66.0)")


@pytest.mark.parametrize(
    "trouble",
    [
        Say(status=403, body=[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]),
        Say(status=503, body="<html>"),
        Say(drop=True),
        Say(silent=True),
    ],
    ids=["quota", "outage", "dropped", "silent"],
)
def test_an_organisation_that_cannot_be_asked_is_one_failure_that_may_pass(
    server: ScriptedServer, scripted: SalesforceOrganisation, hasty: SalesforceOrganisation, trouble: Say
) -> None:
    script = Script()
    server.script = lambda heard: script(heard) if heard.path == "/services/data" else trouble
    findings = look(hasty if trouble.silent else scripted)
    assert levels(findings) == {"organisation": Level.FAILURE}
    assert findings["organisation"].passing
