import socket
from typing import Any

import pytest

from writeback_pipeline.domain.records import Answer, Operation, OrganisationUnavailable, RowResult, RowWrite
from writeback_pipeline.salesforce.connection import ClientCredentials, SalesforceConnection
from writeback_pipeline.salesforce.organisation import SalesforceOrganisation
from writeback_pipeline_tests.patience import wait_until
from writeback_pipeline_tests.salesforce.scripted import EXPIRED, Heard, Say, ScriptedServer, composite

IDS = [f"003{number:012}AAA" for number in range(1200)]
QUOTA = [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
REFUSED_ROW = {
    "success": False,
    "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain", "fields": []}],
}


def flags(count: int) -> list[RowWrite]:
    fields = {"HasOptedOutOfEmail": True}
    return [RowWrite(Operation.SET_FLAG, "Contact", fields, record_id=record_id) for record_id in IDS[:count]]


def note() -> RowWrite:
    return RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": IDS[0], "Title": "t"})


def ok(record_id: str) -> dict[str, Any]:
    return {"id": record_id, "success": True, "errors": []}


def answers(results: list[RowResult]) -> list[Answer]:
    return [result.answer for result in results]


def written_by(heard: Heard) -> Say:
    """A healthy organisation that takes every row."""
    if heard.path.endswith("/composite/sobjects"):
        return Say(body=[ok(record["id"]) for record in heard.json["records"]])
    parts = heard.json["compositeRequest"]
    return composite(*((200, [ok(record["id"]) for record in part["body"]["records"]]) for part in parts))


def test_rows_are_settled_by_position(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    server.answers(composite((200, [ok(IDS[0]), REFUSED_ROW, ok(IDS[2])]), (201, [ok("002000000000009AAA")])))
    results = scripted.write([*flags(2), note(), *flags(3)[2:]])
    assert results == [
        RowResult(Answer.OK, record_id=IDS[0]),
        RowResult(Answer.REJECTED, code="UNABLE_TO_LOCK_ROW", message="unable to obtain"),
        RowResult(Answer.OK, record_id="002000000000009AAA"),
        RowResult(Answer.OK, record_id=IDS[2]),
    ]


def test_parts_of_the_answer_are_told_apart_by_name_not_by_place(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    say = composite((200, [ok(IDS[0])]), (200, [REFUSED_ROW]))
    say.body["compositeResponse"].reverse()
    server.answers(say)
    assert answers(scripted.write([*flags(1), note()])) == [Answer.OK, Answer.REJECTED]


def test_a_lone_collection_needs_no_composite_around_it(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = written_by
    assert answers(scripted.write(flags(200))) == [Answer.OK] * 200
    assert server.heard[0].path == "/services/data/v65.0/composite/sobjects"


def test_a_text_that_a_composite_would_take_for_a_reference_travels_alone(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    odd = RowWrite(Operation.CREATE_NOTE, "Note", {"ParentId": IDS[0], "Title": "t", "Body": "Reason: @{part0[0].id}"})
    lone = Say(201, [ok("002000000000007AAA")])
    together = composite((200, [ok(IDS[0])]), (201, [ok("002000000000008AAA")]))
    server.script = lambda heard: together if heard.path.endswith("/composite") else lone
    results = scripted.write([*flags(1), odd, note()])
    assert [result.record_id for result in results] == [IDS[0], "002000000000007AAA", "002000000000008AAA"]
    assert b"@{" not in server.heard[0].body
    assert server.heard[1].json["records"][0]["Body"] == "Reason: @{part0[0].id}"


def test_no_part_of_a_call_can_undo_or_overtake_another(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.answers(composite((200, [ok(IDS[0])]), (200, [REFUSED_ROW])))
    scripted.write([*flags(1), note()])
    sent = server.heard[0].json
    assert (sent["allOrNone"], sent["collateSubrequests"]) == (False, False)
    assert [part["method"] for part in sent["compositeRequest"]] == ["PATCH", "POST"]
    for part in sent["compositeRequest"]:
        assert part["body"]["allOrNone"] is False
        assert part["httpHeaders"]["Sforce-Auto-Assign"] == "FALSE"
        assert part["url"].startswith("/services/data/v65.0/composite/sobjects")


@pytest.mark.parametrize(
    "part",
    [
        (200, [ok(IDS[0])]),
        (200, {"not": "a list"}),
        (200, [ok(IDS[1]), ok(IDS[0])]),
        (200, [ok(IDS[0]), "?"]),
        (200, [ok(IDS[0]), {"success": "yes"}]),
        (500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "ErrorId 1"}]),
        (503, "<html>"),
    ],
    ids=["one-too-few", "no-list", "swapped", "no-object", "no-boolean", "500", "503"],
)
def test_a_part_that_cannot_be_trusted_leaves_its_rows_unknown_and_no_others(
    server: ScriptedServer, scripted: SalesforceOrganisation, part: tuple[int, Any]
) -> None:
    server.answers(composite(part, (201, [ok("002000000000009AAA")])))
    first, second, other = answers(scripted.write([*flags(2), note()]))
    assert second is Answer.UNKNOWN
    assert first in (Answer.UNKNOWN, Answer.OK)
    assert other is Answer.OK


def test_a_part_without_an_answer_leaves_its_rows_unknown(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.answers(composite((200, [ok(IDS[0])])))
    assert answers(scripted.write([*flags(1), note()])) == [Answer.OK, Answer.UNKNOWN]


def test_a_refused_part_of_one_row_is_that_rows_own_trouble(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    refusal = [{"errorCode": "JSON_PARSER_ERROR", "message": "Unexpected character"}]
    server.answers(composite((400, refusal), (201, [ok("002000000000009AAA")])))
    refused, written = scripted.write([*flags(1), note()])
    assert refused == RowResult(Answer.REJECTED, code="JSON_PARSER_ERROR", message="Unexpected character")
    assert written.answer is Answer.OK


@pytest.mark.parametrize(
    ("say", "code"),
    [
        (Say(silent=True), "NO_ANSWER"),
        (Say(drop=True), "NO_ANSWER"),
        (Say(body={"compositeResponse": []}, cut=True), "NO_ANSWER"),
        (Say(body="<html>saved?</html>"), "UNREADABLE_ANSWER"),
        (Say(body="7"), "UNREADABLE_ANSWER"),
        (Say(body=[]), "UNREADABLE_ANSWER"),
        (Say(204, ""), "UNREADABLE_ANSWER"),
        (Say(500, [{"errorCode": "APEX_ERROR", "message": "m"}]), "APEX_ERROR"),
        (Say(502, "<html>"), "HTTP_502"),
        (Say(503, "<html>"), "HTTP_503"),
        (Say(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "server too busy"}]), "SERVER_UNAVAILABLE"),
        (Say(504, ""), "HTTP_504"),
        (Say(401, "<html>proxy</html>"), "HTTP_401"),
        (Say(303, "", {"Location": "/elsewhere"}), "REDIRECTED"),
    ],
    ids=str,
)
def test_after_sending_anything_but_a_plain_answer_leaves_the_rows_unknown(
    server: ScriptedServer, scripted: SalesforceOrganisation, say: Say, code: str, hasty: SalesforceOrganisation
) -> None:
    server.answers(say)
    organisation = hasty if say.silent else scripted
    results = organisation.write(flags(1100))
    assert {(result.answer, result.code) for result in results[:1000]} == {(Answer.UNKNOWN, code)}
    assert {(result.answer, result.code) for result in results[1000:]} == {(Answer.NOT_SENT, code)}
    wait_until(lambda: server.heard)
    assert len(server.heard) == organisation.usage.calls == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, QUOTA),
        (401, EXPIRED),
        (403, [{"message": "API is disabled for this User", "errorCode": "API_DISABLED_FOR_ORG"}]),
    ],
)
def test_trouble_that_concerns_everything_is_raised_while_nothing_was_executed(
    server: ScriptedServer, scripted: SalesforceOrganisation, status: int, body: object
) -> None:
    server.answers(Say(status, body))
    with pytest.raises(OrganisationUnavailable):
        scripted.write(flags(1))


