from urllib.parse import parse_qs, urlsplit

import pytest

from writeback_pipeline.domain.people import ObjectType, PersonRef, id_suffix
from writeback_pipeline.domain.records import FoundNote, Gone, Live, OrganisationUnavailable
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline.salesforce.reads import in_chunks
from writeback_pipeline_tests.salesforce.scripted import Heard, Say, ScriptedServer, composite

NOBODY = {"records": [], "totalSize": 0, "done": True}


def people(object_type: ObjectType, prefix: str, count: int) -> list[PersonRef]:
    ids = (f"{prefix}{number:012}" for number in range(count))
    return [PersonRef(object_type, id15 + id_suffix(id15)) for id15 in ids]


CONTACTS = people(ObjectType.CONTACT, "003", 10_000)
LEADS = people(ObjectType.LEAD, "00Q", 1000)


def records_of(body: dict[str, list[str]]) -> list[dict[str, object]]:
    return [{"Id": each, "HasOptedOutOfEmail": False, "AccountId": None} for each in body["ids"]]


def everybody_is_there(heard: Heard) -> Say:
    if heard.path.endswith("/composite"):
        return composite(*((200, records_of(part["body"])) for part in heard.json["compositeRequest"]))
    return Say(body=records_of(heard.json))


def refuses_reads_in_composites(heard: Heard) -> Say:
    if heard.path.endswith("/composite"):
        refusal = [{"errorCode": "INVALID_HTTP_METHOD", "message": "not supported in composite"}]
        return composite(*((400, refusal) for _ in heard.json["compositeRequest"]))
    return Say(body=records_of(heard.json))


