"""Notes with key records: what a graph or a pair makes, what a key that exists already prevents, how keys are found."""

import html
from base64 import b64encode
from typing import Any

import pytest

from writeback_pipeline.domain.records import Answer, Operation, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.local_org import admin, package
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.salesforce.scripted import Say, ScriptedServer
from writeback_pipeline_tests.world import World

ODD = "see @{note.id} and @{nobody.id}"


def note(person: str, key: str | None, title: str = "t", body: str = "b") -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": person, "Title": title, "Body": body}, record_key=key)


def content_note(person: str, key: str) -> RowWrite:
    content = b64encode(html.escape("b").encode()).decode()
    return RowWrite(
        Operation.CREATE_NOTE, "ContentNote", {"Title": "t", "Content": content}, linked_to=person, record_key=key
    )


def keys(world: World) -> list[dict[str, Any]]:
    return world.select("SELECT Key__c, Record_Id__c FROM Writeback__c WHERE IsDeleted = 0 ORDER BY Key__c")


def code_of(result: RowResult) -> tuple[Answer, str | None]:
    return result.answer, result.code


def test_a_note_is_made_together_with_its_key_record(world: World) -> None:
    person = world.contact()
    results = world.organisation.write([note(person, "one"), note(person, "two")])
    assert [result.answer for result in results] == [Answer.OK, Answer.OK]
    ids = [row["Id"] for row in world.notes(person)]
    assert [result.record_id for result in results] == ids
    assert keys(world) == [{"Key__c": "one", "Record_Id__c": ids[0]}, {"Key__c": "two", "Record_Id__c": ids[1]}]


def test_a_content_note_has_its_link_and_its_key_record(world: World) -> None:
    person = world.contact()
    (result,) = world.organisation.write([content_note(person, "one")])
    (link,) = world.select("SELECT ContentDocumentId FROM ContentDocumentLink WHERE LinkedEntityId = ?", person)
    assert link["ContentDocumentId"] == result.record_id
    assert keys(world) == [{"Key__c": "one", "Record_Id__c": result.record_id}]


@pytest.mark.parametrize("make", [note, content_note], ids=["Note", "ContentNote"])
def test_a_key_that_exists_keeps_the_note_from_being_made_and_its_neighbours_are_written(
    world: World, make: Any
) -> None:
    person, neighbour = world.contact(), world.contact()
    (first,) = world.organisation.write([make(person, "one")])
    again, other = world.organisation.write([make(person, "one"), make(neighbour, "two")])
    assert code_of(again) == (Answer.REJECTED, "DUPLICATE_VALUE")
    assert other.answer is Answer.OK
    assert (
        world.select("SELECT count(*) AS n FROM Note")[0]["n"]
        + (world.select("SELECT count(*) AS n FROM ContentNote")[0]["n"])
        == 2
    )
    assert world.organisation.find_key_records(["one"]) == {"one": first.record_id}


def test_of_two_notes_with_one_key_in_one_call_one_is_made(world: World) -> None:
    person = world.contact()
    first, second = world.organisation.write([note(person, "one"), note(person, "one")])
    assert (first.answer, code_of(second)) == (Answer.OK, (Answer.REJECTED, "DUPLICATE_VALUE"))
    assert len(world.notes(person)) == 1


def test_keys_differ_by_case(world: World) -> None:
    person = world.contact()
    results = world.organisation.write([note(person, "one"), note(person, "ONE")])
    assert [result.answer for result in results] == [Answer.OK, Answer.OK]
    assert world.organisation.find_key_records(["ONE"]) == {"ONE": results[1].record_id}


def test_a_refused_note_leaves_its_key_free(world: World) -> None:
    person = world.contact()
    (refused,) = world.organisation.write([note(person, "one", title="x" * 81)])
    assert code_of(refused) == (Answer.REJECTED, "STRING_TOO_LONG")
    assert keys(world) == []
    assert world.organisation.write([note(person, "one")])[0].answer is Answer.OK


