"""ContentNotes and their links: what is sent for them, and what each answer means for its row."""

from typing import Any

import pytest

from writeback_pipeline.domain.records import Answer, FoundNote, Operation, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.domain.settings import NoteObject
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.salesforce.scripted import Say, ScriptedServer

PEOPLE = [f"003{number:012}AAA" for number in range(160)]
NOTE_ID = "069000000000001AAA"
HALTED = (400, [{"errorCode": "PROCESSING_HALTED", "message": "The transaction was rolled back"}])
MADE = (201, {"id": NOTE_ID, "success": True, "errors": []})
LINKED = (201, {"id": "06A000000000001AAA", "success": True, "errors": []})
NO_OBJECT = (404, [{"errorCode": "NOT_FOUND", "message": "The requested resource does not exist"}])


def note(person: str = PEOPLE[0]) -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "ContentNote", {"Title": "t", "Content": "PHA+"}, linked_to=person)


def refused(code: str) -> tuple[int, Any]:
    return 400, [{"errorCode": code, "message": "m"}]


def graph(number: int, made: tuple[int, Any] = MADE, linked: tuple[int, Any] = LINKED, **odd: Any) -> dict[str, Any]:
    """One graph of an answer, as successful as its nodes are."""
    nodes = [
        {"body": body, "httpHeaders": {}, "httpStatusCode": status, "referenceId": name}
        for name, (status, body) in (("note", made), ("link", linked))
    ]
    successful = made[0] < 300 and linked[0] < 300
    whole = {"graphId": f"graph{number}", "graphResponse": {"compositeResponse": nodes}, "isSuccessful": successful}
    return whole | odd


def graphs(*each: Any) -> Say:
    return Say(body={"graphs": list(each)})


def test_each_note_is_a_transaction_with_its_link(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.answers(graphs(graph(0), graph(1)))
    scripted.write([note(PEOPLE[0]), note(PEOPLE[1])])
    (heard,) = server.heard
    assert heard.path == "/services/data/v65.0/composite/graph"
    assert [each["graphId"] for each in heard.json["graphs"]] == ["graph0", "graph1"]
    made, linked = heard.json["graphs"][1]["compositeRequest"]
    for node in (made, linked):
        assert (node["method"], node["httpHeaders"]["Sforce-Auto-Assign"]) == ("POST", "FALSE")
    assert made["url"] == "/services/data/v65.0/sobjects/ContentNote"
    assert made["body"] == {"Title": "t", "Content": "PHA+"}
    assert linked["url"] == "/services/data/v65.0/sobjects/ContentDocumentLink"
    assert linked["body"] == {"ContentDocumentId": "@{note.id}", "LinkedEntityId": PEOPLE[1], "ShareType": "V"}


def test_a_row_gets_the_answer_of_its_own_graph(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    culprit = refused("INSUFFICIENT_ACCESS_OR_READONLY")
    answers = [graph(3, made=HALTED, linked=HALTED), graph(1, HALTED, culprit), graph(2, culprit, HALTED), graph(0)]
    server.answers(graphs(*answers))
    rejected = RowResult(Answer.REJECTED, code="INSUFFICIENT_ACCESS_OR_READONLY", message="m")
    assert scripted.write([note()] * 4) == [
        RowResult(Answer.OK, record_id=NOTE_ID),
        rejected,
        rejected,
        RowResult(Answer.NOT_SENT, code="PROCESSING_HALTED", message="The transaction was rolled back"),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        graph(1, isSuccessful="yes"),
        graph(1, isSuccessful=False),
        graph(1, linked=refused("X"), isSuccessful=True),
        graph(1, made=(201, None)),
        graph(1, made=(201, {"id": 7})),
        graph(1, graphResponse=None),
        graph(1, made=(500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "ErrorId 1"}]), linked=HALTED),
        graph(1, made=(503, "<html>"), linked=HALTED),
        graph(7),
        graph(0, graphId=None),
        "?",
    ],
    ids=[
        "no-boolean",
        "failed-without-failure",
        "succeeded-with-failure",
        "no-body",
        "no-id",
        "no-nodes",
        "500",
        "503",
        "missing",
        "nameless",
        "no-object",
    ],
)
def test_a_graph_that_cannot_be_trusted_leaves_its_row_unknown_and_no_other(
    server: ScriptedServer, scripted: SalesforceOrganisation, odd: Any
) -> None:
    server.answers(graphs(graph(0), odd, graph(2)))
    assert [result.answer for result in scripted.write([note()] * 3)] == [Answer.OK, Answer.UNKNOWN, Answer.OK]


