"""What was measured, as a JSON document and as a page with tables and charts; on which machine, with which versions."""

import importlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.rows import Row, table

DOCS = Path(__file__).parents[1] / "docs"
VERSIONED = ("dagster", "duckdb", "pandas", "pyarrow", "simple-salesforce", "psycopg")

_INTRODUCTION = """# Benchmarks

Written by `make bench`: what the pipeline costs, beside what a user would pick instead and beside the least that there
could be. Less is better everywhere. The embedded organisation is always another process, and takes part of the same
machine. The sizes that take hours are on [a page of their own](benchmarks-long.md).
"""
_LONG_INTRODUCTION = """# Benchmarks at the sizes that take hours

Written by `make bench-long`, or benchmark by benchmark; [the short ones](benchmarks.md) are measured more often.
"""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The rows of one benchmark, the seconds that it took, and where."""

    name: str
    rows: Sequence[Row]
    seconds: float
    environment: Mapping[str, str]


def environment() -> dict[str, str]:
    """The machine, its load at this moment, and the versions that matter."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = {
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB",
        "load": f"{os.getloadavg()[1]:.1f}",
        "Python": platform.python_version(),
    }
    return facts | {name: version(name) for name in VERSIONED}


_VERDICTS = ("| pass |", "| short |")

_COLOURS = 10
"""How many lines of a chart differ in colour; further ones have squares."""


def read(file: Path) -> dict[str, Benchmark]:
    """What the document holds, by name; nothing where there is none."""
    if not file.exists():
        return {}
    fields = Row.__dataclass_fields__
    return {
        each["name"]: Benchmark(
            **each | {"rows": [Row(**{name: row[name] for name in fields}) for row in each["rows"]]}
        )
        for each in json.loads(file.read_text())
    }


def write(file: Path, benchmarks: Mapping[str, Benchmark]) -> None:
    """The document: a list of benchmarks, each with its rows and their ratio and verdict."""
    told = [
        asdict(each) | {"rows": [asdict(row) | {"ratio": row.ratio, "verdict": row.verdict} for row in each.rows]}
        for each in benchmarks.values()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, indent=1) + "\n")


def edition(*, long: bool) -> str:
    """What the document, the page and the folder of its charts are called."""
    return "benchmarks-long" if long else "benchmarks"


def publish(
    benchmarks: Iterable[Benchmark], docs: Path = DOCS, *, long: bool = False, names: Sequence[str] = ()
) -> Path:
    """Write the page and its charts; returns the page.

    `names` are all that it may tell of, in this order: of benchmarks that are not among these it keeps what it has.
    Without them it tells of these alone.
    """
    charts, page = docs / "images" / edition(long=long), docs / f"{edition(long=long)}.md"
    sections = _sections(page) if names else {}
    sections |= {_title(each.name): _section(each, charts) for each in benchmarks}
    told = [sections[title] for title in (map(_title, names) if names else sections) if title in sections]
    asked = [line for section in told for line in section.splitlines() if line.endswith(_VERDICTS)]
    text = [_LONG_INTRODUCTION if long else _INTRODUCTION, "## What is asked", "", *table([]), *asked, "", *told]
    page.write_text("\n".join(text))
    return page


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _sections(page: Path) -> dict[str, str]:
    """What a page tells, by title."""
    told = page.read_text().split("\n## ")[1:] if page.exists() else []
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in told}


def _section(benchmark: Benchmark, charts: Path) -> str:
    about = (importlib.import_module(f"benchmarks.{benchmark.name}").__doc__ or "").strip()
    told = ", ".join(f"{name} {what}" for name, what in benchmark.environment.items())
    lines = [f"## {_title(benchmark.name)}", "", about, "", f"{told}. Took {benchmark.seconds:.0f} s.", ""]
    for unit in dict.fromkeys(row.unit for row in benchmark.rows if row.series):
        lines.append(f"![{unit}](images/{charts.name}/{_draw(benchmark, unit, charts)})\n")
    return "\n".join([*lines, *table(benchmark.rows), ""])


def _draw(benchmark: Benchmark, unit: str, folder: Path) -> str:
    """Draw the rows of that unit: lines over the size, or bars; the file's name."""
    rows = [row for row in benchmark.rows if row.unit == unit and row.series]
    sizes = {row.size for row in rows}
    by_size = None not in sizes and len(sizes) > 1
    with matplotlib.rc_context({"svg.hashsalt": "writebacks", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(8, 4 if by_size else 1 + 0.35 * len(rows)), layout="constrained")
        (_draw_lines if by_size else _draw_bars)(figure.subplots(), rows)
        figure.axes[0].spines[["top", "right"]].set_visible(False)
        name = f"{benchmark.name}-{'-'.join(word for word in unit.replace(',', '').split())}.svg"
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / name, metadata={"Date": None})
    return name


def _draw_lines(axes: Axes, rows: Sequence[Row]) -> None:
    for number, series in enumerate(dict.fromkeys(row.series for row in rows)):
        points = sorted((row.size or 0, row.figure) for row in rows if row.series == series)
        style = (
            {"linestyle": "--", "color": "grey"} if series == "least" else {"linewidth": 3 if series == "ours" else 1.5}
        )
        marker = "o" if number < _COLOURS else "s"
        axes.plot(*zip(*points, strict=True), marker=marker, label=series, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("how many")
    axes.set_ylabel(rows[0].unit)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    bars = axes.barh([row.name for row in rows], [row.figure for row in rows], color="#4c78a8")
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(rows[0].unit)
