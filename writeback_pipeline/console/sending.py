"""Sending windows of mailing activity by hand: what was asked for, the runs it takes, and what became of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.console.ports import Launch, Run
from writeback_pipeline.domain.ledger import Asked, OperatorAction
from writeback_pipeline.domain.partitions import deliverable_windows, partition_of_window
from writeback_pipeline.domain.settings import Occurrence, WritebackSettings
from writeback_pipeline.domain.windows import Calendar, InvalidWindow, Window
from writeback_pipeline.domain.writebacks import ACTIVITY_KINDS, Kind

MOST_WINDOWS = 35
"""Windows that are sent at once; more are a backfill, which Dagster's own page is better for."""

ACTION = "send"
TAG = "writebacks/sending"
"""The tag that a run carries with the id of what it is part of."""

FROM_CONSOLE = "writebacks/from"
ASKED_BY = "writebacks/asked_by"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Windows and kinds that somebody asks for, all deliverable."""

    occurrence: Occurrence
    windows: Sequence[Window]
    kinds: tuple[Kind, ...]

    @property
    def words(self) -> str:
        """Such as `daily sent and opened, 2026-11-16 to 2026-11-18`."""
        first, last = self.windows[0].name, self.windows[-1].name
        span = first if first == last else f"{first} to {last}"
        return f"{self.occurrence} {' and '.join(self.kinds)}, {span}"


@dataclass(frozen=True, slots=True)
class Sent:
    """What somebody sent, with its runs, oldest window first."""

    asked: Asked
    words: str
    runs: Sequence[Run]


def wanted(
    occurrence: str, first: str, last: str, kinds: Sequence[str], settings: WritebackSettings, now: datetime
) -> Wanted:
    """What a form asks for; ValueError says what is wrong, by field where it is one's: `field: message`."""
    if not settings.activity_enabled:
        raise ValueError("Mailing activity writeback is off: enable it in the settings first")
    if occurrence not in list(Occurrence):
        raise ValueError("Choose daily or weekly windows")
    chosen = tuple(kind for kind in ACTIVITY_KINDS if kind in kinds)
    if not chosen:
        raise ValueError("Choose Sent, Opened or both")
    calendar = Calendar(Occurrence(occurrence), settings.zone, settings.week_starts_on)
    try:
        windows = deliverable_windows(first, last or first, calendar, now)
    except InvalidWindow as error:
        message = str(error)
        raise ValueError(message[0].upper() + message[1:]) from None
    if len(windows) > MOST_WINDOWS:
        raise ValueError(
            f"These are {len(windows)} windows; {MOST_WINDOWS} can be sent at once. For more, start a backfill of "
            "the assets in Dagster"
        )
    return Wanted(Occurrence(occurrence), windows, chosen)


def launches(asked_for: Wanted, sending: str, by: str) -> list[Launch]:
    """A run for each window."""
    assets = tuple(f"{asked_for.occurrence}_{kind}_writebacks" for kind in asked_for.kinds)
    tags = {TAG: sending, FROM_CONSOLE: "console", ASKED_BY: by}
    job = f"deliver_{asked_for.occurrence}_activity"
    return [Launch(job, partition_of_window(window), assets, tags) for window in asked_for.windows]


def as_action(asked_for: Wanted, sending: str, asked: Asked) -> OperatorAction:
    """What the ledger keeps of it."""
    return OperatorAction(asked, ACTION, json.dumps({"id": sending, "words": asked_for.words}))


def sending_id(action: OperatorAction) -> str:
    """The id that the runs of a kept action carry."""
    return str(json.loads(action.detail)["id"])


def sent(actions: Sequence[OperatorAction], runs: Sequence[Run]) -> list[Sent]:
    """What was sent, each with its runs."""
    by_id: Mapping[str, list[Run]] = {sending_id(action): [] for action in actions}
    for run in reversed(runs):
        by_id.get(run.tags.get(TAG, ""), []).append(run)
    return [
        Sent(action.asked, str(json.loads(action.detail)["words"]), by_id[sending_id(action)]) for action in actions
    ]
