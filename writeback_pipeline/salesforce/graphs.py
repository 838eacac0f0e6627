"""Notes with what is made together with them: a ContentNote's link, a key record. Each is a graph, all of it or none.

Pure: builds the requests and reads the answers. Which rows travel so is decided in `packing`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from writeback_pipeline.domain.records import Answer, RowResult, RowWrite
from writeback_pipeline.salesforce import key_records
from writeback_pipeline.salesforce.calls import Reply, Request, replies, subrequest
from writeback_pipeline.salesforce.errors import UNREADABLE, CallFailed, Trouble, trouble_of
from writeback_pipeline.salesforce.settling import same_fate

MAX_GRAPHS = 75

_NOTE, _LINK, _KEY = "note", "link", "key"
_HALTED = "PROCESSING_HALTED"
_NO_SUCH_OBJECT = "INVALID_TYPE"
_WORDS_FOR_NO_SUCH_OBJECT = ("NOT_FOUND", _NO_SUCH_OBJECT)
"""Nothing but the object is named in the address of a create, so that is what was not found."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """Rows that share a call, each in a graph of its own; `positions` are theirs in the sequence that was packed."""

    positions: tuple[int, ...]

    def request(self, rows: Sequence[RowWrite]) -> Request:
        """The call's request; a graph that fails leaves its neighbours alone."""
        graphs = [
            {"graphId": _graph_id(number), "compositeRequest": _nodes(rows[position])}
            for number, position in enumerate(self.positions)
        ]
        return Request("POST", "composite/graph", {"graphs": graphs})


def settle_graphs(rows: Sequence[RowWrite], body: Any) -> list[RowResult]:
    """One result per row, in order, from the JSON of the whole answer.

    Raises CallFailed when it cannot be read, or when no row was executed because the organisation has no such object.
    """
    listed = body.get("graphs") if isinstance(body, dict) else None
    if not isinstance(listed, list):
        raise CallFailed(UNREADABLE)
    by_id = {str(graph.get("graphId")): graph for graph in listed if isinstance(graph, dict)}
    results = [_result(row, by_id.get(_graph_id(number), {})) for number, row in enumerate(rows)]
    refused = next((result for result in results if result.code == _NO_SUCH_OBJECT), None)
    if refused is not None and all(result.answer is Answer.NOT_SENT for result in results):
        raise CallFailed(Trouble(_NO_SUCH_OBJECT, refused.message or "", maybe_executed=False))
    return results


def _graph_id(number: int) -> str:
    return f"graph{number}"


def _nodes(row: RowWrite) -> list[dict[str, Any]]:
    return [
        subrequest(name, Request("POST", f"sobjects/{sobject}", fields))
        for name, (sobject, fields) in _creates(row).items()
    ]


def _creates(row: RowWrite) -> dict[str, tuple[str, dict[str, Any]]]:
    """Object and fields of every record of the row's graph, by node, in the order in which they are made."""
    creates = {_NOTE: (row.sobject, dict(row.fields))}
    the_note = f"@{{{_NOTE}.id}}"
    if row.linked_to is not None:
        # Without Visibility the organisation's own default holds. To name one is no good: InternalUsers is refused
        # where there are no Experience Cloud sites, and AllUsers shows the note to customers where there are.
        link = {"ContentDocumentId": the_note, "LinkedEntityId": row.linked_to, "ShareType": "V"}
        creates[_LINK] = ("ContentDocumentLink", link)
    if row.record_key is not None:
        key = {key_records.KEY_FIELD: row.record_key, key_records.RECORD_FIELD: the_note}
        creates[_KEY] = (key_records.OBJECT, key)
    return creates


def _result(row: RowWrite, graph: Mapping[str, Any]) -> RowResult:
    nodes = replies(graph.get("graphResponse")) or {}
    creates = _creates(row)
    if graph.get("isSuccessful") is True:
        return _written(nodes, creates)
    troubles = {name: trouble_of(node.status, node.body) for name, node in nodes.items() if node.status >= 300}
    if graph.get("isSuccessful") is not False or not troubles:
        return same_fate(UNREADABLE)
    name, culprit = next((each for each in troubles.items() if each[1].code != _HALTED), next(iter(troubles.items())))
    if culprit.maybe_executed:
        return same_fate(culprit)
    if culprit.code in _WORDS_FOR_NO_SUCH_OBJECT:
        sobject, _ = creates.get(name, creates[_NOTE])
        return RowResult(Answer.NOT_SENT, code=_NO_SUCH_OBJECT, message=f"{sobject}: {culprit.message}")
    # Without a culprit it is the stop after too many failures of other graphs: this one was not even tried.
    fate = Answer.NOT_SENT if culprit.code == _HALTED else Answer.REJECTED
    return RowResult(fate, code=culprit.code, message=culprit.message)


def _written(nodes: Mapping[str, Reply], creates: Iterable[str]) -> RowResult:
    note = nodes[_NOTE].body if all(name in nodes and nodes[name].status < 300 for name in creates) else None
    record_id = note.get("id") if isinstance(note, dict) else None
    return RowResult(Answer.OK, record_id=record_id) if isinstance(record_id, str) else same_fate(UNREADABLE)
