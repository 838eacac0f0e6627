"""Our part of the organisation's daily API requests: how many calls are left, for what, and when there will be more.

Pure arithmetic. Calls are counted in hours, and an hour counts until it is wholly out of the last 24: so at no instant
have more calls been made in 24 hours than our share. Counting and reserving is the store's work.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Protocol

from writeback_pipeline.domain.holds import Hold
from writeback_pipeline.domain.records import ApiUsage, RowResult
from writeback_pipeline.domain.settings import WritebackSettings

ASSUMED_LIMIT = 15_000
"""Daily requests of an organisation that has not said how many it has: no kind of organisation has fewer."""

HEARD_FOR = timedelta(hours=1)
"""How long the organisation's own count is believed; after that a call asks again."""

_HOUR = timedelta(hours=1)
_WINDOW = timedelta(hours=24)
_OPT_OUTS_SOON = timedelta(minutes=1)


class Purpose(StrEnum):
    """What a call is for."""

    OPT_OUTS = "opt_outs"
    ACTIVITY = "activity"


@dataclass(frozen=True, slots=True)
class Account:
    """What the ledger knows at one moment.

    `calls` are ours by the hour in which they were made; `limit` and `used` what the organisation said at `heard_at`.
    `opt_outs_due` is looked up for activity only.
    """

    calls: Mapping[datetime, int]
    limit: int | None = None
    used: int | None = None
    heard_at: datetime | None = None
    opt_outs_due: int = 0


class CallGate(Protocol):
    """Whom the gateway asks before each call, and tells how each piece of work ended."""

    @property
    def limit_known(self) -> bool:
        """Whether the organisation ever said how many requests it has."""

    def admit(self, heard: ApiUsage) -> None:
        """Reserve a call before it leaves, and learn what was heard before it; raises OrganisationUnavailable where it
        may not be made."""

    def ahead(self, heard: ApiUsage) -> "CallAhead | None":
        """This thread's next call, for the ledger to reserve with what it enters before; None where nobody counts."""

    def forgo(self) -> None:
        """The call that was reserved ahead in this thread, if it was and was not made, is not made."""

    def admit_login(self) -> None:
        """The same for a login, which costs no call."""

    def not_made(self) -> None:
        """The call that was last admitted in this thread never left: it costs nothing."""

    def work(self) -> AbstractContextManager[None]:
        """A piece of work: OrganisationUnavailable that leaves it is trouble for everybody."""

    def wrote(self, results: Sequence[RowResult]) -> None:
        """What became of the rows of one write."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks to call: its `name` is its own among all workers, a `manual` one was started by a person.

    `settings` are those of its run, read once.
    """

    name: str
    purpose: Purpose
    settings: WritebackSettings
    manual: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """A call may be made. `probe` while the breaker is open and this is to find out whether it may close.

    `failures` are those in a row before it; `limit_known` whether the organisation ever said how many requests it has.
    """

    probe: bool
    failures: int
    limit_known: bool


@dataclass(frozen=True, slots=True)
class CallAhead:
    """A call that follows at once on what is entered in the ledger, to be reserved in the same transaction.

    `heard` is what the organisation said of its own count before. `answered` is told once that is committed; what is
    not admitted has to be asked for again.
    """

    caller: Caller
    heard: ApiUsage
    at: datetime
    answered: Callable[[Admission | Hold], None]


def hour_of(instant: datetime) -> datetime:
    """The hour in which a call at that instant is counted."""
    return instant.replace(minute=0, second=0, microsecond=0)


def oldest_hour(now: datetime) -> datetime:
    """The first hour of which something is still within the last 24."""
    return hour_of(now - _WINDOW)


def calls_left(account: Account, settings: WritebackSettings, purpose: Purpose, now: datetime) -> int:
    """How many calls may be made now for that purpose."""
    left = min(_left_of_share(account, settings), _left_of_organisation(account, now))
    return max(0, left - _kept(account, settings, purpose))


def spent(account: Account, settings: WritebackSettings) -> tuple[int, int]:
    """How many calls were made in 24 hours, and how many are ours in that time."""
    return sum(account.calls.values()), _share(account, settings)


def refusal(account: Account, settings: WritebackSettings, purpose: Purpose, now: datetime) -> Hold | None:
    """Why no call may be made now for that purpose, and when there will be one; None when one may."""
    kept = _kept(account, settings, purpose)
    of_organisation, of_share = _left_of_organisation(account, now), _left_of_share(account, settings)
    left = min(of_organisation, of_share)
    if left > kept:
        return None
    reserve = max(0, kept - account.opt_outs_due)
    if of_organisation <= reserve and (heard_at := _heard_lately(account, now)):
        return Hold(
            heard_at + HEARD_FOR,
            "API_LIMIT_REACHED",
            f"The organisation has used {account.used:,} of its {_limit(account):,} API requests of 24 hours.",
            "Find what else calls its API so often, or buy more requests; it is tried again by itself.",
            passing=True,
        )
    if left > reserve:
        return Hold(
            now + _OPT_OUTS_SOON,
            "OPT_OUTS_FIRST",
            f"{account.opt_outs_due:,} opt-outs are due, and {left:,} API calls are left.",
            "Activity goes on by itself once the opt-outs are delivered.",
            passing=True,
        )
    made, ours = spent(account, settings)
    for_opt_outs = f", {kept:,} of them kept for opt-outs" if kept else ""
    return Hold(
        _rolled(account, kept + 1 - of_share, now),
        "API_BUDGET_SPENT",
        f"{made:,} API calls were made in 24 hours, of {ours:,} that are ours{for_opt_outs}.",
        "It goes on by itself as the window rolls; a larger api_budget_share gives more.",
        passing=True,
    )


def _limit(account: Account) -> int:
    return ASSUMED_LIMIT if account.limit is None else account.limit


def _share(account: Account, settings: WritebackSettings) -> int:
    return int(_limit(account) * settings.api_budget_share)


def _left_of_share(account: Account, settings: WritebackSettings) -> int:
    return _share(account, settings) - sum(account.calls.values())


def _left_of_organisation(account: Account, now: datetime) -> int:
    """What the organisation has left for everybody; as much as its limit when it has not said so lately."""
    if account.used is None or _heard_lately(account, now) is None:
        return _limit(account)
    return _limit(account) - account.used


def _heard_lately(account: Account, now: datetime) -> datetime | None:
    """When the organisation last told its count, if that still says something."""
    return None if account.heard_at is None or now - account.heard_at >= HEARD_FOR else account.heard_at


def _kept(account: Account, settings: WritebackSettings, purpose: Purpose) -> int:
    """What activity leaves to opt-outs: the reserve, and a call for each that is due, the most that one can take."""
    if purpose is Purpose.OPT_OUTS:
        return 0
    return ceil(_share(account, settings) * settings.opt_out_reserve) + account.opt_outs_due


def _rolled(account: Account, wanted: int, now: datetime) -> datetime:
    """When so many calls will have left the window."""
    for hour, calls in sorted(account.calls.items()):
        wanted -= calls
        if wanted <= 0:
            return hour + _WINDOW + _HOUR
    return now + _WINDOW
