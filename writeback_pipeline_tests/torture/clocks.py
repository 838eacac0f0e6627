"""A clock that several processes share and that runs fast: leases and quiet times pass in seconds, in proportion."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from writeback_pipeline_tests.world import START


@dataclass(frozen=True, slots=True)
class FastClock:
    """`speed` seconds pass for every real one since `began`, a reading of the machine's monotonic clock."""

    speed: float
    began: float

    def __call__(self) -> datetime:
        return START + timedelta(seconds=(time.monotonic() - self.began) * self.speed)

    def real_seconds(self, length: timedelta) -> float:
        """How long that takes on a real clock."""
        return length.total_seconds() / self.speed
