"""Row writes in as few API calls as possible, and what became of each row.

Packing, reading answers and the search for a row that spoils a request are its neighbours'; which rows are written is
delivery's.
"""

from collections.abc import Sequence
from dataclasses import replace
from time import monotonic

from writeback_pipeline.domain.outcomes import OF_THE_OBJECT
from writeback_pipeline.domain.records import Answer, Operation, RowResult, RowWrite
from writeback_pipeline.salesforce.bisect import Positions, isolate, refused_together
from writeback_pipeline.salesforce.calls import Calls, Reply
from writeback_pipeline.salesforce.errors import CallFailed, Trouble
from writeback_pipeline.salesforce.graphs import Graphs, settle_graphs
from writeback_pipeline.salesforce.key_records import Pair, settle_pair
from writeback_pipeline.salesforce.packing import Part, pack_calls
from writeback_pipeline.salesforce.settling import same_fate, settle

SECONDS_TO_BISECT = 30.0
"""How long after the beginning of a write its further calls may leave: well within what a lease has left then."""

_OUT_OF_TIME = Trouble("SERVER_UNAVAILABLE", "There was no time to send it again in parts.", maybe_executed=False)


class Writes:
    """Writes to one organisation."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def write(self, rows: Sequence[RowWrite]) -> list[RowResult]:
        """What became of each row, in the order given; raises OrganisationUnavailable while nothing was executed."""
        begun = monotonic()
        results: dict[int, RowResult] = {}
        stopped: Trouble | None = None
        calls = pack_calls(rows)
        for parts in calls:
            try:
                results |= self._send(rows, parts) if stopped is None else _alike(parts, stopped)
            except CallFailed as failed:
                if _are_notes(rows, parts) and failed.trouble.code in OF_THE_OBJECT:
                    results |= _alike(parts, failed.trouble)
                    continue
                if failed.concerns_everything and not failed.trouble.maybe_executed and not results:
                    raise failed.unavailable from None
                results |= _alike(parts, failed.trouble)
                if failed.concerns_everything:
                    stopped = replace(failed.trouble, maybe_executed=False)

        def send(positions: Positions) -> dict[int, RowResult]:
            if monotonic() - begun > SECONDS_TO_BISECT:
                raise CallFailed(_OUT_OF_TIME)
            (parts,) = pack_calls([rows[position] for position in positions])
            answers = self._send([rows[position] for position in positions], parts)
            return {positions[place]: answer for place, answer in answers.items()}

        if stopped is None:
            for group in refused_together([[part.positions for part in parts] for parts in calls], results):
                results |= isolate(group, results, send)
        return [_of_its_own(row, results[position]) for position, row in enumerate(rows)]

    def _send(self, rows: Sequence[RowWrite], parts: Sequence[Part]) -> dict[int, RowResult]:
        requests = [part.request(rows) for part in parts]
        replies = [Reply(200, self._calls.single(*requests))] if len(requests) == 1 else self._calls.composite(requests)
        return {
            position: result
            for part, reply in zip(parts, replies, strict=True)
            for position, result in zip(part.positions, _settled(rows, part, reply), strict=True)
        }


def _settled(rows: Sequence[RowWrite], part: Part, reply: Reply | None) -> list[RowResult]:
    theirs = [rows[position] for position in part.positions]
    if isinstance(part, Pair):
        return settle_pair(theirs[0], reply)
    return settle_graphs(theirs, reply and reply.body) if isinstance(part, Graphs) else settle(theirs, reply)


def _are_notes(rows: Sequence[RowWrite], parts: Sequence[Part]) -> bool:
    return all(rows[position].operation is Operation.CREATE_NOTE for part in parts for position in part.positions)


def _of_its_own(row: RowWrite, result: RowResult) -> RowResult:
    """A Note that the organisation is not set up for is refused by itself: it stops no flag, its tries are counted."""
    of_notes = row.operation is Operation.CREATE_NOTE and result.code in OF_THE_OBJECT
    return result._replace(answer=Answer.REJECTED) if of_notes and result.answer is Answer.NOT_SENT else result


def _alike(parts: Sequence[Part], trouble: Trouble) -> dict[int, RowResult]:
    positions = [position for part in parts for position in part.positions]
    return dict.fromkeys(positions, same_fate(trouble))
