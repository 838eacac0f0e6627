"""What a monitoring system watches of the pipeline: values of one moment, none of them about a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from writeback_pipeline.domain.health import LedgerHealth
from writeback_pipeline.domain.incidents import Incident
from writeback_pipeline.domain.latency import Latency

MEASURED_OVER = timedelta(hours=24)
"""Of how long a time latency is measured."""


@dataclass(frozen=True, slots=True)
class Measures:
    """The ledger's health, the incidents that last, the schema's version; how long the opt-outs took that were written
    in the last 24 hours, None where there were none."""

    health: LedgerHealth
    incidents: Sequence[Incident]
    latency: Latency | None
    schema_version: int
