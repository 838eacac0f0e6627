"""The benchmarks' own machinery: what a row says, and the page that is written of rows. Nothing is measured here."""

import importlib
import json
from dataclasses import asdict
from pathlib import Path

from benchmarks import report
from benchmarks.__main__ import NAMES
from benchmarks.report import Benchmark
from benchmarks.rows import Row, line

ENVIRONMENT = {"machine": "two cores", "Python": "3.11"}


def test_a_figure_at_its_limit_passes_and_one_above_it_is_short() -> None:
    assert Row("a", 3.0, "s", limit=3.0).verdict == "pass"
    assert Row("a", 3.1, "s", limit=3.0).verdict == "short"
    assert Row("a", 0, "", limit=0).verdict == "pass"
    assert Row("a", 3.0, "s").verdict == ""


def test_a_ratio_is_that_to_what_stands_beside_it() -> None:
    assert Row("a", 3.0, "s", reference=2.0).ratio == 1.5
    assert Row("a", 3.0, "s").ratio is None
    assert "x1.50 of 2" in line(Row("a", 3.0, "s", reference=2.0))
    assert line(Row("a", 3.0, "s", limit=2.0)).endswith("at most 2: short")


def test_results_are_read_as_they_were_written_and_tell_the_verdict(tmp_path: Path) -> None:
    found = {"calls": Benchmark("calls", [Row("a", 3.0, "s", 2.0, 1.5, "ours", 10)], 7.5, ENVIRONMENT)}
    report.write(tmp_path / "build" / "benchmarks.json", found)
    assert report.read(tmp_path / "build" / "benchmarks.json") == found
    (told,) = json.loads((tmp_path / "build" / "benchmarks.json").read_text())
    assert told["rows"] == [{**asdict(found["calls"].rows[0]), "ratio": 2.0, "verdict": "short"}]
    assert report.read(tmp_path / "nothing.json") == {}


def test_the_page_begins_with_what_is_asked_and_shows_every_row(tmp_path: Path) -> None:
    rows = [
        Row("thousand, ours", 3.0, "calls", 3.0, series="ours", size=1_000),
        Row("ten thousand, ours", 1.3, "calls", 1.0, series="ours", size=10_000),
        Row("thousand, theirs", 10.0, "calls", series="theirs", size=1_000),
        Row("a bar", 2.0, "s", series="a bar"),
        Row("a fact", 12_345.6, "MB"),
    ]
    report.publish([Benchmark("calls", rows, 7.5, ENVIRONMENT)], tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    asked, _, told = page.partition("\n## Calls\n")
    assert "thousand, theirs" not in asked
    assert "| pass |" in asked
    assert "| short |" in asked
    assert all(f"| {row.name} |" in told for row in rows)
    assert "12,346" in told
    for chart in ("calls-calls.svg", "calls-s.svg"):
        assert f"(images/benchmarks/{chart})" in told
        assert "<svg" in (tmp_path / "images" / "benchmarks" / chart).read_text()


def test_the_sizes_that_take_hours_have_a_page_of_their_own(tmp_path: Path) -> None:
    row = Row("a", 3.0, "calls", series="ours", size=1_000)
    page = report.publish([Benchmark("calls", [row], 7.5, ENVIRONMENT)], tmp_path, long=True)
    assert page == tmp_path / "benchmarks-long.md"
    assert "(images/benchmarks-long/calls-calls.svg)" in page.read_text()
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["benchmarks-long"]


def test_the_page_keeps_what_it_has_of_benchmarks_that_were_not_measured_again(tmp_path: Path) -> None:
    def benchmark(name: str, figure: float) -> Benchmark:
        return Benchmark(name, [Row(f"{name}, asked", figure, "s", 2.0), Row("a fact", figure, "s")], 7.5, ENVIRONMENT)

    report.publish([benchmark("calls", 1.0), benchmark("pages", 1.5)], tmp_path)
    names = ("growth", "calls", "shared_ledger", "pages")
    some = [benchmark("shared_ledger", 2.5), benchmark("pages", 3.5)]
    kept = report.publish(some, tmp_path, names=names).read_text()
    alone = report.publish([benchmark("calls", 1.0), *some], tmp_path).read_text()
    assert kept == alone
    assert [alone.count(f"| {figure} |") for figure in ("1", "1.5", "2.5", "3.5")] == [3, 0, 3, 3]
    assert report.publish(some[1:], tmp_path, names=names).read_text() == alone
    assert "Calls" not in report.publish(some, tmp_path).read_text()


def test_the_same_rows_are_the_same_page_and_charts(tmp_path: Path) -> None:
    rows = [Row("a", 3.0, "calls", series="ours", size=1_000), Row("b", 2.0, "calls", series="ours", size=10)]
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        report.publish([Benchmark("calls", rows, 7.5, ENVIRONMENT)], tmp_path / folder)
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / f).rglob("*.*")} for f in ("one", "two"))
    assert one == two


def test_every_benchmark_says_what_it_measures() -> None:
    for name in NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        assert module.__doc__
        assert callable(module.rows)
