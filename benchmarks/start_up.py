"""How long it takes until something is there: commands, the code location, and `make demo` where it is installed.

Seconds are those of the quickest round. Beside what needs Dagster stands `import dagster` alone, beside what does not
`python -c pass`.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.commands import WRITEBACKS, run, variables_of
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
        python, _ = _quickest(rounds, [sys.executable, "-c", "pass"], home)
        one, _ = _quickest(rounds, [WRITEBACKS, "list", "--limit", "1", "--format", "json"], home)
        yield Row(f"writebacks list --limit 1, of {ROWS:,} rows", one, "s", QUICK, python)
        for form in ("json", "csv"):
            took, _ = _quickest(rounds, [WRITEBACKS, "list", "--format", form], home)
            yield Row(f"writebacks list --format {form}, all {ROWS:,} rows", took, "s")
        dagster = _quickest(rounds, [sys.executable, "-c", "import dagster"], home)
        location = _quickest(rounds, [sys.executable, "-c", DEFINITIONS], home)
        for unit, alone, took in zip(("s", "s of the processor"), dagster, location, strict=True):
            yield Row("import dagster", alone, unit)
            yield Row("the code location loads", took, unit, None, alone)
    with TemporaryDirectory() as folder:
        for which in ("first", "second"):
            took, _ = _quickest(1, [WRITEBACKS, "demo"], Path(folder))
            yield Row(f"writebacks demo, {which} time", took, "s")


def _quickest(rounds: int, command: Sequence[str], home: Path) -> tuple[float, float]:
    """The fewest seconds, and the fewest of the processor."""
    ran = [run(command, variables_of(home)) for _ in range(rounds)]
    return min(each.seconds for each in ran), min(each.processor for each in ran)
