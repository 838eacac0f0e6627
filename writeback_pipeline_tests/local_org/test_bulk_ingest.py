"""Ingest jobs: what becomes of every row, and what is told of the job on the way."""

from typing import Any

import pytest

from writeback_pipeline.local_org import faults
from writeback_pipeline_tests.local_org.bulk_support import (
    contacts,
    counters,
    finish,
    results,
    run,
    start,
    table,
)
from writeback_pipeline_tests.local_org.support import Api, Org

ODD = 'Zoë "Z", 🚀\nsecond line\u202e'


def test_an_update_changes_every_row_that_it_names(api: Api) -> None:
    people = contacts(api, 450)
    job = run(api, "Contact", "update", table(["Id", "HasOptedOutOfEmail"], [(each, "true") for each in people]))
    assert counters(job) == ("JobComplete", 450, 0)
    done = results(api, job, "successfulResults")
    assert {row["sf__Id"] for row in done} == set(people)
    assert all(row["sf__Created"] == "false" and row["Id"] == row["sf__Id"] for row in done)
    assert results(api, job, "failedResults") == results(api, job, "unprocessedrecords") == []
    assert len(api.query("SELECT Id FROM Contact WHERE HasOptedOutOfEmail = true")) == 450


def test_an_insert_makes_records_and_tells_their_ids_beside_the_rows(api: Api) -> None:
    person = api.create("Contact", LastName="Noted")
    rows = [(person, f"Title {number}", ODD) for number in range(3)]
    job = run(api, "Note", "insert", table(["ParentId", "Title", "Body"], rows))
    assert counters(job) == ("JobComplete", 3, 0)
    for row in results(api, job, "successfulResults"):
        assert row["sf__Created"] == "true"
        stored = api.read("Note", row["sf__Id"], "Title", "Body", "ParentId")
        assert (stored["Title"], stored["Body"], stored["ParentId"]) == (row["Title"], ODD, person)


def test_an_upsert_tells_new_records_from_old_ones(api: Api) -> None:
    api.create("Task", Subject="old", Writeback_Key__c="k-old")
    rows = [("k-old", "changed"), ("k-new", "made"), ("k-twice", "a"), ("k-twice", "b"), ("", "no key")]
    data = table(["Writeback_Key__c", "Subject"], rows)
    job = run(api, "Task", "upsert", data, externalIdFieldName="writeback_key__c")
    assert job["externalIdFieldName"] == "Writeback_Key__c"
    assert counters(job) == ("JobComplete", 5, 3)
    done = {row["Writeback_Key__c"]: row["sf__Created"] for row in results(api, job, "successfulResults")}
    assert done == {"k-old": "false", "k-new": "true"}
    failed = sorted((row["sf__Id"], row["sf__Error"]) for row in results(api, job, "failedResults"))
    assert failed == [
        ("", "DUPLICATE_VALUE:Duplicate external id specified: k-twice:Writeback_Key__c --"),
        ("", "DUPLICATE_VALUE:Duplicate external id specified: k-twice:Writeback_Key__c --"),
        ("", "MISSING_ARGUMENT:Writeback_Key__c not specified:--"),
    ]


def test_a_delete_takes_ids_and_nothing_else(api: Api) -> None:
    kept, gone, gone_before = contacts(api, 3)
    api.delete(f"sobjects/Contact/{gone_before}")
    job = run(api, "Contact", "delete", table(["Id"], [(gone,), (gone_before,)]))
    assert counters(job) == ("JobComplete", 2, 1)
    (failed,) = results(api, job, "failedResults")
    assert (failed["sf__Id"], failed["sf__Error"]) == (gone_before, "ENTITY_IS_DELETED:entity is deleted:--")
    assert api.get(f"sobjects/Contact/{gone}").status_code == 404
    wider = run(api, "Contact", "delete", table(["Id", "LastName"], [(kept, "x")]))
    assert (wider["state"], wider["errorMessage"]) == (
        "Failed",
        "InvalidBatch : The 'delete' batch must contain only ids",
    )


