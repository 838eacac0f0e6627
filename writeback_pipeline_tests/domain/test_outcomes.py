"""Error codes: each has one meaning, and an unknown one is safe."""

import pytest

from writeback_pipeline.domain.outcomes import OF_THE_RECORD, OUTCOMES, UNLISTED, Action, classify

CODES = {
    Action.RETRY: """
        UNABLE_TO_LOCK_ROW API_CURRENTLY_DISABLED DUPLICATE_VALUE APEX_ERROR UNKNOWN_EXCEPTION
        SERVER_UNAVAILABLE INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE INVALID_READ_ONLY_USER_DML
        QUERY_TIMEOUT TXN_SECURITY_METERING_ERROR ALL_OR_NONE_OPERATION_ROLLED_BACK PROCESSING_HALTED
    """,
    Action.REDIRECT: """
        ENTITY_IS_DELETED CANNOT_UPDATE_CONVERTED_LEAD
    """,
    Action.PERSON: """
        NOT_FOUND INVALID_CROSS_REFERENCE_KEY MALFORMED_ID FIELD_INTEGRITY_EXCEPTION
        FIELD_CUSTOM_VALIDATION_EXCEPTION REQUIRED_FIELD_MISSING STRING_TOO_LONG INVALID_EMAIL_ADDRESS
        INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST INSUFFICIENT_ACCESS_OR_READONLY
        INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY ENTITY_IS_LOCKED DUPLICATES_DETECTED
        DUPLICATE_EXTERNAL_ID CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY CANNOT_EXECUTE_FLOW_TRIGGER
        EXCEEDED_ID_LIMIT JSON_PARSER_ERROR INVALIDENTITY INVALIDJOBSTATE
    """,
    Action.CONFIGURATION: """
        INVALID_SESSION_ID INVALID_AUTH_HEADER API_DISABLED_FOR_ORG INVALID_FIELD
        INVALID_FIELD_FOR_INSERT_UPDATE TXN_SECURITY_NO_ACCESS INVALID_TYPE MALFORMED_QUERY
        INVALID_QUERY_FILTER_OPERATOR UNSUPPORTED_MEDIA_TYPE METHOD_NOT_ALLOWED GONE
    """,
    Action.QUOTA: """
        REQUEST_LIMIT_EXCEEDED STORAGE_LIMIT_EXCEEDED LIMIT_EXCEEDED
    """,
}
"""Every code that Salesforce is known to answer with, and what it asks for."""


@pytest.mark.parametrize(
    ("code", "action"), [(code, action) for action, codes in CODES.items() for code in codes.split()]
)
def test_a_code_says_what_to_do(code: str, action: Action) -> None:
    assert classify(code).action is action


def test_every_code_of_the_table_is_known_here() -> None:
    assert OUTCOMES.keys() == {code for codes in CODES.values() for code in codes.split()}
    assert set(OUTCOMES) > OF_THE_RECORD


@pytest.mark.parametrize(
    "message",
    [
        "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        "ConcurrentPerOrgLongTxn Limit exceeded",
    ],
)
def test_too_many_requests_at_once_are_not_too_many_a_day(message: str) -> None:
    assert "within seconds" in classify("REQUEST_LIMIT_EXCEEDED", message).advice
    assert "used up" in classify("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.").advice


def test_a_code_that_nobody_knows_needs_a_person_and_is_not_repeated() -> None:
    assert classify("SOMETHING_NEW") is UNLISTED
    assert UNLISTED.action is Action.PERSON


def test_a_lock_inside_a_trigger_is_passing_whatever_language_surrounds_it() -> None:
    message = "Disparador: execution of AfterUpdate\n\ncaused by: System.DmlException: ... UNABLE_TO_LOCK_ROW, ..."
    assert classify("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message).action is Action.RETRY
    assert classify("CANNOT_EXECUTE_FLOW_TRIGGER", "Apex CPU time limit exceeded").action is Action.RETRY
    assert (
        classify("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "System.LimitException: Too many DML").action is Action.RETRY
    )
    assert classify("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "NullPointerException").action is Action.PERSON


def test_the_text_of_any_other_error_is_not_read() -> None:
    assert classify("FIELD_CUSTOM_VALIDATION_EXCEPTION", "UNABLE_TO_LOCK_ROW").action is Action.PERSON


def test_every_advice_is_a_sentence() -> None:
    for outcome in [*OUTCOMES.values(), UNLISTED]:
        assert outcome.advice.endswith(".")
        assert outcome.advice[0].isupper()
