"""Which row of a request made Salesforce refuse it as a whole: halves are sent again until that row is alone.

Only for requests that were refused unexecuted because of what they carried; the other rows are written on the way. How
rows are sent is the caller's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from writeback_pipeline.domain.records import Answer, RowResult
from writeback_pipeline.salesforce.errors import CallFailed, Trouble, may_be_one_row
from writeback_pipeline.salesforce.settling import same_fate

MAX_CALLS = 64
"""Calls that are made to find the rows of one write that spoil it; the rest of its rows wait for another write."""

Positions = tuple[int, ...]
Send = Callable[[Positions], dict[int, RowResult]]
"""Sends those rows in one call; raises CallFailed."""


def refused_together(calls: Sequence[Sequence[Positions]], results: Mapping[int, RowResult]) -> list[Positions]:
    """The rows that were refused as one, by call where it was the whole call, else by part of it."""
    return [group for parts in calls for group in _groups(parts, results)]


def isolate(group: Positions, results: Mapping[int, RowResult], send: Send) -> dict[int, RowResult]:
    """What became of the group's rows once the poisonous ones among them were found: those are REJECTED.

    `results` are those of the write so far. A row is blamed only where another got through, or where it was sent alone:
    what nothing gets through is not a row's fault, and then all stay NOT_SENT.
    """
    found = {position: results[position] for position in group}
    waiting, alone, calls = [group], list[int](), 0
    others_got_through = len(results) == 1 or any(not _refused_unexecuted(each) for each in results.values())
    patience = 2 * len(results).bit_length()
    while waiting and calls < (MAX_CALLS if others_got_through else patience):
        rows = waiting.pop()
        if len(rows) == 1:
            alone += rows
            continue
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            calls += 1
            try:
                answers = send(half)
            except CallFailed as failed:
                answers = dict.fromkeys(half, same_fate(failed.trouble))
                if failed.concerns_everything:
                    return found | answers | _blamed(alone, found, others_got_through)
            found |= answers
            still_refused = next(_groups([half], answers), None)
            if still_refused is None:
                others_got_through = True
            else:
                waiting.append(still_refused)
    return found | _blamed(alone, found, others_got_through)


def _blamed(alone: Sequence[int], found: Mapping[int, RowResult], others_got_through: bool) -> dict[int, RowResult]:
    return {each: found[each]._replace(answer=Answer.REJECTED) for each in alone} if others_got_through else {}


def _groups(parts: Sequence[Positions], results: Mapping[int, RowResult]) -> Iterator[Positions]:
    """The whole where all of it was refused with one code, else each part of which that is true."""
    whole = tuple(position for part in parts for position in part)
    for group in [whole] if _alike(whole, results) else parts:
        if _alike(group, results) and _refused_unexecuted(results[group[0]]):
            yield group


def _alike(group: Positions, results: Mapping[int, RowResult]) -> bool:
    return len({(results[position].answer, results[position].code) for position in group}) == 1


def _refused_unexecuted(result: RowResult) -> bool:
    told = Trouble(result.code or "", result.message or "", maybe_executed=False)
    return result.answer is Answer.NOT_SENT and may_be_one_row(told)