def test_a_failed_row_says_why_and_leaves_the_others_alone(api: Api) -> None:
    good, other = contacts(api, 2)
    rows = [
        (good, "fine@example.org", ""),
        (other, "not an address", ""),
        (other[:15], "", "x" * 81),
        ("003wb0000099999", "", ""),
        ("", "", ""),
        (other, "", "#N/A"),
    ]
    job = run(api, "Contact", "update", table(["Id", "Email", "LastName"], rows))
    assert counters(job) == ("JobComplete", 6, 5)
    failed = {(row["sf__Id"], row["sf__Error"].split(":")[0]) for row in results(api, job, "failedResults")}
    assert failed == {
        (other, "INVALID_EMAIL_ADDRESS"),
        (other, "STRING_TOO_LONG"),
        (other, "REQUIRED_FIELD_MISSING"),
        ("003wb0000099999AAA", "INVALID_CROSS_REFERENCE_KEY"),
        ("", "MISSING_ARGUMENT"),
    }
    assert api.read("Contact", good)["Email"] == "fine@example.org"


def test_an_empty_cell_changes_nothing_and_the_null_sign_empties_a_field(api: Api) -> None:
    person = api.create("Contact", LastName="Cell", Title="Dr", Department="IT", EmailBouncedReason="gone")
    data = table(["Id", "Title", "Department", "EmailBouncedDate"], [(person, "", "#N/A", "2026-11-23T09:05:07Z")])
    assert counters(run(api, "Contact", "update", data)) == ("JobComplete", 1, 0)
    stored = api.read("Contact", person)
    assert (stored["Title"], stored["Department"]) == ("Dr", None)
    assert stored["EmailBouncedDate"] == "2026-11-23T09:05:07.000+0000"


@pytest.mark.parametrize(
    ("column", "cell", "kind"),
    [
        ("NumberOfEmployees", "many", "int"),
        ("NumberOfEmployees", "1.5", "int"),
        ("AnnualRevenue", "nan", "double"),
        ("AnnualRevenue", "lots", "double"),
    ],
)
def test_a_cell_of_the_wrong_type_fails_its_row(api: Api, column: str, cell: str, kind: str) -> None:
    job = run(api, "Account", "insert", table(["Name", column], [("Acme", cell)]))
    (failed,) = results(api, job, "failedResults")
    assert failed["sf__Error"] == (
        f"INVALID_FIELD:Failed to deserialize field at col 1. Due to, '{cell}' is not a valid value for the type "
        f"xsd:{kind}:{column} --"
    )


@pytest.mark.parametrize("cell", ["TRUE", "1", "True"])
def test_a_checkbox_is_true_in_several_spellings(api: Api, cell: str) -> None:
    (person,) = contacts(api, 1)
    assert (
        run(api, "Contact", "update", table(["Id", "hasoptedoutofemail"], [(person, cell)]))["state"] == "JobComplete"
    )
    assert api.read("Contact", person)["HasOptedOutOfEmail"] is True


@pytest.mark.parametrize(("name", "sign"), [("SEMICOLON", ";"), ("TAB", "\t"), ("PIPE", "|"), ("CARET", "^")])
def test_the_delimiter_is_the_jobs_own(api: Api, name: str, sign: str) -> None:
    data = table(["Name", "Site"], [("a,b", f"with {sign} inside")], end="\r\n", delimiter=sign)
    job = run(api, "Account", "insert", data, columnDelimiter=name, lineEnding="CRLF")
    (row,) = results(api, job, "successfulResults", sign)
    assert (row["Name"], row["Site"]) == ("a,b", f"with {sign} inside")
    assert api.read("Account", row["sf__Id"])["Site"] == f"with {sign} inside"


@pytest.mark.parametrize(
    ("data", "more", "why"),
    [
        (b"Id,Nope\n003,1\n", {}, "InvalidBatch : Field name not found : Nope"),
        ("\ufeffId,Title\n003,1\n".encode(), {}, "InvalidBatch : Field name not found : \ufeffId"),
        (b"Id,Title\r\n003,1\r\n", {}, "ClientInputError : LineEnding is invalid on user data. Current LineEnding"),
        (b'Id,Title\n003,"a\r\nb"\n', {}, "ClientInputError : LineEnding is invalid on user data. Current LineEnding"),
        (b"Id,Title\n003,1\n", {"lineEnding": "CRLF"}, "ClientInputError : LineEnding is invalid on user data. "),
        (b"Id,Title\n003,1,2\n", {}, "InvalidBatch : A row has 3 columns where the header has 2"),
        (b"Id,Title\n003,\xff\n", {}, "InvalidBatch : The data is not UTF-8"),
        (b'Id,Title\n003,"a"b\n', {}, "InvalidBatch : Failed to parse the CSV data"),
        (b"Id,Title,title\n003,a,b\n", {}, "InvalidBatch : The header has to name the columns, each of them once"),
        (b"", {}, "InvalidBatch : The header has to name the columns, each of them once"),
    ],
)
def test_data_that_cannot_be_read_fails_the_job(api: Api, data: bytes, more: dict[str, Any], why: str) -> None:
    job = run(api, "Contact", "update", data, **more)
    assert counters(job) == ("Failed", 0, 0)
    assert job["errorMessage"].startswith(why)
    assert results(api, job, "successfulResults") == results(api, job, "failedResults") == []


