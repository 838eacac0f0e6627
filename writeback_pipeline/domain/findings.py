"""What a look before the first write finds: one value per line, each with its level and the remedy.

Values only. What is looked at, and what is right or wrong there, is said where the looking is done.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # delivery works, but not as well as it could
    FAILURE = "failure"  # nothing, or not everything, can be delivered


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: where, what, how bad, what was found, and what to do where it is not ok.

    `passing` is set on a failure that a later run may find gone without anybody having changed the configuration,
    `partial` on one that concerns only some people, or only Notes, for which flags do not wait; `elsewhere` where the
    organisation is not the ledger's.
    """

    area: str
    subject: str
    level: Level
    told: str
    remedy: str = ""
    passing: bool = False
    partial: bool = False
    elsewhere: bool = False


def failures(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stand in the way of delivery, in order."""
    return [finding for finding in findings if finding.level is Level.FAILURE]


def blocking(findings: Iterable[Finding]) -> list[Finding]:
    """Failures with which it is no use to begin: nobody could be served, and waiting does not help."""
    return [finding for finding in failures(findings) if not finding.passing and not finding.partial]


def warnings(findings: Iterable[Finding]) -> list[Finding]:
    """Those that do not stand in the way but should be known, in order."""
    return [finding for finding in findings if finding.level is Level.WARNING]