def test_text_that_looks_like_a_reference_arrives_as_it_is_and_once(world: World) -> None:
    person = world.contact()
    (first,) = world.organisation.write([note(person, "one", body=ODD)])
    (again,) = world.organisation.write([note(person, "one", body=ODD)])
    assert (first.answer, code_of(again)) == (Answer.OK, (Answer.REJECTED, "DUPLICATE_VALUE"))
    assert [row["Body"] for row in world.notes(person)] == [ODD]
    assert world.organisation.find_key_records(["one"]) == {"one": None}


def test_hundreds_of_keys_are_found_in_few_calls_and_no_others(world: World) -> None:
    person = world.contact()
    wanted = [f"sent:daily:2026-11-01:{number:018}" for number in range(150)]
    world.organisation.write([note(person, key) for key in wanted])
    before = world.organisation.usage.calls
    found = world.organisation.find_key_records([*wanted[:100], "it's nobody's"])
    assert list(found) == wanted[:100]
    assert world.organisation.usage.calls - before == 1
    assert world.organisation.find_key_records([]) == {}


def test_a_key_record_in_the_recycle_bin_still_tells_of_its_note_until_there_is_a_new_one(world: World) -> None:
    person = world.contact()
    (first,) = world.organisation.write([note(person, "one")])
    (record,) = world.select("SELECT Id FROM Writeback__c")
    world.as_user(admin.delete, record["Id"])
    assert world.organisation.find_key_records(["one"]) == {"one": first.record_id}
    (second,) = world.organisation.write([note(person, "one")])
    assert world.organisation.find_key_records(["one"]) == {"one": second.record_id}


@pytest.mark.parametrize("body", ["b", ODD], ids=["graph", "pair"])
def test_without_the_package_nothing_is_written_and_the_remedy_is_named(world: World, body: str) -> None:
    person = world.contact()
    with world.inside.connection() as connection:
        package.uninstall(connection)
    try:
        (result,) = world.organisation.write([note(person, "one", body=body)])
    except OrganisationUnavailable as refused:
        assert not refused.passing
        told = str(refused)
        assert "Writeback__c" in told
        assert "salesforce_package" in told
    else:
        assert code_of(result) == (Answer.REJECTED, "INVALID_TYPE")
    assert world.notes(person) == []


def item(code: str | None = None) -> dict[str, Any]:
    errors = [] if code is None else [{"statusCode": code, "message": "m", "fields": []}]
    return {"success": code is None, "errors": errors} | ({"id": "002000000000001AAA"} if code is None else {})


ROLLED_BACK = "ALL_OR_NONE_OPERATION_ROLLED_BACK"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([item(), item()], (Answer.OK, None)),
        ([item(ROLLED_BACK), item("DUPLICATE_VALUE")], (Answer.REJECTED, "DUPLICATE_VALUE")),
        ([item("STRING_TOO_LONG"), item(ROLLED_BACK)], (Answer.REJECTED, "STRING_TOO_LONG")),
        ([item(), item("DUPLICATE_VALUE")], (Answer.UNKNOWN, "UNREADABLE_ANSWER")),
        ([item()], (Answer.UNKNOWN, "UNREADABLE_ANSWER")),
        ([item(), "?"], (Answer.UNKNOWN, "UNREADABLE_ANSWER")),
        ({}, (Answer.UNKNOWN, "UNREADABLE_ANSWER")),
    ],
    ids=["both", "key", "note", "contradiction", "short", "odd", "no-list"],
)
def test_a_pair_is_written_only_if_both_were(
    server: ScriptedServer, scripted: SalesforceOrganisation, answer: Any, expected: tuple[Answer, str | None]
) -> None:
    server.answers(Say(body=answer))
    (result,) = scripted.write([note("003000000000001AAA", "one")._replace(fields={"Title": "t", "Body": ODD})])
    assert code_of(result) == expected
    (heard,) = server.heard
    assert heard.json["allOrNone"] is True
    assert heard.json["records"][1] == {"attributes": {"type": "Writeback__c"}, "Key__c": "one"}
