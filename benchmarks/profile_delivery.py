"""Where the processor's time of a delivery goes: `python -m benchmarks.profile_delivery [PEOPLE]`.

Delivers that many unsubscribes in this process, without Bulk and one call at a time, and writes the functions that took
most to build/profile_delivery.txt. A profiler slows calls of small functions most: it finds hot spots and gives no
figures.
"""

import cProfile
import io
import os
import pstats
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.calls import unsubscribes
from benchmarks.delivery import THRESHOLDS
from benchmarks.organisation import people, served
from writeback_pipeline.bindings import open_organisation, open_store
from writeback_pipeline.delivery.opt_outs import OptOutDelivery
from writeback_pipeline.environment import read_environment

FOUND = Path(__file__).parents[1] / "build" / "profile_delivery.txt"
MOST = 40


def main(number: int = 10_000) -> None:
    """Profile one delivery."""
    with TemporaryDirectory() as folder, served(Path(folder), number) as organisation:
        unsubscribes(organisation.home, people(number))
        variables = organisation.variables()
        environment = read_environment(variables)
        store = open_store(environment)
        store.change_settings(
            {"concurrent_calls": "1", "bulk_threshold": THRESHOLDS["composite"]}, "benchmark", datetime.now(UTC)
        )
        with open_organisation(environment, variables) as gateway, cProfile.Profile() as profile:
            OptOutDelivery(store, gateway, now=lambda: datetime.now(UTC)).run()
    told = io.StringIO()
    statistics = pstats.Stats(profile, stream=told).strip_dirs()
    for order in ("tottime", "cumulative"):
        statistics.sort_stats(order).print_stats(MOST)
    FOUND.parent.mkdir(exist_ok=True)
    FOUND.write_text(f"{number:,} unsubscribes, {os.cpu_count()} cores\n{told.getvalue()}")
    print(f"written: {FOUND}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
