"""Why no call is made to Salesforce for a while, and until when: the budget is spent, or Salesforce is in trouble.

Values only; when there is a hold is decided in `budget` and `breaker`.
"""

from dataclasses import dataclass
from datetime import datetime

from writeback_pipeline.domain.records import OrganisationUnavailable


@dataclass(frozen=True, slots=True)
class Hold:
    """No call before `until`; the rest says why, as trouble with the whole organisation does."""

    until: datetime
    code: str
    message: str
    advice: str
    passing: bool

    @property
    def words(self) -> str:
        """One sentence or two for people."""
        return f"Salesforce is tried again at {_instant(self.until)}, because {self.code}: {self.message} {self.advice}"


@dataclass(frozen=True, slots=True)
class Poll:
    """What a delivery would take now, and why it may not call now; None when it may, and when nothing is due."""

    due: int
    hold: Hold | None


class HeldBack(OrganisationUnavailable):
    """A call that was not made because of a hold. Nothing was executed; what it was for stays owed."""

    def __init__(self, hold: Hold, now: datetime) -> None:
        super().__init__(
            hold.code,
            f"{hold.message} Not called before {_instant(hold.until)}.",
            hold.advice,
            passing=hold.passing,
            retry_after=hold.until - now,
        )


def _instant(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
