"""What a delivery of one window of one kind has to do: the events as they are now, held against the ledger.

A dry run shows the same plan that a delivery carries out. How a summary becomes a write is decided in `domain.tasks`;
nothing is read or written here but what is passed in.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from writeback_pipeline.delivery.protocols import CountedEvents
from writeback_pipeline.domain.activity import withdrawn_revision
from writeback_pipeline.domain.tasks import is_due, may_have_task
from writeback_pipeline.domain.window_ledger import KnownSummary, OwedSummary, WindowCounts
from writeback_pipeline.domain.writebacks import Status

SUMMARIES_PER_CALL = 1_000
"""Summaries that are journalled together and share one call."""

_DROPPABLE = (Status.PENDING, Status.WAITING, Status.FAILED)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Keys of what is `due`; those also in `withdrawn` are Tasks whose events are no longer reported.

    `dropped` are rows of such events that never became a Task, `nobody` new rows for people without a record, `left`
    how the summaries stand that are not due.
    """

    counts: WindowCounts
    due: Sequence[str]
    withdrawn: frozenset[str]
    dropped: Sequence[str]
    nobody: Sequence[OwedSummary]
    left: Mapping[Status, int]

    @property
    def calls(self) -> int:
        """API calls that it takes, if nobody moved."""
        return -(-len(self.due) // SUMMARIES_PER_CALL)


def plan_window(known: Mapping[str, KnownSummary], counted: CountedEvents) -> WindowPlan:
    """The plan for a window of which the ledger knows that; updates come after creations, as the two never share a
    collection of rows."""
    revisions = counted.revisions()
    nobody = counted.without_recipient()
    gone = known.keys() - revisions.keys() - {each.key for each in nobody}
    tasks_left = frozenset(key for key in gone if may_have_task(known[key]))
    none = withdrawn_revision(counted.presentation)
    due = [key for key, revision in revisions.items() if is_due(known.get(key), revision)]
    withdrawn = frozenset(key for key in tasks_left if is_due(known[key], none))
    return WindowPlan(
        WindowCounts(counted.events, counted.events_in_rows, len(revisions), len(nobody), len(gone)),
        sorted([*due, *withdrawn], key=lambda key: (key in known and known[key].task_id is not None, key)),
        withdrawn,
        [key for key in gone - tasks_left if known[key].status in _DROPPABLE and not known[key].undone],
        [each for each in nobody if each.key not in known],
        Counter(known[key].status for key in (revisions.keys() | tasks_left) - set(due) - withdrawn),
    )
