"""How long it takes until something is there: commands, the code location, the demo in a new home of an installation.

Seconds are those of the quickest round. Beside what needs Dagster stands `import dagster` alone, beside what does not
`python -c pass`.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.commands import WRITEBACKS, run
from benchmarks.ledgers import fill
from benchmarks.rows import Row

ROUNDS, ROWS = 2, 100_000
QUICK = 1.0
"""Seconds within which a command that needs no Dagster starts."""

DEFINITIONS = "from writeback_pipeline.definitions import defs\ndefs().resolve_all_asset_specs()"


def rows(*, long: bool) -> Iterator[Row]:
    """Commands without Dagster, what loads it, the demo."""
    rounds = ROUNDS * (3 if long else 1)
    with TemporaryDirectory() as folder:
        home = Path(folder)
        fill(home, ROWS)
        python = _quickest(rounds, [sys.executable, "-c", "pass"], home)
        one = _quickest(rounds, [WRITEBACKS, "list", "--limit", "1", "--format", "json"], home)
        yield Row(f"writebacks list --limit 1, of {ROWS:,} rows", one, "s", QUICK, python)
        for form in ("json", "csv"):
            took = _quickest(rounds, [WRITEBACKS, "list", "--format", form], home)
            yield Row(f"writebacks list --format {form}, all {ROWS:,} rows", took, "s")
        dagster = _quickest(rounds, [sys.executable, "-c", "import dagster"], home)
        yield Row("import dagster", dagster, "s")
        location = _quickest(rounds, [sys.executable, "-c", DEFINITIONS], home)
        yield Row("the code location loads", location, "s", None, dagster)
    with TemporaryDirectory() as folder:
        for which in ("first", "second"):
            yield Row(f"writebacks demo, {which} time", _quickest(1, [WRITEBACKS, "demo"], Path(folder)), "s")


def _quickest(rounds: int, command: Sequence[str], home: Path) -> float:
    return min(run(command, _variables(home)).seconds for _ in range(rounds))


def _variables(home: Path) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("SALESFORCE_", "DAGSTER_"))}
    return kept | {"WRITEBACK_HOME": str(home), "WRITEBACK_DATABASE": "", "WRITEBACK_ACTIVITY": ""}
