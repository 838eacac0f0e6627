"""What a delivery of one window of one kind has to do: the events as they are now, held against the ledger.

A dry run shows the same plan that a delivery carries out. How a summary becomes a write is decided in `domain.tasks`;
nothing is read or written here but what is passed in.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from writeback_pipeline.delivery.protocols import CountedEvents
from writeback_pipeline.domain.activity import withdrawn_revision
from writeback_pipeline.domain.bulk import CALLS_PER_JOB
from writeback_pipeline.domain.tasks import is_due, may_have_task
from writeback_pipeline.domain.window_ledger import KnownSummary, OwedSummary, WindowCounts
from writeback_pipeline.domain.writebacks import Status

SUMMARIES_PER_CALL = 1_000
"""Summaries that are journalled together and share one call."""

_DROPPABLE = (Status.PENDING, Status.WAITING, Status.FAILED)
SUMMARIES_PER_JOB = 20_000
"""Summaries that share a Bulk job: all of them are in memory at once."""


@dataclass(frozen=True, slots=True)
class Portion:
    """Keys that are sent together, as one Bulk job or in one call."""

    keys: Sequence[str]
    by_bulk: bool


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Keys of what is due, in `portions`; those also in `withdrawn` are Tasks whose events are no longer reported.

    `dropped` are rows of such events that never became a Task, `nobody` new rows for people without a record, `left`
    how the summaries stand that are not due.
    """

    counts: WindowCounts
    portions: Sequence[Portion]
    withdrawn: frozenset[str]
    dropped: Sequence[str]
    nobody: Sequence[OwedSummary]
    left: Mapping[Status, int]

    @property
    def due(self) -> list[str]:
        """Keys of everything that is due."""
        return [key for portion in self.portions for key in portion.keys]

    @property
    def calls(self) -> int:
        """API calls that it takes, if nobody moved and no job has to be asked about twice."""
        return sum(CALLS_PER_JOB if portion.by_bulk else 1 for portion in self.portions)


def plan_window(known: Mapping[str, KnownSummary], counted: CountedEvents, bulk_threshold: int) -> WindowPlan:
    """The plan for a window of which the ledger knows that; `bulk_threshold` rows of a kind go by Bulk."""
    revisions = counted.revisions()
    nobody = counted.without_recipient()
    gone = known.keys() - revisions.keys() - {each.key for each in nobody}
    tasks_left = frozenset(key for key in gone if may_have_task(known[key]))
    none = withdrawn_revision(counted.presentation)
    due = [key for key, revision in revisions.items() if is_due(known.get(key), revision)]
    withdrawn = frozenset(key for key in tasks_left if is_due(known[key], none))
    return WindowPlan(
        WindowCounts(counted.events, counted.events_in_rows, len(revisions), len(nobody), len(gone)),
        _portions([*due, *withdrawn], known, bulk_threshold),
        withdrawn,
        [key for key in gone - tasks_left if known[key].status in _DROPPABLE and not known[key].undone],
        [each for each in nobody if each.key not in known],
        Counter(known[key].status for key in (revisions.keys() | tasks_left) - set(due) - withdrawn),
    )


def _portions(due: Sequence[str], known: Mapping[str, KnownSummary], bulk_threshold: int) -> list[Portion]:
    """What is due, in order; creations come before updates, as the two share neither a job nor a collection."""
    updates = {key for key in due if key in known and known[key].task_id is not None}
    kinds = (sorted(set(due) - updates), sorted(updates))
    many = [keys for keys in kinds if len(keys) >= bulk_threshold]
    few = [key for keys in kinds if len(keys) < bulk_threshold for key in keys]
    jobs = [portion for keys in many for portion in _cut(keys, SUMMARIES_PER_JOB, by_bulk=True)]
    return jobs + _cut(few, SUMMARIES_PER_CALL, by_bulk=False)


def _cut(keys: Sequence[str], most: int, *, by_bulk: bool) -> list[Portion]:
    return [Portion(keys[start : start + most], by_bulk) for start in range(0, len(keys), most)]
