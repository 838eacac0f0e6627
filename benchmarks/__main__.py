"""Runs the benchmarks, each in a process of its own: `python -m benchmarks [NAME]... [--long]`.

Without --long all of them take less than ten minutes on two quick cores, 13 on slow ones; two are left out that ask for
nothing. Writes build/benchmarks.json, and from it docs/benchmarks.md with its charts; with --long, files that are
called benchmarks-long. Named benchmarks take the place of what the file and the page had of them; the others stay.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks import report
from benchmarks.rows import Row, line

SHORT = ("calls", "delivery", "summaries", "growth", "latency", "start_up", "pages", "shared_ledger")
NAMES = (*SHORT, "pages_during_delivery", "overview")
BUILD = Path(__file__).parents[1] / "build"


def measure(name: str, *, long: bool) -> report.Benchmark:
    """Run one in a process of its own, so that none sees what another left in memory; prints its rows as they come."""
    print(f"\n{name}\n{'-' * len(name)}", flush=True)
    command = [sys.executable, "-m", "benchmarks", "--rows-of", name, *(["--long"] if long else [])]
    rows, started = [], time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for told in process.stdout:
            rows.append(Row(**json.loads(told)))
            print(line(rows[-1]), flush=True)
    if process.returncode:
        rows.append(Row("came to its end", process.returncode, "exit code", limit=0))
    return report.Benchmark(name, rows, time.monotonic() - started, report.environment())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"only these: {', '.join(NAMES)}; the last two else only with --long"
    )
    parser.add_argument("--long", action="store_true", help="at the sizes that take hours")
    parser.add_argument("--rows-of", metavar="NAME", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.rows_of:
        for row in importlib.import_module(f"benchmarks.{chosen.rows_of}").rows(long=chosen.long):
            print(json.dumps(asdict(row)), flush=True)
        return
    if unknown := set(chosen.names) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    results = BUILD / f"{report.edition(long=chosen.long)}.json"
    found, began = report.read(results) if chosen.names else {}, time.monotonic()
    for name in chosen.names or (NAMES if chosen.long else SHORT):
        found[name] = measure(name, long=chosen.long)
        report.write(results, found)
    page = report.publish(found.values(), long=chosen.long, names=NAMES if chosen.names else ())
    short = [row.name for benchmark in found.values() for row in benchmark.rows if row.verdict == "short"]
    print(f"\nshort: {', '.join(short) or 'nothing'}\ntook {time.monotonic() - began:.0f} s")
    print(f"written: {results}, {page}")


if __name__ == "__main__":
    main()
