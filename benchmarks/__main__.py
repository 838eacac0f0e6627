"""Every benchmark, one after the other, at sizes that take a few minutes: `python -m benchmarks`."""

import subprocess
import sys
from pathlib import Path

SIZES = {
    "activity_delivery.py": ["--summaries", "5000"],
    "bulk.py": ["--people", "20000"],
    "listing.py": ["--rounds", "3"],
    "shared_ledger.py": ["--rows", "20000"],
    "overview.py": ["--rounds", "3"],
    "pages.py": ["--rounds", "5"],
    "pages_during_delivery.py": ["--rows", "20000", "--loads", "200"],
    "summaries.py": ["--events", "2000000", "--rounds", "2"],
}


def main() -> None:
    """Run each in a process of its own, so that none sees what another left in memory."""
    for name, arguments in SIZES.items():
        print(f"\n{name}\n{'-' * len(name)}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(name)), *arguments], check=True)


if __name__ == "__main__":
    main()
