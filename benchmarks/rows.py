"""What a benchmark yields: rows, each one figure with the limit it must keep and what stands beside it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. Less is better: it passes where it is at most `limit`.

    `reference` is what it is compared with, in the same unit: a floor, a peer, an empty ledger. Rows of one `series`
    are drawn as a line over `size`, or as a bar where they have none.
    """

    name: str
    figure: float
    unit: str
    limit: float | None = None
    reference: float | None = None
    series: str = ""
    size: int | None = None

    @property
    def ratio(self) -> float | None:
        """The figure over its reference."""
        return self.figure / self.reference if self.reference else None

    @property
    def verdict(self) -> str:
        """`pass` or `short`; empty where nothing is asked."""
        return "" if self.limit is None else "pass" if self.figure <= self.limit else "short"


def plain(number: float | None) -> str:
    """A number for people: three figures, thousands apart; empty for none."""
    if number is None:
        return ""
    if abs(number) >= 100 or number == int(number):
        return f"{number:,.0f}"
    return f"{number:.3g}"


def line(row: Row) -> str:
    """The row on a terminal."""
    words = [f"  {row.name:64} {plain(row.figure):>9} {row.unit:24}"]
    words += [f"x{row.ratio:.2f} of {plain(row.reference)}"] if row.ratio is not None else []
    words += [f"at most {plain(row.limit)}: {row.verdict}"] if row.verdict else []
    return "  ".join(words).rstrip()


def table(rows: Sequence[Row]) -> list[str]:
    """The rows as the lines of a Markdown table."""
    head = ["| what | figure | unit | beside it | ratio | at most | verdict |", "|---|--:|---|--:|--:|--:|---|"]
    return head + [
        f"| {row.name} | {plain(row.figure)} | {row.unit} | {plain(row.reference)} | {plain(row.ratio)} "
        f"| {plain(row.limit)} | {row.verdict} |"
        for row in rows
    ]
