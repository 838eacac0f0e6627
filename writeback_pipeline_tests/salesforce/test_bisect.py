"""A request that is refused as a whole, because of a row in it, is sent again in halves until that row is alone."""

import math

import pytest

from writeback_pipeline.domain.records import Answer, RowResult
from writeback_pipeline.salesforce import writes
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.salesforce.scripted import Heard, Say, ScriptedServer, composite
from writeback_pipeline_tests.salesforce.test_writing import IDS, QUOTA, answers, flags, note, ok, written_by

REFUSAL = [{"errorCode": "JSON_PARSER_ERROR", "message": "Unexpected character"}]
BLAMED = RowResult(Answer.REJECTED, code="JSON_PARSER_ERROR", message="Unexpected character")


def refusing(server: ScriptedServer, *poison: str) -> None:
    """Refuse each request that carries one of these ids, the parts of a composite on their own; take the others."""

    def script(heard: Heard) -> Say:
        if heard.path.endswith("/composite/sobjects"):
            spoiled = any(record["id"] in poison for record in heard.json["records"])
            return Say(400, REFUSAL) if spoiled else written_by(heard)
        parts = [[record["id"] for record in part["body"]["records"]] for part in heard.json["compositeRequest"]]
        return composite(
            *((400, REFUSAL) if set(ids) & set(poison) else (200, [ok(each) for each in ids]) for ids in parts)
        )

    server.script = script


@pytest.mark.parametrize("place", [0, 77, 199])
def test_one_poisonous_row_of_200_is_found_and_the_others_are_written(
    server: ScriptedServer, scripted: SalesforceOrganisation, place: int
) -> None:
    refusing(server, IDS[place])
    results = scripted.write(flags(200))
    assert results.pop(place) == BLAMED
    assert set(answers(results)) == {Answer.OK}
    assert len(server.heard) - 1 <= 2 * math.ceil(math.log2(200))


def test_only_the_part_that_was_refused_is_sent_again(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    refusing(server, IDS[250])
    results = scripted.write(flags(1000))
    assert results.pop(250) == BLAMED
    assert set(answers(results)) == {Answer.OK}
    sent_twice = [len(heard.json["records"]) for heard in server.heard[1:]]
    assert max(sent_twice) == 100
    assert len(sent_twice) <= 2 * math.ceil(math.log2(200))


def test_a_whole_call_that_is_refused_is_halved(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    poison = IDS[613]

    def script(heard: Heard) -> Say:
        return Say(400, REFUSAL) if poison.encode() in heard.body else written_by(heard)

    server.script = script
    results = scripted.write(flags(1000))
    assert results.pop(613) == BLAMED
    assert set(answers(results)) == {Answer.OK}
    assert len(server.heard) - 1 <= 2 * math.ceil(math.log2(1000))


def test_several_poisonous_rows_are_found(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    poison = (3, 4, 120)
    refusing(server, *(IDS[place] for place in poison))
    results = scripted.write(flags(200))
    assert [place for place, result in enumerate(results) if result == BLAMED] == list(poison)
    assert answers(results).count(Answer.OK) == 197


def test_what_nothing_gets_through_is_no_rows_fault(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.answers(Say(400, REFUSAL))
    results = scripted.write(flags(200))
    assert set(answers(results)) == {Answer.NOT_SENT}
    assert len(server.heard) <= 2 * 9


@pytest.mark.parametrize(
    "refusal",
    [
        Say(404, [{"errorCode": "NOT_FOUND", "message": "Provided external ID field does not exist"}]),
        Say(400, [{"errorCode": "INVALID_FIELD", "message": "No such column"}]),
        Say(405, [{"errorCode": "METHOD_NOT_ALLOWED", "message": "m"}]),
    ],
    ids=lambda say: str(say.status),
)
def test_a_refusal_that_no_row_can_have_caused_is_not_searched(
    server: ScriptedServer, scripted: SalesforceOrganisation, refusal: Say
) -> None:
    server.script = lambda heard: composite((refusal.status, refusal.body), (201, [ok("002000000000009AAA")]))
    assert set(answers(scripted.write([*flags(2), note()])[:2])) == {Answer.NOT_SENT}
    assert len(server.heard) == 1


@pytest.mark.parametrize("say", [Say(500, "<html>"), Say(drop=True)], ids=["500", "dropped"])
def test_what_may_have_been_executed_is_never_sent_again(
    server: ScriptedServer, scripted: SalesforceOrganisation, say: Say
) -> None:
    server.answers(Say(400, REFUSAL), say)
    results = scripted.write(flags(8))
    assert answers(results) == [Answer.UNKNOWN] * 4 + [Answer.NOT_SENT] * 4
    assert len(server.heard) == 2


def test_a_quota_that_ends_meanwhile_ends_the_search(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    refusing(server, IDS[0])
    search = server.script
    server.script = lambda heard: Say(403, QUOTA) if len(server.heard) == 4 else search(heard)
    results = scripted.write(flags(8))
    assert answers(results) == [Answer.NOT_SENT] * 4 + [Answer.OK] * 4
    assert len(server.heard) == 4


def test_a_search_ends_while_the_lease_has_time_left(
    server: ScriptedServer, scripted: SalesforceOrganisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "SECONDS_TO_BISECT", 0.0)
    refusing(server, IDS[0])
    assert set(answers(scripted.write(flags(8)))) == {Answer.NOT_SENT}
    assert len(server.heard) == 1