def test_rows_before_an_unreadable_one_are_done_and_the_others_are_given_back(api: Api) -> None:
    data = table(["Name"], [(f"Before {number}",) for number in range(250)]) + "one,too many\nnever\n"
    job = run(api, "Account", "insert", data)
    assert counters(job) == ("Failed", 200, 0)
    assert len(results(api, job, "successfulResults")) == 200
    assert [row["Name"] for row in results(api, job, "unprocessedrecords")][:2] == ["Before 200", "Before 201"]


def test_a_job_that_fails_half_way_keeps_what_it_did(api: Api, org: Org) -> None:
    faults.arm(org.connection, "job_failed", object="Account", operation="insert", after_rows=250, times=1)
    names = [f"Half {number}" for number in range(300)]
    job = run(api, "Account", "insert", table(["Name"], [(name,) for name in names]))
    assert counters(job) == ("Failed", 250, 0)
    assert job["errorMessage"] == "InternalServerError : Processing failed on demand"
    done = {row["Name"] for row in results(api, job, "successfulResults")}
    left = [row["Name"] for row in results(api, job, "unprocessedrecords")]
    assert (done, left) == (set(names[:250]), names[250:])
    again = run(api, "Account", "insert", table(["Name"], [(name,) for name in left]))
    assert counters(again) == ("JobComplete", 50, 0)
    assert faults.injected(org.connection) == {"job_failed": 1}


def test_row_faults_strike_the_rows_of_a_job(api: Api, org: Org) -> None:
    people = contacts(api, 3)
    faults.arm(org.connection, "row_lock", record_id=people[1], times=1)
    data = table(["Id", "HasOptedOutOfEmail"], [(each, "true") for each in people])
    (failed,) = results(api, run(api, "Contact", "update", data), "failedResults")
    assert failed["sf__Id"] == people[1]
    assert failed["sf__Error"] == "UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record:--"
    assert counters(run(api, "Contact", "update", data)) == ("JobComplete", 3, 0)


def test_asking_about_a_job_can_fail_while_it_goes_on(api: Api, org: Org) -> None:
    faults.arm(org.connection, "unavailable", method="GET", path="/jobs/ingest/750", times=2)
    job_id = start(api, "Account", "insert", "Name\nAcme\n")
    assert [api.get(f"jobs/ingest/{job_id}").status_code for _ in range(2)] == [503, 503]
    assert counters(finish(api, job_id)) == ("JobComplete", 1, 0)


def test_results_come_in_an_order_of_their_own_but_always_the_same(api: Api) -> None:
    names = [f"Order {number:03}" for number in range(100)]
    job = run(api, "Account", "insert", table(["Name"], [(name,) for name in names]))
    first, second = ([row["Name"] for row in results(api, job, "successfulResults")] for _ in range(2))
    assert first == second
    assert sorted(first) == names != first


def test_a_field_that_the_session_cannot_see_is_no_column(api: Api, org: Org) -> None:
    (person,) = contacts(api, 1)
    org.set(hidden=frozenset({"Contact.HasOptedOutOfEmail"}))
    job = run(api, "Contact", "update", table(["Id", "HasOptedOutOfEmail"], [(person, "true")]))
    assert job["errorMessage"] == "InvalidBatch : Field name not found : HasOptedOutOfEmail"


def test_assignment_rules_run_only_if_the_job_names_one(api: Api, org: Org) -> None:
    sales = api.query("SELECT Id FROM User WHERE Username = 'sales@local.example'")[0]["Id"]
    org.set(lead_assignment_owner=sales)
    lead = {"LastName": "Ng", "Company": "Acme"}
    lead_id = api.post("sobjects/Lead", lead, headers={"Sforce-Auto-Assign": "FALSE"}).json()["id"]
    data = table(["Id", "HasOptedOutOfEmail"], [(lead_id, "true")])
    run(api, "Lead", "update", data)
    assert api.read("Lead", lead_id)["OwnerId"] != sales
    job = run(api, "Lead", "update", data, assignmentRuleId="01Qwb0000000001AAA")
    assert job["assignmentRuleId"] == "01Qwb0000000001AAA"
    assert api.read("Lead", lead_id)["OwnerId"] == sales
