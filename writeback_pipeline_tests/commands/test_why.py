"""`writebacks why`: a person's story as text and as JSON."""

import json
from collections.abc import Callable

from writeback_pipeline.domain.writebacks import Status
from writeback_pipeline.local_org.sample import people
from writeback_pipeline_tests.commands.conftest import Writebacks

PERSON = people().contacts[0].id
AT = "2026-11-23T09:05:07Z"


def queue(writebacks: Writebacks, *more: str) -> None:
    result = writebacks("enqueue", "unsubscribe", "--contact", PERSON, "--at", AT, *more)
    assert result.exit_code == 0, result.stderr


def test_a_story_reads_from_top_to_bottom(writebacks: Writebacks, settle_all: Callable[..., None]) -> None:
    queue(writebacks, "--reason", "Bad\x1b[2JEmail", "--email", "ann@example.com")
    settle_all(Status.FAILED, error_code="ENTITY_IS_LOCKED", advice="Finish the approval.")
    result = writebacks("why", "ann@example.com")
    assert result.exit_code == 0
    first, empty, event, queued, failed, *rest = result.stdout.splitlines()
    assert (first, empty) == (f"Contact {PERSON}", "")
    assert event == (
        f"{AT}        Unsubscribed on the platform (Contact {PERSON}, ann@example.com). Reason: Bad\ufffd[2JEmail"
    )
    assert queued.endswith("Queued as writeback 1 (unsubscribe).")
    assert failed.endswith("Writeback 1 could not be written and needs a person. ENTITY_IS_LOCKED.")
    assert rest == ["", "Now", "  Writeback 1 (unsubscribe) needs a person. ENTITY_IS_LOCKED. Finish the approval."]


def test_json_has_the_moments_and_the_rows(writebacks: Writebacks) -> None:
    queue(writebacks, "--subscriber", "s-1")
    document = json.loads(writebacks("why", "s-1", "--format", "json").stdout)
    (story,) = document["stories"]
    assert story["people"] == [{"object_type": "Contact", "salesforce_id": PERSON}]
    assert [moment["kind"] for moment in story["moments"]] == ["event", "queued"]
    assert (story["moments"][0]["at"], story["moments"][0]["writeback_id"]) == (AT, 1)
    assert story["now"] == ["Writeback 1 (unsubscribe) is queued."]
    assert story["writebacks"][0]["status"] == "pending"


def test_a_stranger_is_wrong_input(writebacks: Writebacks) -> None:
    result = writebacks("why", "stranger@example.com")
    assert result.exit_code == 2
    assert "nobody is known as stranger@example.com" in result.stderr
    assert result.stdout == ""
