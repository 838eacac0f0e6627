"""Key records: a Writeback__c with a unique key, made together with a note, so that the note is never made twice.

Pure: names, requests and what comes back. Which notes carry a key is planned elsewhere; the object itself is part of
`salesforce_package`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simple_salesforce.format import format_soql

from writeback_pipeline.domain.records import Answer, RowResult, RowWrite
from writeback_pipeline.salesforce.calls import Reply, Request, soql_request
from writeback_pipeline.salesforce.errors import UNREADABLE
from writeback_pipeline.salesforce.lookup import encoded_size
from writeback_pipeline.salesforce.reads import MAX_QUERY_BYTES, in_chunks
from writeback_pipeline.salesforce.settling import same_fate, settle

OBJECT = "Writeback__c"
KEY_FIELD = "Key__c"
RECORD_FIELD = "Record_Id__c"

_ROLLED_BACK = "ALL_OR_NONE_OPERATION_ROLLED_BACK"


@dataclass(frozen=True, slots=True)
class Pair:
    """A note and its key record as one all-or-none collection, for text that a graph would take for a reference.

    The key record then names no note: a collection cannot tell one row the id of another.
    """

    positions: tuple[int]

    def request(self, rows: Sequence[RowWrite]) -> Request:
        """The call's request."""
        row = rows[self.positions[0]]
        note = {"attributes": {"type": row.sobject}} | dict(row.fields)
        key = {"attributes": {"type": OBJECT}, KEY_FIELD: row.record_key}
        return Request("POST", "composite/sobjects", {"allOrNone": True, "records": [note, key]})


def settle_pair(row: RowWrite, reply: Reply | None) -> list[RowResult]:
    """The result of the note, from the answer to it and its key record."""
    results = settle([row, row], reply)
    answers = {result.answer for result in results}
    if answers == {Answer.OK}:
        return results[:1]
    if answers == {Answer.REJECTED}:
        return [next((each for each in results if each.code != _ROLLED_BACK), results[0])]
    unanswered = (each for each in results if each.answer not in (Answer.OK, Answer.REJECTED))
    return [next(unanswered, same_fate(UNREADABLE))]  # one written, one refused: that is no all-or-none


def key_queries(keys: Sequence[str]) -> list[Request]:
    """Queries for the key records with these keys, those in the recycle bin too."""
    return [
        soql_request(
            format_soql(
                f"SELECT Id, IsDeleted, {KEY_FIELD}, {RECORD_FIELD} FROM {OBJECT} WHERE {KEY_FIELD} IN {{keys}}",
                keys=chunk,
            )
        )
        for chunk in in_chunks(sorted(set(keys)), encoded_size, MAX_QUERY_BYTES)
    ]


def live_records(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What such queries found and is not deleted: the id of the key record by its key."""
    return {record[KEY_FIELD]: record["Id"] for record in records if not record["IsDeleted"]}


def found_keys(records: Iterable[Mapping[str, Any]]) -> dict[str, str | None]:
    """What such queries found: by key, the id of the note made with it, None where that was not noted.

    A record that is not deleted takes precedence. Raises KeyError when a record lacks what was asked for.
    """
    deleted_first = sorted(records, key=lambda record: not record["IsDeleted"])
    return {record[KEY_FIELD]: record[RECORD_FIELD] for record in deleted_first}
