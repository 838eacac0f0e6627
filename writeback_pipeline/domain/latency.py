"""How long opt-outs took: from the event on the platform to the queue, from there into Salesforce, and in all.

Values only. What is measured stands in the ledger; how it is shown is the shells' business.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, 95th percentile and longest of some durations, in seconds."""

    p50: float
    p95: float
    longest: float


@dataclass(frozen=True, slots=True)
class Latency:
    """The opt-outs written on a UTC day or by a run, and how long each stretch took them."""

    written: int
    event_to_queued: Spread
    queued_to_written: Spread
    event_to_written: Spread


LatencyByDay = dict[date, Latency]
"""UTC days, newest first; days on which nothing was written are missing."""
