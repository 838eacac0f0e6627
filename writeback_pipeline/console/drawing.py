"""Charts as SVG, drawn by matplotlib: in the colours of the page, light or dark, for a wide or a narrow screen.

matplotlib is imported when the first chart is drawn: it takes a second, which no start-up should wait for. Its settings
are the whole process's, so one chart is drawn at a time. The last pictures are kept.
"""

import threading
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from writeback_pipeline.console.charts import Chart, spoken

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Colours = Mapping[str, str]

_LIGHT: Colours = {
    "good": "#2a8a52", "warning": "#e0a21b", "bad": "#b01e1e", "muted": "#a3adb9", "accent": "#1756b0",
    "text": "#55616f", "line": "#d6dce4",
}  # fmt: skip
_DARK: Colours = {
    "good": "#4fb477", "warning": "#eebb57", "bad": "#ff7f76", "muted": "#66727f", "accent": "#82b4ff",
    "text": "#9eaab8", "line": "#2d3641",
}  # fmt: skip
_HATCHES = {"bad": "////"}
_WIDE, _NARROW = (5.6, 2.4), (3.3, 2.6)
_SECONDS = (0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0, 7 * 86400.0, 70 * 86400.0, 700 * 86400.0)
_drawing = threading.Lock()


@lru_cache(maxsize=64)
def draw(chart: Chart, *, dark: bool = False, narrow: bool = False) -> bytes:
    """The chart as an SVG document; the same numbers always give the same bytes."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    colours = _DARK if dark else _LIGHT
    with _drawing, mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "writebacks", "hatch.linewidth": 0.6}):
        figure = Figure(figsize=_NARROW if narrow else _WIDE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        (_bars if chart.kind == "bars" else _lines)(axes, chart, colours)
        _frame(axes, chart, colours, narrow=narrow)
        drawn = BytesIO()
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return drawn.getvalue()


def _bars(axes: "Axes", chart: Chart, colours: Colours) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    below = [0.0] * len(chart.positions)
    for series in chart.series:
        numbers = [number or 0.0 for number in series.numbers]
        axes.bar(
            range(len(numbers)), numbers, bottom=below, width=0.72, label=series.name, color=colours[series.tone],
            hatch=_HATCHES.get(series.tone), edgecolor=colours["text"], linewidth=0,
        )  # fmt: skip
        below = [lower + number for lower, number in zip(below, numbers, strict=True)]
    axes.set_ylim(0, max(4.0, 1.08 * max(below, default=0.0)))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))


def _lines(axes: "Axes", chart: Chart, colours: Colours) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for series, marker, dashes in zip(chart.series, ("o", "s"), ("-", "--"), strict=False):
        numbers = [float("nan") if number is None else max(number, _SECONDS[0]) for number in series.numbers]
        axes.plot(
            range(len(numbers)), numbers, dashes, marker=marker, markersize=4.5, linewidth=1.6, label=series.name,
            color=colours[series.tone],
        )  # fmt: skip
    known = [max(number, _SECONDS[0]) for series in chart.series for number in series.numbers if number is not None]
    axes.set_yscale("log")
    axes.set_ylim(
        max((each for each in _SECONDS if each <= min(known)), default=_SECONDS[0]) * 0.8,
        min((each for each in _SECONDS if each >= max(known)), default=_SECONDS[-1]) * 1.25,
    )
    axes.yaxis.set_major_locator(FixedLocator(_SECONDS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda seconds, _: spoken(seconds)))


def _frame(axes: "Axes", chart: Chart, colours: Colours, *, narrow: bool) -> None:
    """What all charts have: labels that do not crowd each other, quiet lines, a legend above."""
    last = len(chart.positions) - 1
    shown = sorted(range(last, -1, -chart.every * (2 if narrow else 1)))
    axes.set_xticks(shown, [chart.positions[position] for position in shown])
    axes.set_xlim(-0.7, last + 0.7)
    axes.tick_params(colors=colours["text"], length=0, labelsize=9)
    axes.grid(visible=True, axis="y", color=colours["line"], linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(colours["line"])
    if len(chart.series) > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2 if narrow else len(chart.series), frameon=False,
            borderaxespad=0.2, handlelength=1.2, handleheight=1.0, columnspacing=1.2, labelcolor=colours["text"],
            fontsize=9,
        )  # fmt: skip