def test_what_was_written_before_trouble_is_still_told(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = lambda heard: written_by(heard) if len(server.heard) == 1 else Say(403, QUOTA)
    results = scripted.write(flags(1200))
    assert set(answers(results[:1000])) == {Answer.OK}
    assert {(result.answer, result.code) for result in results[1000:]} == {(Answer.NOT_SENT, "REQUEST_LIMIT_EXCEEDED")}


def test_a_session_lost_for_good_in_the_middle_keeps_what_was_written(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = lambda heard: written_by(heard) if len(server.heard) == 1 else Say(401, EXPIRED)
    results = scripted.write(flags(1200))
    assert set(answers(results[:1000])) == {Answer.OK}
    assert {(result.answer, result.code) for result in results[1000:]} == {(Answer.NOT_SENT, "INVALID_SESSION_ID")}
    assert len(server.logins) == 2


def test_a_server_that_cannot_be_reached_was_sent_nothing(
    server: ScriptedServer, scripted: SalesforceOrganisation
) -> None:
    server.script = written_by
    assert answers(scripted.write(flags(1))) == [Answer.OK]
    server.http.shutdown()
    server.http.server_close()
    scripted.close()
    with pytest.raises(OrganisationUnavailable) as refused:
        scripted.write(flags(1))
    assert (refused.value.code, refused.value.passing) == ("CONNECT_FAILED", True)
    assert scripted.usage.calls == 1


@pytest.mark.parametrize("url", ["https://no-such-host.invalid", "http://127.0.0.1:9"])
def test_a_host_that_does_not_exist_is_a_connect_failure(url: str) -> None:
    organisation = SalesforceOrganisation(SalesforceConnection(url, "app", ClientCredentials("x")))
    with pytest.raises(OrganisationUnavailable) as refused:
        organisation.write(flags(1))
    assert refused.value.code == "CONNECT_FAILED"
    assert organisation.usage.calls == 0


def test_a_proxy_that_cannot_be_reached_passed_nothing_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    connection = SalesforceConnection("https://acme.example", "app", ClientCredentials("x"))
    with pytest.raises(OrganisationUnavailable) as refused:
        SalesforceOrganisation(connection).write(flags(1))
    assert (refused.value.code, refused.value.passing) == ("PROXY_FAILED", True)


def test_a_connection_that_is_not_accepted_times_out_as_a_connect_failure() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        with socket.create_connection(address), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(address)
            connection = SalesforceConnection(f"http://127.0.0.1:{address[1]}", "app", ClientCredentials("x"))
            organisation = SalesforceOrganisation(connection, connect_seconds=0.3, read_seconds=5)
            with pytest.raises(OrganisationUnavailable) as refused:
                organisation.write(flags(1))
    assert refused.value.code == "CONNECT_FAILED"


def test_nothing_to_write_costs_nothing(server: ScriptedServer, scripted: SalesforceOrganisation) -> None:
    assert scripted.write([]) == []
    assert scripted.look([]) == {}
    assert scripted.find_notes([]) == {}
    assert not server.heard
    assert not server.logins