def test_ten_thousand_people_are_one_call(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.script = everybody_is_there
    assert len(scripted.look(CONTACTS)) == 10_000
    assert len(server.heard) == 1
    parts = server.heard[0].json["compositeRequest"]
    assert [len(part["body"]["ids"]) for part in parts] == [2000] * 5
    assert {part["method"] for part in parts} == {"POST"}


def test_a_person_asked_for_twice_is_read_once(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.script = everybody_is_there
    short = PersonRef(ObjectType.CONTACT, CONTACTS[0].salesforce_id[:15])
    assert list(scripted.look([CONTACTS[0], CONTACTS[0], short])) == [CONTACTS[0].salesforce_id]
    assert len(server.heard[0].json["ids"]) == 1


def test_where_composites_take_no_reads_they_are_made_one_by_one_from_then_on(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = refuses_reads_in_composites
    assert set(scripted.look(CONTACTS[:3] + LEADS[:3]).values()) == {Live(opted_out=False)}
    assert len(server.heard) == 3
    scripted.look(CONTACTS[:3] + LEADS[:3])
    assert len(server.heard) == 5


def test_a_composite_refused_as_a_whole_is_made_one_by_one_too(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    refusal = Say(400, [{"errorCode": "INVALID_INPUT", "message": "m"}])
    server.script = lambda heard: refusal if heard.path.endswith("/composite") else Say(body=records_of(heard.json))
    assert len(scripted.look(CONTACTS[:1] + LEADS[:1])) == 2


def test_a_read_that_fails_on_its_own_as_well_is_told(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.script = lambda _: Say(400, [{"errorCode": "INVALID_INPUT", "message": "m"}])
    with pytest.raises(OrganisationUnavailable) as refused:
        scripted.look(CONTACTS[:1] + LEADS[:1])
    assert (refused.value.code, refused.value.passing) == ("INVALID_INPUT", False)


def test_trouble_inside_a_composite_is_not_tried_one_by_one(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    part = (503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "m"}])
    over = Say(403, [{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}])
    for calls, (say, code) in enumerate([(composite(part, part), "SERVER_UNAVAILABLE"), (over, "REQUEST_LIMIT")], 1):
        server.answers(say)
        with pytest.raises(OrganisationUnavailable, match=code):
            scripted.look(CONTACTS[:1] + LEADS[:1])
        assert len(server.heard) == calls


@pytest.mark.parametrize(
    "body",
    [{"Id": 1}, [7], [{"Id": CONTACTS[0].salesforce_id}], [{"Id": CONTACTS[5].salesforce_id}], "<html>", {"x": 1}],
    ids=str,
)
def test_records_that_cannot_be_read_are_an_outage_not_a_verdict(
    server: ScriptedServer, scripted: SalesforceOrganisation, body: object
) -> None:
    server.answers(Say(body=body))
    with pytest.raises(OrganisationUnavailable) as refused:
        scripted.look(CONTACTS[:1])
    assert (refused.value.code, refused.value.passing) == ("UNREADABLE_ANSWER", True)


def test_only_true_counts_as_opted_out(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    ids = [person.salesforce_id for person in CONTACTS[:3]]
    flags = [True, False, None]
    server.answers(Say(body=[{"Id": i, "HasOptedOutOfEmail": f} for i, f in zip(ids, flags, strict=True)]))
    assert [held == Live(opted_out=True) for held in scripted.look(CONTACTS[:3]).values()] == [True, False, False]


def test_a_converted_lead_whose_contact_is_gone_leads_nowhere(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    lead = LEADS[0].salesforce_id
    record = {"Id": lead, "HasOptedOutOfEmail": True, "IsConverted": True, "ConvertedContactId": None}
    server.answers(Say(body=[record]))
    assert scripted.look(LEADS[:1]) == {lead: Gone("NOT_FOUND")}


@pytest.mark.parametrize("page", [[], {"records": None}, {"records": [7]}, {"records": [{"Title": "t"}]}], ids=str)
def test_a_page_that_cannot_be_read_is_an_outage_not_an_absence(
    server: ScriptedServer, scripted: SalesforceOrganisation, page: object
) -> None:
    server.answers(Say(body=page))
    with pytest.raises(OrganisationUnavailable, match="UNREADABLE_ANSWER"):
        scripted.find_notes([(CONTACTS[0].salesforce_id, "t")])


def test_missing_people_are_asked_for_in_queries_short_enough_for_a_url(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    queried: list[str] = []

    def script(heard: Heard) -> Say:
        parts = heard.json["compositeRequest"]
        queries = [part["url"] for part in parts if part["method"] == "GET"]
        queried.extend(queries)
        return composite(*((200, NOBODY if queries else [None]) for _ in parts))

    server.script = script
    held = scripted.look(CONTACTS[:1000] + LEADS[:500])
    assert set(held.values()) == {Gone("NOT_FOUND")}
    assert len(server.heard) == 2
    assert max(map(len, queried)) < 12_000
    for url in queried:
        soql = parse_qs(urlsplit(url).query)["q"][0]
        assert urlsplit(url).path == "/services/data/v65.0/queryAll"
        assert soql.startswith("SELECT Id, HasOptedOutOfEmail")


def test_every_page_of_a_query_is_read(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    parent = CONTACTS[0].salesforce_id
    first, second = ({"Id": f"00200000000000{n}AAA", "ParentId": parent, "Title": "t", "Body": "b"} for n in (2, 1))
    more = "/services/data/v65.0/query/0r8000000000001-2000"
    server.answers(
        Say(body={"records": [first], "totalSize": 2, "done": False, "nextRecordsUrl": more}),
        Say(body={"records": [second], "totalSize": 2, "done": True}),
    )
    assert scripted.find_notes([(parent, "t")]) == {
        (parent, "t"): [FoundNote(second["Id"], "t", "b"), FoundNote(first["Id"], "t", "b")]
    }
    assert server.heard[1].path == more


def test_a_note_counts_only_for_its_exact_parent_and_title(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    one, two = (person.salesforce_id for person in CONTACTS[:2])
    notes = [
        {"Id": "002000000000001AAA", "ParentId": one, "Title": "Left at 9 AM", "Body": None},
        {"Id": "002000000000002AAA", "ParentId": one, "Title": "left at 9 am", "Body": None},
        {"Id": "002000000000003AAA", "ParentId": two, "Title": "Left at 9 AM", "Body": None},
    ]
    server.answers(Say(body={"records": notes, "totalSize": 3, "done": True}))
    found = scripted.find_notes([(one[:15], "Left at 9 AM"), (two, "left at 9 am")])
    left = FoundNote("002000000000001AAA", "Left at 9 AM", "")
    assert found == {(one[:15], "Left at 9 AM"): [left], (two, "left at 9 am"): []}


def test_a_title_cannot_leave_its_quotes(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.answers(Say(body=NOBODY))
    title = "O'Brien\\' OR Title != '\n"
    scripted.find_notes([(CONTACTS[0].salesforce_id, title)])
    soql = parse_qs(urlsplit(server.heard[0].path).query)["q"][0]
    assert soql.endswith(r"Title IN ('O\'Brien\\\' OR Title != \'\n')")


def test_chunks_keep_order_and_stay_within_their_size() -> None:
    assert list(in_chunks("aabbbc", lambda _: 1, 4)) == [list("aabb"), list("bc")]
    assert list(in_chunks([3, 9, 1, 1], lambda each: each, 4)) == [[3], [9], [1, 1]]
    assert list(in_chunks([], len, 4)) == []