@pytest.mark.parametrize("body", [[], {}, {"graphs": None}, "<html>"], ids=str)
def test_an_answer_that_cannot_be_read_leaves_its_rows_unknown_and_stops(
    server: ScriptedServer, scripted: SalesforceOrganisation, body: Any
) -> None:
    server.answers(Say(body=body))
    results = scripted.write([note(person) for person in PEOPLE[:76]])
    assert {result.answer for result in results[:75]} == {Answer.UNKNOWN}
    assert results[75].answer is Answer.NOT_SENT
    assert len(server.heard) == 1


@pytest.mark.parametrize("no_object", [NO_OBJECT, refused("INVALID_TYPE")], ids=["address", "object"])
def test_notes_of_an_object_that_the_organisation_does_not_have_are_refused_and_nothing_else(
    server: ScriptedServer, scripted: SalesforceOrganisation, no_object: tuple[int, Any]
) -> None:
    refusals = [graph(number, no_object, HALTED) for number in range(14)]
    server.answers(graphs(*refusals, graph(14, HALTED, HALTED)))
    results = scripted.write([note()] * 15)
    assert {(each.answer, each.code) for each in results} == {(Answer.REJECTED, "INVALID_TYPE")}
    assert "ContentNote" in (results[0].message or "")


def test_what_was_written_before_the_object_went_away_is_still_told(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.answers(graphs(graph(0), graph(1, NO_OBJECT, HALTED)))
    written, refused_ = scripted.write([note()] * 2)
    assert written.answer is Answer.OK
    assert (refused_.answer, refused_.code) == (Answer.REJECTED, "INVALID_TYPE")


def test_a_call_that_went_before_is_still_told_too(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    flag = RowWrite(Operation.SET_FLAG, "Contact", {"HasOptedOutOfEmail": True}, record_id=PEOPLE[0])
    server.answers(Say(body=[{"id": PEOPLE[0], "success": True, "errors": []}]), graphs(graph(0, NO_OBJECT, HALTED)))
    results = scripted.write([note(), flag])
    assert [(result.answer, result.code) for result in results] == [
        (Answer.REJECTED, "INVALID_TYPE"),
        (Answer.OK, None),
    ]


def test_both_kinds_of_notes_are_looked_for_in_one_call_and_how_the_enhanced_begin_in_another(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    page = {"totalSize": 1, "done": True}
    notes = page | {"records": [{"Id": "002000000000001AAA", "ParentId": PEOPLE[0], "Title": "t", "Body": None}]}
    link = {"Id": "06A000000000001AAA", "LinkedEntityId": PEOPLE[0], "ContentDocumentId": NOTE_ID}
    links = page | {"records": [link | {"ContentDocument": {"Title": "t"}}, link | {"ContentDocument": None}]}
    parts = [
        {"body": body, "httpStatusCode": 200, "referenceId": name}
        for name, body in (("part0", notes), ("part1", links))
    ]
    preview = page | {"records": [{"Id": NOTE_ID, "TextPreview": "Reason: Bad Email"}]}
    server.answers(Say(body={"compositeResponse": parts}), Say(body=preview))
    found = scripted.find_notes([(PEOPLE[0], "t")], objects=tuple(NoteObject))
    assert found == {
        (PEOPLE[0], "t"): [FoundNote("002000000000001AAA", "t", ""), FoundNote(NOTE_ID, "t", "Reason: Bad Email")]
    }
    assert len(server.heard) == 2


@pytest.mark.parametrize("record", [{"TextPreview": "Reason"}, {"Id": NOTE_ID}], ids=["no id", "no beginning"])
def test_how_a_note_begins_is_read_or_the_answer_is_an_outage(
    server: ScriptedServer, scripted: SalesforceOrganisation, record: dict[str, str]
) -> None:
    link = {"LinkedEntityId": PEOPLE[0], "ContentDocumentId": NOTE_ID, "ContentDocument": {"Title": "t"}}
    pages = ({"totalSize": 1, "done": True, "records": [each]} for each in (link, record))
    server.answers(*(Say(body=page) for page in pages))
    with pytest.raises(OrganisationUnavailable, match="UNREADABLE_ANSWER"):
        scripted.find_notes([(PEOPLE[0], "t")], objects=[NoteObject.CONTENT_NOTE])


@pytest.mark.parametrize("record", [{"LinkedEntityId": PEOPLE[0]}, {"ParentId": PEOPLE[0]}], ids=["link", "note"])
def test_a_record_that_lacks_what_was_asked_for_is_an_outage_not_an_absence(
    server: ScriptedServer, scripted: SalesforceOrganisation, record: dict[str, str]
) -> None:
    server.answers(Say(body={"records": [record | {"Id": "1"}], "totalSize": 1, "done": True}))
    with pytest.raises(OrganisationUnavailable, match="UNREADABLE_ANSWER"):
        scripted.find_notes([(PEOPLE[0], "t")])
