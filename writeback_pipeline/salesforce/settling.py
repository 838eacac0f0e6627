"""What an answer to a collection of rows means for each of them.

Pure. A row counts as written or refused only where Salesforce said so of that row; whatever cannot be read leaves the
row's fate unknown.
"""

from collections.abc import Sequence
from typing import Any

from writeback_pipeline.domain.records import Answer, RowResult, RowWrite
from writeback_pipeline.salesforce.calls import Reply
from writeback_pipeline.salesforce.errors import UNREADABLE, Trouble, salesforce_error, trouble_of


def settle(rows: Sequence[RowWrite], reply: Reply | None) -> list[RowResult]:
    """One result per row, in order. Rows are matched by position; an echoed id that differs voids the whole answer."""
    if reply is not None and not 200 <= reply.status < 300:
        return [same_fate(trouble_of(reply.status, reply.body))] * len(rows)
    if reply is None or not isinstance(reply.body, list) or len(reply.body) != len(rows):
        return [same_fate(UNREADABLE)] * len(rows)
    results = [_result(row, item) for row, item in zip(rows, reply.body, strict=True)]
    if any(_is_another(row, result) for row, result in zip(rows, results, strict=True)):
        return [same_fate(UNREADABLE)] * len(rows)
    return results


def same_fate(trouble: Trouble) -> RowResult:
    """The result of every row whose call, or part of a call, got no usable answer."""
    fate = Answer.UNKNOWN if trouble.maybe_executed else Answer.NOT_SENT
    return RowResult(fate, code=trouble.code, message=trouble.message)


def _result(row: RowWrite, item: Any) -> RowResult:
    success = item.get("success") if isinstance(item, dict) else None
    if success is True:
        record_id = item.get("id") or row.record_id
        if isinstance(record_id, str):
            return RowResult(Answer.OK, record_id=record_id)
    if success is False:
        # A refused row has no id, and one that was rolled back may still show one: it is not ours.
        code, message = salesforce_error(item.get("errors")) or ("UNKNOWN_EXCEPTION", "Salesforce gave no reason.")
        return RowResult(Answer.REJECTED, code=code, message=message)
    return same_fate(UNREADABLE)


def _is_another(row: RowWrite, result: RowResult) -> bool:
    if result.answer is not Answer.OK or row.record_id is None or result.record_id is None:
        return False
    return result.record_id[:15] != row.record_id[:15]
