"""Error codes: each has one meaning, and an unknown one is safe."""

import pytest

from writeback_pipeline.domain.outcomes import OUTCOMES, UNLISTED, Action, classify


@pytest.mark.parametrize(
    ("code", "action"),
    [
        ("UNABLE_TO_LOCK_ROW", Action.RETRY),
        ("CANNOT_UPDATE_CONVERTED_LEAD", Action.REDIRECT),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Action.PERSON),
        ("INVALID_FIELD", Action.CONFIGURATION),
        ("STORAGE_LIMIT_EXCEEDED", Action.QUOTA),
        ("SOMETHING_NEW", Action.PERSON),
    ],
)
def test_a_code_says_what_to_do(code: str, action: Action) -> None:
    assert classify(code).action is action


def test_a_code_that_nobody_knows_needs_a_person_and_is_not_repeated() -> None:
    assert classify("SOMETHING_NEW") is UNLISTED
    assert UNLISTED.action is Action.PERSON


def test_a_lock_inside_a_trigger_is_passing_whatever_language_surrounds_it() -> None:
    message = "Disparador: execution of AfterUpdate\n\ncaused by: System.DmlException: ... UNABLE_TO_LOCK_ROW, ..."
    assert classify("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message).action is Action.RETRY
    assert classify("CANNOT_EXECUTE_FLOW_TRIGGER", "Apex CPU time limit exceeded").action is Action.RETRY
    assert classify("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "NullPointerException").action is Action.PERSON


def test_the_text_of_any_other_error_is_not_read() -> None:
    assert classify("FIELD_CUSTOM_VALIDATION_EXCEPTION", "UNABLE_TO_LOCK_ROW").action is Action.PERSON


def test_every_advice_is_a_sentence() -> None:
    for outcome in [*OUTCOMES.values(), UNLISTED]:
        assert outcome.advice.endswith(".")
        assert outcome.advice[0].isupper()
