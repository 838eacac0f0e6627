from datetime import timedelta
from typing import Any

import pytest

from writeback_pipeline.salesforce.errors import Trouble, salesforce_error, trouble_of, unavailable


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([{"message": "m", "errorCode": "NOT_FOUND"}], ("NOT_FOUND", "m")),
        (
            [{"statusCode": "INVALID_EMAIL_ADDRESS", "message": "m", "fields": ["Email"]}],
            ("INVALID_EMAIL_ADDRESS", "m"),
        ),
        ({"error": "invalid_grant", "error_description": "m"}, ("invalid_grant", "m")),
        ({"error": "invalid_client"}, ("invalid_client", "")),
        ({"errorCode": "API_ERROR", "message": None}, ("API_ERROR", "")),
        ("<html>Bad Message 414</html>", None),
        ([], None),
        (None, None),
        (["https://one", "https://two"], None),
        ([{"errorCode": 7}], None),
    ],
)
def test_an_error_is_read_in_every_shape(body: Any, expected: tuple[str, str] | None) -> None:
    assert salesforce_error(body) == expected


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415])
def test_only_a_refusal_in_salesforces_words_proves_that_nothing_was_executed(status: int) -> None:
    assert not trouble_of(status, [{"errorCode": "X", "message": "m"}]).maybe_executed
    assert trouble_of(status, "<html>proxy</html>").maybe_executed
    assert trouble_of(status + 100, [{"errorCode": "X", "message": "m"}]).maybe_executed


def test_quota_and_concurrency_share_a_code_but_not_a_wait() -> None:
    code = "REQUEST_LIMIT_EXCEEDED"
    quota = unavailable(Trouble(code, "TotalRequests Limit exceeded.", False))
    crowd = unavailable(Trouble(code, "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", False))
    assert (quota.passing, quota.retry_after) == (True, timedelta(hours=1))
    assert (crowd.passing, crowd.retry_after) == (True, timedelta(seconds=10))
    assert quota.advice != crowd.advice


@pytest.mark.parametrize(
    ("trouble", "passing"),
    [
        (trouble_of(503, "<html>maintenance</html>"), True),
        (trouble_of(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "server too busy"}]), True),
        (trouble_of(500, [{"errorCode": "UNKNOWN_EXCEPTION", "message": "ErrorId 1"}]), True),
        (trouble_of(403, [{"errorCode": "API_DISABLED_FOR_ORG", "message": "m"}]), False),
        (trouble_of(400, [{"errorCode": "JSON_PARSER_ERROR", "message": "m"}]), False),
        (trouble_of(400, [{"errorCode": "QUERY_TIMEOUT", "message": "m"}]), True),
    ],
)
def test_advice_says_whether_waiting_helps(trouble: Trouble, passing: bool) -> None:
    told = unavailable(trouble)
    assert (told.code, told.passing) == (trouble.code, passing)
    assert told.advice
