"""What a chart shows: series of numbers over days or hours. Its picture, its table and its description are made of it.

Values only, so that a chart can be compared and kept; `drawing` turns one into a picture.
"""

from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "warning", "bad", "muted", "accent"]
"""What a colour means; which colour that is depends on whether the page is light or dark."""


@dataclass(frozen=True, slots=True)
class Series:
    """One number for each position, None where there is none."""

    name: str
    tone: Tone
    numbers: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """`positions` are the names along the axis, `every` how many of them share one label.

    Bars are stacked. Lines are of seconds, on a logarithmic axis.
    """

    kind: Literal["bars", "lines"]
    positions: tuple[str, ...]
    series: tuple[Series, ...]
    every: int = 1

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(number for series in self.series for number in series.numbers)

    def cells(self, position: int) -> list[str]:
        """The numbers at a position as the table shows them."""
        numbers = [series.numbers[position] for series in self.series]
        if self.kind == "lines":
            return ["" if number is None else spoken(number) for number in numbers]
        return [f"{number or 0:,.0f}" for number in numbers]


_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def spoken(seconds: float) -> str:
    """A duration in the unit that suits it, such as `4.2 s`, `12 min` or `3 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            amount = seconds / size
            return f"{amount:.1f} {unit}" if amount < 10 and amount % 1 >= 0.05 else f"{amount:.0f} {unit}"
    return f"{1000 * seconds:.0f} ms" if seconds else "0 s"
